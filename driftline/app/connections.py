"""The open connections of a listener: those that wait for their client are closed after a while.

uvicorn closes connections that are idle after an answer, by a timer for each answer; here one sweep
does. It would keep connections that send nothing, half a head or a byte now and then for ever, and
accept more until no file can be opened. It learns of a TLS connection when its handshake is done;
unfinished handshakes count here, too.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from uvicorn.server import Protocols

    Connection = Protocols
else:
    Connection = Any  # The name is of newer versions only.

log = logging.getLogger(__name__)

# Within which the head of a request must be whole, counted from the connection or its first byte.
IDLE_S = 10.0
# For which a connection is kept after an answer. Load balancers keep theirs
# for 60 s: one that is closed just as the next request comes is a request that failed.
KEPT_S = 75
# Within which a body must be whole, and some of an answer be taken; the server answers 408 sooner.
STALLED_S = 120.0
_MOST = 4096
_TOLD_EVERY_S = 60.0
# What asyncio says of each connection that it cannot accept.
_SHORTAGE = "socket.accept() out of system resource"


class _Wait(NamedTuple):
    """What a connection waits for from its client; unchanged where nothing has come."""

    is_idle: bool
    is_kept: bool  # Answered, and nothing came since.
    request: object
    untaken: int  # Bytes of the answer.


def most_connections() -> int:
    """Return how many connections there may be: half of the files that the process may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if files == resource.RLIM_INFINITY else min(files // 2, _MOST)


class Connections(set[Connection]):
    """The set that uvicorn adds each connection to; swept once a second.

    A request costs nothing: the sweep reads the state of each connection.
    """

    def __init__(
        self,
        limit: int,
        *,
        idle_s: float = IDLE_S,
        stalled_s: float = STALLED_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        # After a shortage there is room for fewer than the limit, for a while.
        self._limit = self._room = limit
        self._idle_s, self._stalled_s = idle_s, stalled_s
        self._monotonic = monotonic
        # What each waited for when it was last looked at, and since when.
        self._waits: dict[Connection, tuple[_Wait | None, float]] = {}
        self._closed = self._shortages = 0
        self._is_full = False
        self._told_s = -_TOLD_EVERY_S

    def add(self, connection: Connection, /) -> None:
        """Take a connection; others make room for one above the limit."""
        super().add(connection)
        self._waits[connection] = (_Wait(True, False, None, 0), self._monotonic())
        if len(self) > self._room:
            self._make_room_soon(is_short=False)

    def sweep(self) -> None:
        """Close the connections that have waited for their client for too long."""
        now, before = self._monotonic(), self._waits
        self._waits = {}
        for connection in self:
            wait = _wait_of(connection)
            last, since_s = before.get(connection, (None, now))
            if wait is None or wait != last:
                since_s = now
            elif wait.is_kept:
                if now - since_s > KEPT_S:
                    connection.transport.close()
            elif now - since_s > (self._idle_s if wait.is_idle else self._stalled_s):
                connection.transport.abort()
            self._waits[connection] = wait, since_s
        self._tell(now)

    def exhausted(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Make room when no connection can be accepted; asyncio would log each, with its trace."""
        if context.get("message") != _SHORTAGE:
            loop.default_exception_handler(context)
            return
        self._shortages += 1
        self._make_room_soon(is_short=True)

    def _make_room_soon(self, *, is_short: bool) -> None:
        # Not now: a new connection has no transport yet, and of many that come one look will do.
        if not self._is_full:
            self._is_full = True
            asyncio.get_running_loop().call_soon(self._make_room, is_short)

    def _make_room(self, is_short: bool) -> None:
        """Close what waits longest, the idle ones first, and some more than is needed now."""
        self._is_full = False
        self.sweep()
        left = [one for one in self if not one.transport.is_closing()]
        if is_short:
            self._room = len(left) // 2
        surplus = len(left) - self._room
        if surplus <= 0:
            return
        waiting = [one for one in left if self._waits[one][0] is not None]
        waiting.sort(key=self._order)
        for one in waiting[: surplus + self._room // 16]:
            one.transport.abort()
            self._closed += 1

    def _order(self, connection: Connection) -> tuple[bool, float]:
        wait, since_s = self._waits[connection]
        return wait is not None and not wait.is_idle, since_s

    def _tell(self, now: float) -> None:
        """Log once a minute what was closed to make room."""
        if (self._closed or self._shortages) and now - self._told_s >= _TOLD_EVERY_S:
            log.warning(
                "connections=%d limit=%d closed_early=%d not_accepted=%d: too many at a time; "
                "raise the limit of open files (ulimit -n) if all are wanted",
                len(self), self._limit, self._closed, self._shortages,
            )  # fmt: skip
            self._closed = self._shortages = 0
            self._told_s = now
            self._room = self._limit


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


def _wait_of(connection: Connection) -> _Wait | None:
    """Return what a connection waits for from its client; None while it is we who work."""
    request: Any = getattr(connection, "cycle", None)
    untaken = connection.transport.get_write_buffer_size()
    is_idle = (request is None or request.response_complete) and not untaken
    is_kept = is_idle and getattr(connection, "is_between_requests", False)
    if is_idle or untaken or request.more_body:
        return _Wait(is_idle, is_kept, request, untaken)
    return None
