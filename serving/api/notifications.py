"""Routes of notifications: channels and their log, deliveries, silences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from driftline.alerts.alarms.records import list_alarms
from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.channels import enable_channel, get_channel
from driftline.alerts.notify.deliveries import (
    AttemptRecord,
    Delivery,
    get_delivery,
    list_attempts,
    list_deliveries,
    redeliver,
    require_asked,
)
from driftline.alerts.notify.labels import labels_of
from driftline.alerts.notify.rows import STATUSES
from driftline.alerts.notify.senders import Transports
from driftline.alerts.notify.silence import Silence
from driftline.alerts.notify.silences import expire_silence
from driftline.alerts.notify.trial_send import try_channel
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import InputError
from driftline.serving.api.requests import (
    PAGE,
    Fields,
    From,
    Limit,
    PageToken,
    To,
    in_utc,
    page_of,
)
from driftline.serving.context import ServerContext


class PreviewRequest(Fields):
    """The spec of a silence that may not be stored yet."""

    spec: dict[str, Any]


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()
    _add_channels(routes, context)
    _add_deliveries(routes, context)
    _add_silences(routes, context)
    return routes


def _add_channels(routes: APIRouter, context: ServerContext) -> None:
    networks = tuple(context.allow_networks)
    transports = Transports(AddressGuard(networks), networks, context.commands)

    @routes.post("/channels/{name}/test", tags=["channels"])
    async def test(name: str) -> dict[str, Any]:
        """Send one message of type webhook.test now and say what the receiver answered."""
        tried = await try_channel(
            context.engine, name,
            transports=transports, vault=context.vault,
            # Signatures are of the wall clock, whatever clock the monitors live by.
            now=lambda: datetime.now(UTC),
            dashboard_url=context.dashboard_url,
        )  # fmt: skip
        return tried.as_dict()

    @routes.post("/channels/{name}/enable", tags=["channels"])
    def enable(name: str) -> dict[str, Any]:
        """Switch a channel on again that a receiver's 410 switched off."""
        with context.engine.begin() as connection:
            return enable_channel(connection, name, datetime.now(UTC)).as_dict()

    @routes.get("/channels/{name}/log", tags=["channels"])
    def log(
        name: str,
        message: str | None = None,
        limit: Limit = PAGE,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """List attempts to send by a channel, newest first; or those of one message."""
        with read_connection(context.engine) as connection:
            get_channel(connection, name)
            found = list_attempts(
                connection, channel=name, message_id=message, after=place_of(next_token, int),
                limit=limit + 1,
            )  # fmt: skip
            if message is not None and not found:
                get_delivery(connection, message)
        return page_of(found, limit, lambda one: (one.id or 0,), AttemptRecord.as_dict)


def _add_deliveries(routes: APIRouter, context: ServerContext) -> None:
    @routes.get("/deliveries", tags=["deliveries"])
    def deliveries(
        alarm: str | None = None,
        status: str | None = None,
        channel: str | None = None,
        carrier: str | None = None,
        start: From = None,
        end: To = None,
        limit: Limit = PAGE,
        next_token: PageToken = None,
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
                start=start and in_utc(start),
                end=end and in_utc(end),
                after=place_of(next_token, datetime, str),
                limit=limit + 1,
            )
            if not found:
                require_asked(
                    connection,
                    alarm_name=alarm,
                    channel=channel,
                    carrier_id=carrier,
                )
        return page_of(found, limit, lambda one: (one.created_at, one.id), Delivery.as_dict)

    @routes.get("/deliveries/{message_id}", tags=["deliveries"])
    def delivery(message_id: str) -> dict[str, Any]:
        """Return one message, and those that it carries."""
        with read_connection(context.engine) as connection:
            found = get_delivery(connection, message_id)
            carried = list_deliveries(connection, carrier_id=message_id, limit=1000)
        return {**found.as_dict(), "carries": [one.as_dict() for one in carried]}

    @routes.post("/deliveries/{message_id}/redeliver", tags=["deliveries"])
    def again(message_id: str) -> dict[str, Any]:
        """Queue a message again that was given up or held back."""
        # Messages go out by the wall clock, whatever clock the monitors live by.
        with context.engine.begin() as connection:
            return redeliver(connection, message_id, datetime.now(UTC)).as_dict()


def _add_silences(routes: APIRouter, context: ServerContext) -> None:
    @routes.post("/silences/preview", tags=["silences"])
    def preview(asked: PreviewRequest) -> dict[str, Any]:
        """Name the alarms that a silence applies to, and whether it would suppress them now."""
        found = Silence.read("preview", asked.spec)
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

    @routes.post("/silences/{name:path}/expire", tags=["silences"])
    def expire(name: str) -> dict[str, Any]:
        """End a silence now; messages that it held back and that still hold true are sent."""
        now = context.now()
        with context.engine.begin() as connection:
            return expire_silence(connection, name, now).as_dict(now)
