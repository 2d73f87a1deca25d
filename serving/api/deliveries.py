"""Routes of messages: how they fare and why, and send one again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from driftline.alerts.notify.deliveries import (
    get_delivery,
    list_deliveries,
    redeliver,
    require_asked,
)
from driftline.alerts.notify.rows import STATUSES
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.serving.context import ServerContext

Limit = Annotated[int, Query(ge=1, le=1000)]


def router(context: ServerContext) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(tags=["deliveries"])

    @routes.get("/deliveries")
    def deliveries(
        alarm: str | None = None,
        status: str | None = None,
        channel: str | None = None,
        carrier: str | None = None,
        incident: str | None = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        """List messages that were sent, are to be sent or were held back, newest first."""
        if status is not None and status not in STATUSES:
            raise InputError(f'status "{status[:80]}"; expected one of {", ".join(STATUSES)}')
        with read_connection(context.engine) as connection:
            found = list_deliveries(
                connection,
                alarm_name=alarm,
                status=status,
                channel=channel,
                carrier_id=carrier,
                incident_id=incident,
                limit=limit,
            )
            if not found:
                require_asked(
                    connection,
                    alarm_name=alarm,
                    channel=channel,
                    carrier_id=carrier,
                    incident_id=incident,
                )
        return {"items": [delivery.as_dict() for delivery in found]}

    @routes.get("/deliveries/{message_id}")
    def delivery(message_id: str) -> dict[str, Any]:
        """Give one message, and those that it carries."""
        with read_connection(context.engine) as connection:
            found = get_delivery(connection, message_id)
            carried = list_deliveries(connection, carrier_id=message_id, limit=1000)
        return {**found.as_dict(), "carries": [one.as_dict() for one in carried]}

    @routes.post("/deliveries/{message_id}/redeliver")
    def again(message_id: str) -> dict[str, Any]:
        """Queue a message again that was given up or held back."""
        # Messages go out by the wall clock, whatever clock the monitors live by.
        with context.engine.begin() as connection:
            return redeliver(connection, message_id, datetime.now(UTC)).as_dict()

    return routes
