"""Routes of replay and preview: what an alarm would have done with data given, or stored."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from driftline.alerts.evaluation.preview import preview
from driftline.alerts.evaluation.replay import replay
from driftline.alerts.math.band_models import BandModels
from driftline.database.engine import read_connection
from driftline.serving.context import ServerContext

# Some seconds of work; `driftline alarm replay` takes longer ones.
_LONGEST = 1_000_000


def router(context: ServerContext) -> APIRouter:
    """Give the routes; they leave no trace in the server."""
    routes = APIRouter(tags=["alarms"])
    bands = BandModels()

    @routes.post("/alarms/replay")
    def alarm_replay(document: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Evaluate an alarm on datapoints, or a composite on states, from a start to an end.

        `{"alarm": PutMetricAlarm's fields, "datapoints": [{"Timestamp", "Value"}], "start",
        "end"}`, or `{"composite": PutCompositeAlarm's fields, "children": {name: [{"time",
        "state"}]}, "start", "end"}`; one item for each evaluation.
        """
        return {"items": [line.as_dict() for line in replay(document, longest=_LONGEST)]}

    @routes.post("/alarms/preview")
    def alarm_preview(document: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Evaluate an alarm on what is stored for its metrics; it need not be declared.

        `{"alarm": PutMetricAlarm's fields, "start", "end", "step_s"}`; one item for each
        evaluation.
        """
        with read_connection(context.engine) as connection:
            found = preview(connection, document, longest=_LONGEST, bands=bands)
            return {"items": [line.as_dict() for line in found]}

    return routes
