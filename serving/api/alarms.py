"""Routes of alarms: their history, and the messages that were sent for them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from driftline.alerts.alarms import history
from driftline.alerts.outbox import list_deliveries
from driftline.serving.context import ServerContext

__all__ = ["router"]

Limit = Annotated[int, Query(ge=1, le=1000)]


def router(context: ServerContext) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(tags=["alarms"])

    @routes.get("/alarms/{name:path}/history")
    def alarm_history(name: str, limit: Limit = 100) -> dict[str, Any]:
        """List what happened to an alarm, newest first; also after it was deleted."""
        with context.engine.connect() as connection:
            found = history(connection, name, limit=limit)
        return {"items": [item.as_dict() for item in found]}

    @routes.get("/deliveries")
    def deliveries(
        alarm: str | None = None, status: str | None = None, limit: Limit = 100
    ) -> dict[str, Any]:
        """List messages that were sent or are to be sent, newest first."""
        with context.engine.connect() as connection:
            found = list_deliveries(connection, alarm_name=alarm, status=status, limit=limit)
        return {"items": [delivery.as_dict() for delivery in found]}

    return routes
