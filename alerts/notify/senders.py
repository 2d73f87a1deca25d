"""Sends one message by its receiver: an HTTP request, or a program."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache

import httpx

from driftline.alerts.errors import AddressError, ChannelError
from driftline.alerts.notify.addresses import AddressGuard, Target
from driftline.alerts.notify.receivers.programs import run_program
from driftline.alerts.notify.receivers.receiver import Answer, OpenChannel, Outgoing
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.errors import UnavailableError

log = logging.getLogger(__name__)

# As many as are claimed together come to their end within a lease: 20 in three rounds of 15 s.
_PROGRAMS_AT_ONCE = 8
TOTAL_TIMEOUT_S = 15.0  # Standard Webhooks recommends 15 to 30 s.
_CONNECT_TIMEOUT_S = 5.0
_ANSWER_MAX_BYTES = 4096
_RETRY_AFTER_MAX_S = 3600.0
_RETRY_AFTER_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Transports:
    """What this process may send by."""

    guard: AddressGuard
    allow_networks: Sequence[str] = ()  # The guard's, for processes of their own.
    commands: Mapping[str, str] = field(default_factory=dict)  # What may be run, by name.
    tls: ssl.SSLContext | None = None  # The usual certificates by default.


@dataclass(slots=True)
class _Attempt:
    """One attempt to send; see `receivers.receiver.Attempt`."""

    channel: OpenChannel
    message: Outgoing
    now: datetime
    commands: Mapping[str, str]
    allow_networks: Sequence[str]
    guard: AddressGuard
    transport: httpx.AsyncHTTPTransport
    turns: asyncio.Semaphore

    async def post(
        self, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Post the message, or another body, to an address that the guard lets through."""
        every = {"content-type": self.message.content_type, **(headers or {})}
        if self.channel.authorization is not None:
            every["authorization"] = self.channel.authorization.reveal()
        body = self.message.body if body is None else body
        async with asyncio.timeout(TOTAL_TIMEOUT_S):
            target = await self.guard.target(url)
            return await _post(self.transport, target, headers=every, body=body, now=self.now)

    async def run(
        self,
        argv: Sequence[str],
        stdin: bytes,
        environment: Mapping[str, str] | None = None,
        memory_bytes: int | None = None,
    ) -> Answer:
        """Run a program with this on its standard input."""
        # The wait for a turn is no part of the program's time.
        async with self.turns:
            return await asyncio.to_thread(
                run_program, argv, stdin, timeout_s=TOTAL_TIMEOUT_S, environment=environment,
                memory_bytes=memory_bytes,
            )  # fmt: skip


class Sender:
    """Sends messages as long as it is open; see `open_sender`."""

    def __init__(self, transports: Transports, transport: httpx.AsyncHTTPTransport) -> None:
        self._transports = transports
        self._transport = transport
        self._turns = asyncio.Semaphore(_PROGRAMS_AT_ONCE)

    async def send(
        self, channel: OpenChannel, message: Outgoing, now: datetime
    ) -> tuple[Answer | None, str | None]:
        """Make one attempt; return the receiver's answer, or in a few words why there is none."""
        attempt = _Attempt(
            channel=channel,
            message=message,
            now=now,
            commands=self._transports.commands,
            allow_networks=self._transports.allow_networks,
            guard=self._transports.guard,
            transport=self._transport,
            turns=self._turns,
        )
        try:
            return await RECEIVERS[channel.style.type].send(attempt), None
        except TimeoutError:
            return None, f"no answer within {TOTAL_TIMEOUT_S:.0f} s"
        except (AddressError, ChannelError, UnavailableError) as error:
            return None, str(error)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return None, type(error).__name__
        except Exception as error:  # Else its end is never written, and it is sent for ever.
            log.exception("delivery_failed id=%s channel=%s", message.id, channel.name)
            return None, type(error).__name__


@asynccontextmanager
async def open_sender(transports: Transports) -> AsyncIterator[Sender]:
    """Open a sender; its connections end with it."""
    tls = transports.tls or _usual_certificates()
    async with _new_transport(tls) as transport:
        yield Sender(transports, transport)


@cache
def _usual_certificates() -> ssl.SSLContext:
    """Return a context that trusts the usual authorities, whose reading takes 10 to 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


def _new_transport(tls: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    """Return a bare HTTP transport, which keeps no connection.

    A whole client would also follow proxies of the environment and log the URL, whose path may be a
    secret. Connections are pooled by address, and two names may share one; a kept connection would
    carry a notification to a host whose certificate was checked for another name.
    """
    return httpx.AsyncHTTPTransport(
        verify=tls, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    )


async def _post(
    transport: httpx.AsyncHTTPTransport,
    target: Target,
    *,
    headers: dict[str, str],
    body: bytes,
    now: datetime,
) -> Answer:
    """Send a message to a checked address; at most 4 kB of the answer are read."""
    timeout = httpx.Timeout(TOTAL_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    request = httpx.Request(
        "POST",
        target.pinned_url,
        content=body,
        headers={**headers, "host": target.host_header, "user-agent": "driftline"},
        extensions={"sni_hostname": target.server_name, "timeout": timeout.as_dict()},
    )
    response = await transport.handle_async_request(request)
    try:
        text = await _beginning(response)
    finally:
        await response.aclose()
    return Answer(response.status_code, text, _retry_after(response, now))


async def _beginning(response: httpx.Response) -> str:
    """Read the first bytes as they come over the wire: nothing is decompressed."""
    found = b""
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) >= _ANSWER_MAX_BYTES:
            break
    return found[:_ANSWER_MAX_BYTES].decode("utf-8", "replace")


def _retry_after(response: httpx.Response, now: datetime) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    if response.status_code not in _RETRY_AFTER_STATUSES or not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), _RETRY_AFTER_MAX_S)
    try:
        time = parsedate_to_datetime(text)
        aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        wait_s = (aware - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _RETRY_AFTER_MAX_S)
