"""Routes of channels: the test button, and the delivery log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.attempts import list_attempts
from driftline.alerts.notify.channels import enable_channel, get_channel
from driftline.alerts.notify.deliveries import get_delivery
from driftline.alerts.notify.senders import Transports
from driftline.alerts.notify.test_send import try_channel
from driftline.database.engine import read_connection
from driftline.serving.context import ServerContext

Limit = Annotated[int, Query(ge=1, le=1000)]


def router(context: ServerContext) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(tags=["channels"])
    networks = tuple(context.allow_networks)
    ways = Transports(AddressGuard(networks), networks, context.commands)

    @routes.post("/channels/{name}/test")
    async def test(name: str) -> dict[str, Any]:
        """Send one message of type webhook.test now and say what the receiver answered."""
        tried = await try_channel(
            context.engine, name,
            ways=ways, vault=context.vault,
            # Signatures are of the wall clock, whatever clock the monitors live by.
            now=lambda: datetime.now(UTC),
            dashboard_url=context.dashboard_url,
        )  # fmt: skip
        return tried.as_dict()

    @routes.post("/channels/{name}/enable")
    def enable(name: str) -> dict[str, Any]:
        """Switch a channel on again that a receiver's 410 switched off."""
        with context.engine.begin() as connection:
            return enable_channel(connection, name, datetime.now(UTC)).as_dict()

    @routes.get("/channels/{name}/log")
    def log(name: str, message: str | None = None, limit: Limit = 100) -> dict[str, Any]:
        """List attempts to send by a channel, newest first; or those of one message."""
        with read_connection(context.engine) as connection:
            get_channel(connection, name)
            found = list_attempts(connection, channel=name, message_id=message, limit=limit)
            if message is not None and not found:
                get_delivery(connection, message)
        return {"items": [one.as_dict() for one in found]}

    return routes
