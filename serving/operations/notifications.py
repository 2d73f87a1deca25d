"""Operations on notifications: channels and their log, deliveries, silences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import Connection

from driftline.alerts.alarms.records import list_alarms
from driftline.alerts.notify import channels, silences
from driftline.alerts.notify import deliveries as sent
from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.labels import labels_of
from driftline.alerts.notify.rows import Status
from driftline.alerts.notify.senders import Transports
from driftline.alerts.notify.silence import Silence
from driftline.alerts.notify.silences import ShownSilence
from driftline.alerts.notify.trial_send import SendResult, try_channel
from driftline.serving.operations.registry import End, Json, Latest, Page, Start, operation
from driftline.serving.operations.services import Services

Channel = Annotated[str, "The channel's name."]
MessageId = Annotated[str, "The message's id; `driftline delivery list` shows it."]


@operation("POST /channels/{name}/test", role="operator", command="channel test")
async def test_channel(services: Services, name: Channel) -> SendResult:
    """Send one message of type webhook.test now, and show what the receiver answered.

    The command ends with 3 when it was not taken, with 4 when the receiver did not answer. A
    channel that is disabled is tried, too; alarms do not use it.

    Example: driftline channel test pager
    """
    context = services.context
    networks = tuple(context.settings.notify.allow_networks)
    return await try_channel(
        context.engine, name,
        transports=Transports(AddressGuard(networks), networks, context.commands),
        vault=context.vault,
        # Signatures are of the wall clock, whatever clock the monitors live by.
        now=lambda: datetime.now(UTC),
        dashboard_url=context.dashboard_url,
    )  # fmt: skip


@operation("POST /channels/{name}/enable", role="operator", command="channel enable")
def enable_channel(connection: Connection, name: Channel) -> channels.ChannelStatus:
    """Switch a channel on again that a receiver's 410 Gone switched off.

    Example: driftline channel enable pager
    """
    return channels.enable_channel(connection, name, datetime.now(UTC))


@operation(
    "GET /channels/{name}/log", role="viewer", command="channel log",
    columns="time message=message_id no=number ms=duration_ms outcome status error",
)  # fmt: skip
def channel_log(
    connection: Connection,
    page: Latest,
    name: Channel,
    message: Annotated[str | None, "Only attempts of this message."] = None,
) -> Page[sent.AttemptRecord]:
    """List attempts to send by a channel, newest first; or those of one message.

    Example: driftline channel log pager
    """
    channels.get_channel(connection, name)
    found = sent.list_attempts(
        connection, channel=name, message_id=message, after=page.after(int), limit=page.count
    )
    if message is not None and not found:
        sent.get_delivery(connection, message)
    return page.of(found, lambda one: (one.id or 0,))


@operation(
    "GET /deliveries", role="viewer", command="delivery list",
    columns="id alarm=alarm_name state channel status attempts reason error=last_error",
)  # fmt: skip
def deliveries(
    connection: Connection,
    page: Latest,
    alarm: Annotated[str | None, "Only those of this alarm."] = None,
    status: Annotated[Status | None, "Only those in this status."] = None,
    channel: Annotated[str | None, "Only what goes to this channel."] = None,
    carrier: Annotated[str | None, "Only those that this message carries."] = None,
    start: Start = None,
    end: End = None,
) -> Page[sent.Delivery]:
    """List messages that were sent, are to be sent or were held back, newest first.

    Example: driftline delivery list --status failed
    """
    found = sent.list_deliveries(
        connection, alarm_name=alarm, status=status, channel=channel, carrier_id=carrier,
        start=start, end=end, after=page.after(datetime, str), limit=page.count,
    )  # fmt: skip
    if not found:
        sent.require_asked(connection, alarm_name=alarm, channel=channel, carrier_id=carrier)
    return page.of(found, lambda one: (one.created_at, one.id))


@operation(
    "GET /deliveries/{message_id}", role="viewer", command="delivery get"
)  # fmt: skip
def delivery(connection: Connection, message_id: MessageId) -> sent.Delivery:
    """Show one message; `driftline delivery list --carrier ID` lists those that it carries.

    Example: driftline delivery get msg_01...
    """
    return sent.get_delivery(connection, message_id)


@operation("POST /deliveries/{message_id}/redeliver", role="operator", command="delivery redeliver")
def redeliver(connection: Connection, message_id: MessageId) -> sent.Delivery:
    """Queue a message again that was given up or held back.

    Example: driftline delivery redeliver msg_01...
    """
    # Messages go out by the wall clock, whatever clock the monitors live by.
    return sent.redeliver(connection, message_id, datetime.now(UTC))


@operation("POST /silences/preview", role="viewer")
def preview_silence(
    services: Services,
    connection: Connection,
    spec: Annotated[dict[str, Any], "As in a resource file."],
) -> Json:
    """Name the alarms that a silence applies to, and whether it would suppress them now.

    The silence need not be stored.
    """
    found, now = Silence.read("preview", spec), services.context.now()
    alarms = [
        record.name
        for record in list_alarms(connection)
        if found.fits(labels_of(record.definition))
    ]
    return {
        "alarms": alarms, "status": found.state(now), "mutes_until": found.mutes_until(now)
    }  # fmt: skip


@operation("POST /silences/{name:path}/expire", role="operator", command="silence expire")
def expire_silence(
    services: Services, connection: Connection, name: Annotated[str, "The silence's name."]
) -> ShownSilence:
    """End a silence now; messages that it held back and that still hold true are sent.

    Example: driftline silence expire roll-out
    """
    now = services.context.now()
    return silences.expire_silence(connection, name, now).shown(now)
