"""Route of backtests: what a monitor would have done over a captured period."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from driftline.baseline import store as baselines
from driftline.database.engine import read_connection
from driftline.errors import UndecidedError
from driftline.monitors.annotations.store import list_marks
from driftline.monitors.backtest.backtest import backtest_captured
from driftline.monitors.backtest.marks import backtest_marks
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.backtest.spans import spans_of
from driftline.monitors.definitions import get_definition
from driftline.serving.api.annotating import checks_of
from driftline.serving.context import ServerContext
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import signature_of


class BacktestRequest(BaseModel):
    """A captured period, and what is to be tried on it."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[AwareDatetime, Field(alias="from")]
    end: Annotated[AwareDatetime, Field(alias="to")]
    window: str | None = None
    tolerance: Annotated[float | None, Field(allow_inf_nan=False)] = None
    against: list[str] = []
    estimate: bool = True


def router(context: ServerContext) -> APIRouter:
    """Give the route; it leaves no trace in the server."""
    routes = APIRouter(tags=["monitors"])

    @routes.post("/monitors/{name}/backtest")
    def backtest_monitor(name: str, asked: BacktestRequest) -> dict[str, Any]:
        """Judge a captured period as the monitor would have done; nothing is recorded."""
        with read_connection(context.engine) as connection:
            definition = get_definition(connection, store.get(connection, "Monitor", name).name)
            known = list_marks(connection, definition.name)
        options = BacktestOptions(
            start=asked.start,
            end=asked.end,
            against=tuple(asked.against),
            tolerance=asked.tolerance,
            marks=backtest_marks(known, partial(checks_of, context)),
            estimate=asked.estimate,
        )
        signature = signature_of(context.engine, definition.endpoint)
        if signature is None:
            raise UndecidedError(
                f'endpoint "{definition.endpoint}" has no signature; apply it with a baseline'
            )
        baseline = baselines.get(context.root, definition.baseline, definition.baseline_version)
        spans = None if asked.window is None else spans_of(asked.window)
        found = backtest_captured(
            context.root, definition, baseline, signature, options, spans=spans
        )
        return found.as_dict()

    return routes
