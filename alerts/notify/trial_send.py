"""The test button: one message to a channel, at once, and what the receiver said to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Engine

from driftline.alerts.documents import Output
from driftline.alerts.notify.channels import TEST_FAILED, get_channel, open_channels
from driftline.alerts.notify.deliveries import AttemptRecord, add_attempt, result_of
from driftline.alerts.notify.event import Event
from driftline.alerts.notify.message import render_event
from driftline.alerts.notify.receivers.receiver import OpenChannel, Outgoing
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.alerts.notify.rows import new_message_id
from driftline.alerts.notify.secrets import Vault
from driftline.alerts.notify.senders import Transports, open_sender
from driftline.database.engine import read_connection

_TEXT = "This is a test: whoever reads it would be told of alarms by this channel."


@dataclass(frozen=True, slots=True)
class SendResult(Output):
    """What came of a test."""

    message_id: str
    is_taken: bool
    duration_ms: int
    status: int | None
    answer: str | None
    error: str | None
    body: str


def event_of_test(channel: str, now: datetime, *, dashboard_url: str = "") -> Event:
    """Return the event of a test."""
    link = f"{dashboard_url.rstrip('/')}/"
    data = {"channel": channel, "text": _TEXT, "links": {"dashboard": link}}
    return Event("webhook.test", now, f"Test of channel {channel}", _TEXT, link, "info", data)


async def try_channel(
    engine: Engine,
    name: str,
    *,
    transports: Transports,
    vault: Vault,
    now: Callable[[], datetime],
    dashboard_url: str = "",
) -> SendResult:
    """Send one test message past the outbox, whatever the channel's policy and state."""
    found = await asyncio.to_thread(_open, engine, name, vault)
    message_id = new_message_id(now())
    if not isinstance(found, OpenChannel):
        why = str(found)
        attempt = AttemptRecord(message_id, name, 1, now(), 0, TEST_FAILED, None, why, None)
        await asyncio.to_thread(_note, engine, attempt)
        return SendResult(message_id, False, 0, None, None, why, "")
    event = event_of_test(name, now(), dashboard_url=dashboard_url)
    message = render_event(
        event, message_id=message_id, style=found.style, dashboard_url=dashboard_url
    )
    start = time.perf_counter()
    async with open_sender(transports) as sender:
        outgoing = Outgoing(message_id, message.body, message.content_type)
        answer, error = await sender.send(found, outgoing, now())
        if RECEIVERS[found.style.type].key and answer is not None and answer.is_success:
            # What the test has opened is closed again.
            closing = replace(event, mood="success")
            body = render_event(closing, message_id=message_id, style=found.style).body
            answer, error = await sender.send(found, Outgoing(message_id, body), now())
    took_ms = round((time.perf_counter() - start) * 1000)
    is_taken = answer is not None and answer.is_success
    status, problem, text = result_of(answer, error)
    outcome = "test" if is_taken else TEST_FAILED
    attempt = AttemptRecord(message_id, name, 1, now(), took_ms, outcome, status, problem, text)
    await asyncio.to_thread(_note, engine, attempt)
    shown = message.body.decode("utf-8", "replace")
    return SendResult(message_id, is_taken, took_ms, status, text, problem, shown)


def _open(engine: Engine, name: str, vault: Vault) -> OpenChannel | Exception:
    with read_connection(engine) as connection:
        get_channel(connection, name)
        return open_channels(connection, [name], vault)[name]


def _note(engine: Engine, attempt: AttemptRecord) -> None:
    """Leave a line in the delivery log."""
    with engine.begin() as connection:
        add_attempt(connection, attempt)
