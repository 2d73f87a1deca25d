"""Routes of a monitor's standing with its baseline: see it, accept it, make another baseline."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from driftline.baseline import store as baselines
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.monitors.definitions import MonitorDefinition, get_definition
from driftline.monitors.warm_up.status import commission_status
from driftline.monitors.warm_up.store import accept
from driftline.monitors.window_history.store import Key
from driftline.serving.api.metric_data import in_utc
from driftline.serving.context import ServerContext
from driftline.serving.resources import store
from driftline.serving.resources.renewal import renew_by_capture

TEXT_MAX = 1000


class AcceptRequest(BaseModel):
    """Why drift is to be judged against the reference as it is, and who says so."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=TEXT_MAX)] = ""
    author: Annotated[str | None, Field(max_length=255)] = None


class BaselineRequest(BaseModel):
    """The captured time that a baseline is made of, half-open."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[AwareDatetime, Field(alias="from")]
    end: Annotated[AwareDatetime, Field(alias="to")]


def router(context: ServerContext) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(tags=["monitors"])

    def status(definition: MonitorDefinition) -> dict[str, Any]:
        baseline = baselines.get(context.root, definition.baseline, definition.baseline_version)
        with read_connection(context.engine) as connection:
            return commission_status(connection, definition, baseline)

    @routes.get("/monitors/{name}/commission")
    def show_commission(name: str) -> dict[str, Any]:
        """Say where a monitor stands with its baseline, and which drift is held back."""
        return status(_definition(context, name))

    @routes.post("/monitors/{name}/commission/accept")
    def accept_commission(name: str, asked: AcceptRequest) -> dict[str, Any]:
        """Judge drift against the baseline as it is, from the next window on."""
        definition = _definition(context, name)
        baseline = baselines.get(context.root, definition.baseline, definition.baseline_version)
        with context.engine.begin() as connection:
            accept(
                connection,
                Key.of(definition, baseline.version),
                now=context.now(),
                author=asked.author,
                reason=asked.reason,
            )
        return status(definition)

    @routes.post("/monitors/{name}/baseline")
    def make_baseline(name: str, asked: BaselineRequest) -> dict[str, Any]:
        """Make a new version of the baseline of captured rows; all its monitors use it."""
        definition = _definition(context, name)
        window = Window(in_utc(asked.start), in_utc(asked.end))
        made = renew_by_capture(context, definition, window)
        assert made.profile is not None
        return {
            "monitor": definition.name,
            "baseline": definition.baseline,
            "version": made.version,
            "row_count": made.profile.row_count,
        }

    return routes


def _definition(context: ServerContext, name: str) -> MonitorDefinition:
    with read_connection(context.engine) as connection:
        return get_definition(connection, store.get(connection, "Monitor", name).name)
