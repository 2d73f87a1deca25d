"""Traces: spans with their beginning, subject and end.

A span names endpoints, monitors, alarms and channels, counts and statuses: never a header, query,
body, row or message. Until a process sets a recorder (by `record_by`), a span is one shared object
that does nothing. Standard library only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from driftline.loopback import App, Message, Receive, Scope, Send

Value = str | int | float
Kind = Literal["internal", "server", "client"]
# Of W3C Trace Context, as a header and as a key beside what is stored.
TRACEPARENT = "traceparent"
STATUS = "http.response.status_code"


class Span:
    """A traced block; this one is of a process that traces nothing.

    ``traceparent``: by which others continue the trace; "" where nothing is recorded.
    """

    traceparent = ""

    def note(self, **attributes: Value) -> None:
        """Add attributes to those that it began with."""

    def ended(self, status: int | None, *, is_error: bool) -> None:
        """Add how it ended: its status of HTTP, if there is one, and whether that is an error."""

    @property
    def carrier(self) -> dict[str, str]:
        """The fields by which others continue the trace; empty where none is."""
        return {TRACEPARENT: self.traceparent} if self.traceparent else {}


class Spans(Protocol):
    """What records spans in this process."""

    def begin(
        self, name: str, parent: str, kind: Kind, attributes: Mapping[str, Value]
    ) -> AbstractContextManager[Span]:
        """Record a block; one that ends by an error is marked by its type, without its words."""

    def current(self) -> Span:
        """Return the innermost span that is open here."""


_OFF = Span()
_NOTHING = nullcontext(_OFF)
# At most one; set where a process begins, as the options of buckets are.
_recording: list[Spans] = []


def record_by(spans: Spans | None) -> None:
    """Set what records the spans of this process from now on; None: nothing."""
    _recording[:] = [] if spans is None else [spans]


def span(
    name: str, *, parent: object = None, kind: Kind = "internal", **attributes: Value
) -> AbstractContextManager[Span]:
    """Trace a block below the one that is open here, or as part of a trace from elsewhere.

    ``parent``: a traceparent, if it is a text; a malformed one begins a new trace.
    """
    if not _recording:
        return _NOTHING
    where = parent if isinstance(parent, str) else ""
    return _recording[0].begin(name, where, kind, attributes)


def current() -> Span:
    """Return the innermost span that is open here."""
    return _recording[0].current() if _recording else _OFF


def traced(app: App, endpoint_of: Callable[[Scope], str | None]) -> App:
    """Return an app that traces invocations, and continues the caller's trace.

    It runs inside the tap, which records requests as they were sent. ``endpoint_of``: the endpoint
    of a request; None: it is not traced.
    """
    if not _recording:
        return app

    async def trace(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await app(scope, receive, send)
            return
        headers = [pair for pair in scope["headers"] if pair[0] != b"traceparent"]
        given = [value for name, value in scope["headers"] if name == b"traceparent"]
        parent = given[0].decode("latin-1") if len(given) == 1 else ""
        asked = str(scope.get("driftline.request_id", ""))
        with span(
            "invocation", parent=parent, kind="server", endpoint=endpoint, request_id=asked
        ) as one:

            def sending(message: Message) -> Awaitable[None]:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    one.ended(status, is_error=status >= 500)
                return send(message)

            headers += [(b"traceparent", one.traceparent.encode())]
            inner = {**scope, "headers": headers}
            await app(inner, receive, sending)

    return trace
