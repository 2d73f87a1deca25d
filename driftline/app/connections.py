"""The open connections of a listener: those that wait for their client are closed after a while.

uvicorn closes connections that are idle after an answer. It would keep those that send nothing,
half a head or a byte now and then for ever, and accept more until no file can be opened. It learns
of a TLS connection when its handshake is done; unfinished handshakes count here, too.
"""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from uvicorn.server import Protocols

    Connection = Protocols
else:
    Connection = Any  # The name is of newer versions only.

log = logging.getLogger(__name__)

# Within which the head of a request must be whole, counted from the connection or its first byte.
IDLE_S = 10.0
# Within which a body must be whole, and some of an answer be taken; the server answers 408 sooner.
STALLED_S = 120.0
_MOST = 4096
_TOLD_EVERY_S = 60.0


class _Wait(NamedTuple):
    """What a connection waits for from its client; unchanged where nothing has come."""

    is_idle: bool
    at_most_s: float
    request: object
    untaken: int  # Bytes of the answer.


def most_connections() -> int:
    """Return how many connections there may be: half of the files that the process may yet open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = files - sum(1 for _ in Path("/dev/fd").iterdir())
    return _MOST if files == resource.RLIM_INFINITY else max(1, min(free // 2, _MOST))


class Connections(set[Connection]):
    """The set that uvicorn adds each connection to; swept once a second.

    A request costs nothing: the sweep reads the state of each connection.
    """

    def __init__(self, limit: int, *, idle_s: float = IDLE_S, stalled_s: float = STALLED_S) -> None:
        super().__init__()
        self._limit, self._idle_s, self._stalled_s = limit, idle_s, stalled_s
        # What each waited for when it was last looked at, and since when.
        self._waits: dict[Connection, tuple[_Wait | None, float]] = {}
        self._closed = 0
        self._told_s = -_TOLD_EVERY_S

    def add(self, connection: Connection, /) -> None:
        """Take a connection; others make room for one above the limit."""
        super().add(connection)
        self._waits[connection] = _Wait(True, self._idle_s, None, 0), time.monotonic()
        if len(self) > self._limit:
            # Not now: uvicorn adds a connection before it has its transport.
            asyncio.get_running_loop().call_soon(self._make_room)

    def sweep(self) -> None:
        """Close the connections that have waited for their client for too long."""
        now, before = time.monotonic(), self._waits
        self._waits = {}
        for connection in self:
            wait = self._wait_of(connection)
            last, since_s = before.get(connection, (None, now))
            if wait is None or wait != last:
                since_s = now
            elif now - since_s > wait.at_most_s:
                connection.transport.abort()
            self._waits[connection] = wait, since_s
        if self._closed and now - self._told_s >= _TOLD_EVERY_S:
            log.warning(
                "connections=%d limit=%d closed_early=%d: too many at a time; "
                "raise the limit of open files (ulimit -n) if all are wanted",
                len(self), self._limit, self._closed,
            )  # fmt: skip
            self._closed, self._told_s = 0, now

    def _make_room(self) -> None:
        """Close what waits longest, the idle ones first, and some more than is needed now."""
        self.sweep()
        left = [one for one in self if not one.transport.is_closing()]
        surplus = len(left) - self._limit
        if surplus <= 0:
            return
        waiting = [(wait, since_s, one) for one in left
                   for wait, since_s in [self._waits[one]] if wait is not None]  # fmt: skip
        waiting.sort(key=lambda found: (not found[0].is_idle, found[1]))
        for *_, connection in waiting[: surplus + self._limit // 16]:
            connection.transport.abort()
            self._closed += 1

    def _wait_of(self, connection: Connection) -> _Wait | None:
        """Return what a connection waits for from its client; None while it is we who work."""
        request: Any = getattr(connection, "cycle", None)
        untaken = connection.transport.get_write_buffer_size()
        if untaken or (request is not None and not request.response_complete):
            is_waiting = untaken or request.more_body
            return _Wait(False, self._stalled_s, request, untaken) if is_waiting else None
        # uvicorn's timer runs after an answer, until something comes.
        is_kept = getattr(connection, "timeout_keep_alive_task", None) is not None
        return _Wait(True, math.inf if is_kept else self._idle_s, request, 0)


class Handshake(asyncio.Protocol):
    """A TLS connection: idle until its handshake is done, then it is ``protocol``'s."""

    def __init__(
        self, protocol: asyncio.Protocol, context: ssl.SSLContext, connections: Connections
    ) -> None:
        self._protocol, self._context, self._connections = protocol, context, connections
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections.add(self)  # type: ignore[arg-type]  # What is asked of one, it has.
        # Kept, for the loop itself would let it be collected.
        self._task = asyncio.get_running_loop().create_task(self._begin())

    def data_received(self, data: bytes) -> None:
        """Keep what comes with the end of the handshake, before HTTP's protocol is in place."""
        self._early.append(data)

    def shutdown(self) -> None:
        """End it with the server, as uvicorn ends connections."""
        self.transport.abort()

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            private = await loop.start_tls(self.transport, self, self._context, server_side=True)
        except OSError as error:  # It speaks no TLS, distrusts us, or has gone.
            log.debug("handshake failed error=%s", type(error).__name__)
            return
        finally:
            self._connections.discard(self)
        if private is None or private.is_closing():  # Closed meanwhile, by us or by the client.
            return
        self._protocol.connection_made(private)
        private.set_protocol(self._protocol)
        for data in self._early:
            self._protocol.data_received(data)
