"""Sends one message by its receiver: an HTTP request, or a program."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from driftline.alerts.errors import AddressError, ChannelError
from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.http import TOTAL_TIMEOUT_S, new_transport, post
from driftline.alerts.notify.programs import run_program
from driftline.alerts.notify.receivers.receiver import Answer, OpenChannel, Outgoing
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.errors import UnavailableError

log = logging.getLogger(__name__)

# As many as are claimed together come to their end within a lease: 20 in three rounds of 15 s.
_PROGRAMS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Transports:
    """What this process may send by.

    Parameters
    ----------
    guard
        Judges addresses.
    allow_networks
        The guard's networks, for processes of their own.
    commands
        What may be run, by name.
    tls
        Certificates to trust; the usual ones by default.
    """

    guard: AddressGuard
    allow_networks: Sequence[str] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None


@dataclass(slots=True)
class _Attempt:
    """One attempt to send; see `receivers.receiver.Delivery`."""

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
            return await post(self.transport, target, headers=every, body=body, now=self.now)

    async def run(
        self, argv: Sequence[str], stdin: bytes, environment: Mapping[str, str] | None = None
    ) -> Answer:
        """Run a program with this on its standard input."""
        # The wait for a turn is no part of the program's time.
        async with self.turns:
            return await run_program(
                argv, stdin, timeout_s=TOTAL_TIMEOUT_S, environment=environment
            )


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
    tls = transports.tls or httpx.create_ssl_context(trust_env=False)
    async with new_transport(tls) as transport:
        yield Sender(transports, transport)
