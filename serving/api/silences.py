"""Routes of silences beyond declaring them: end one now, see whom one would hold back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from driftline.alerts.alarms.records import list_alarms
from driftline.alerts.notify.labels import labels_of
from driftline.alerts.notify.silence import Silence
from driftline.alerts.notify.silences import expire_silence
from driftline.database.engine import read_connection
from driftline.serving.context import ServerContext


class PreviewRequest(BaseModel):
    """The spec of a silence that may not be stored yet."""

    model_config = ConfigDict(extra="forbid")

    spec: dict[str, Any]


def router(context: ServerContext) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(tags=["silences"])

    @routes.post("/silences/preview")
    def preview(asked: PreviewRequest) -> dict[str, Any]:
        """Name the alarms that a silence is about, and say whether it would hold back now."""
        found = Silence.from_dict("preview", asked.spec)
        now = context.now()
        with read_connection(context.engine) as connection:
            names = [
                record.name
                for record in list_alarms(connection)
                if found.fits(labels_of(record.definition))
            ]
        until = found.mutes_until(now)
        return {
            "alarms": names,
            "status": found.state(now),
            "mutes_until": until.isoformat() if until is not None else None,
        }

    @routes.post("/silences/{name:path}/expire")
    def expire(name: str) -> dict[str, Any]:
        """End a silence now; messages that it held back and that still hold true are sent."""
        now = context.now()
        with context.engine.begin() as connection:
            return expire_silence(connection, name, now).as_dict(now)

    return routes
