"""Routes of incidents: alarms that went off together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from driftline.alerts.alarms.known import unknown_name
from driftline.alerts.alarms.records import list_alarms
from driftline.alerts.notify.deliveries import list_deliveries
from driftline.alerts.notify.incidents import get_incident, list_incidents
from driftline.alerts.notify.labels import labels_of
from driftline.database.engine import read_connection
from driftline.errors import NotFoundError
from driftline.serving.context import ServerContext
from driftline.serving.resources import store

Limit = Annotated[int, Query(ge=1, le=1000)]


def router(context: ServerContext) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(tags=["incidents"])

    @routes.get("/incidents")
    def incidents(
        status: Literal["open", "closed"] | None = None,
        endpoint: str | None = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """List incidents with their alarms, newest first."""
        is_open = None if status is None else status == "open"
        with read_connection(context.engine) as connection:
            found = list_incidents(connection, is_open=is_open, endpoint=endpoint, limit=limit)
            if endpoint is not None and not found:
                _require_endpoint(connection, endpoint)
        return {"items": [one.as_dict() for one in found]}

    @routes.get("/incidents/{incident_id}")
    def incident(incident_id: str) -> dict[str, Any]:
        """Give one incident, its alarms and its messages."""
        with read_connection(context.engine) as connection:
            found = get_incident(connection, incident_id)
            told = list_deliveries(connection, incident_id=incident_id, limit=1000)
        return {**found.as_dict(), "deliveries": [one.as_dict() for one in told]}

    return routes


def _require_endpoint(connection: Connection, name: str) -> None:
    """Refuse an endpoint that is not declared, and that no alarm and no incident is about."""
    known = {one.name for one in store.list_kind(connection, "Endpoint")}
    known |= {labels_of(one.definition).get("endpoint", "") for one in list_alarms(connection)}
    if name not in known and not list_incidents(connection, endpoint=name, limit=1):
        raise NotFoundError(unknown_name("endpoint", name, known - {""}))
