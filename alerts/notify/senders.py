"""Sends one message by the way that its channel is: a request, a program, a service, a plugin."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from driftline.alerts.errors import AddressError, ChannelError
from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.channel import PROGRAM_TYPES
from driftline.alerts.notify.channels import OpenChannel
from driftline.alerts.notify.receivers.alertmanager import alerts_url, with_end
from driftline.alerts.notify.receivers.opsgenie import opsgenie_request
from driftline.alerts.notify.receivers.pagerduty import events_url, with_routing_key
from driftline.alerts.notify.receivers.programs import argv_of, child_argv, run_program
from driftline.alerts.notify.receivers.webhook import (
    TOTAL_TIMEOUT_S,
    Answer,
    new_transport,
    post,
    signed_headers,
)
from driftline.errors import UnavailableError

log = logging.getLogger(__name__)

# As many as are claimed together come to their end within a lease: 20 in three rounds of 15 s.
_PROGRAMS_AT_ONCE = 8
_CHILD_MODULES = {
    "apprise": "driftline.alerts.notify.receivers.apprise_child",
    "plugin": "driftline.alerts.notify.receivers.plugin_child",
}


@dataclass(frozen=True, slots=True)
class Ways:
    """What this process may send by.

    Parameters
    ----------
    guard
        Judges addresses.
    allow_networks
        The guard's networks, for processes of their own.
    commands
        What may be run, by the names that channels give.
    tls
        Certificates to trust; the usual ones by default.
    """

    guard: AddressGuard
    allow_networks: Sequence[str] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way."""

    id: str
    body: bytes = field(repr=False)
    content_type: str = "application/json"


class Sender:
    """Sends messages as long as it is open; see `open_sender`."""

    def __init__(self, ways: Ways, transport: httpx.AsyncHTTPTransport) -> None:
        self._ways = ways
        self._transport = transport
        self._programs = asyncio.Semaphore(_PROGRAMS_AT_ONCE)

    async def send(
        self, channel: OpenChannel, message: Outgoing, now: datetime
    ) -> tuple[Answer | None, str | None]:
        """Make one attempt; give the receiver's answer, or in a few words why there is none."""
        try:
            return await self._send(channel, message, now), None
        except TimeoutError:
            return None, f"no answer within {TOTAL_TIMEOUT_S:.0f} s"
        except (AddressError, ChannelError, UnavailableError) as error:
            return None, str(error)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return None, type(error).__name__
        except Exception as error:  # Else its end is never written, and it is sent for ever.
            log.exception("delivery_failed id=%s channel=%s", message.id, channel.name)
            return None, type(error).__name__

    async def _send(self, channel: OpenChannel, message: Outgoing, now: datetime) -> Answer:
        kind = channel.style.type
        if kind not in PROGRAM_TYPES:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                return await self._post(channel, message, now)
        # The wait for a turn is no part of the program's time.
        async with self._programs:
            if kind == "command":
                argv = argv_of(str(channel.options.get("command")), self._ways.commands)
                more = {"DRIFTLINE_MESSAGE_ID": message.id}
                return await run_program(
                    argv, message.body, timeout_s=TOTAL_TIMEOUT_S, environment=more
                )
            asked = self._asked(channel, message)
            argv = child_argv(_CHILD_MODULES[kind])
            # No home: a .netrc there would be opened, which is refused and counts as not taken.
            more = {"HOME": "/nonexistent"} if kind == "apprise" else {}
            return await run_program(argv, asked, timeout_s=TOTAL_TIMEOUT_S, environment=more)

    async def _post(self, channel: OpenChannel, message: Outgoing, now: datetime) -> Answer:
        url, body, kind = channel.url.reveal(), message.body, channel.style.type
        headers = {"content-type": message.content_type}
        if kind == "alertmanager":
            url, body = alerts_url(url), with_end(body, now)
        elif kind == "pagerduty":
            url, body = events_url(url), with_routing_key(body, channel.secrets[0])
        elif kind == "opsgenie":
            url, body = opsgenie_request(url, body)
            headers["authorization"] = f"GenieKey {channel.secrets[0].reveal()}"
        else:
            headers |= signed_headers(channel.secrets, message.id, body, now)
        if channel.style.format == "sns":
            headers["x-amz-sns-message-type"] = "Notification"
        if channel.authorization is not None:
            headers["authorization"] = channel.authorization.reveal()
        target = await self._ways.guard.target(url)
        return await post(self._transport, target, headers=headers, body=body, now=now)

    def _asked(self, channel: OpenChannel, message: Outgoing) -> bytes:
        """Give what a process of ours reads from its standard input."""
        event = _event(message)
        if channel.style.type == "plugin":
            return json.dumps({"plugin": channel.options.get("plugin"), "event": event}).encode()
        words = "\n\n".join(str(one) for one in (event.get("text"), event.get("link")) if one)
        asked = {
            "url": channel.url.reveal(),
            "title": event.get("title", ""),
            "body": words,
            "mood": event.get("mood", "info"),
            "allow_networks": list(self._ways.allow_networks),
        }
        return json.dumps(asked).encode()


def _event(message: Outgoing) -> dict[str, object]:
    """Give what a program is told; the bare body where it was written for another type."""
    text = message.body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict) and "title" in found:
        return found
    return {"id": message.id, "title": "driftline", "text": text, "link": "", "mood": "warning"}


@asynccontextmanager
async def open_sender(ways: Ways) -> AsyncIterator[Sender]:
    """Open what sends; connections end with it."""
    tls = ways.tls or httpx.create_ssl_context(trust_env=False)
    async with new_transport(tls) as transport:
        yield Sender(ways, transport)
