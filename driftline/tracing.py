"""Traces: spans with their beginning, subject and end.

A span names endpoints, monitors, alarms and channels, counts and statuses: never a header, query,
body, row or message. Until a process sets a tracer of OpenTelemetry (by `trace_by`), a span is one
shared object that does nothing, and nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.trace import Span as Recorded
    from opentelemetry.trace import Tracer

    from driftline.loopback import App, Message, Receive, Scope, Send

Value = str | int | float
Kind = Literal["INTERNAL", "SERVER", "CLIENT"]
# Of W3C Trace Context, as a header and as a key beside what is stored.
TRACEPARENT = "traceparent"
STATUS = "http.response.status_code"


class Span:
    """A traced block; without a span of OpenTelemetry one of a process that traces nothing."""

    def __init__(self, recorded: Recorded | None = None) -> None:
        self._recorded = recorded

    def note(self, **attributes: Value) -> None:
        """Add attributes to those that it began with."""
        if self._recorded is not None:
            self._recorded.set_attributes(_named(attributes))

    def ended(self, status: int | None, *, is_error: bool) -> None:
        """Add how it ended: its status of HTTP, if there is one, and whether that is an error."""
        if self._recorded is None:
            return
        if status is not None:
            self._recorded.set_attribute(STATUS, status)
        if is_error:
            from opentelemetry.trace import StatusCode

            self._recorded.set_status(StatusCode.ERROR)

    @property
    def traceparent(self) -> str:
        """The text by which others continue the trace; "" where nothing is recorded."""
        return self.carrier.get(TRACEPARENT, "")

    @property
    def carrier(self) -> dict[str, str]:
        """The fields by which others continue the trace; empty where none is."""
        if self._recorded is None:
            return {}
        context = self._recorded.get_span_context()
        if not context.is_valid:
            return {}
        ids = f"{context.trace_id:032x}-{context.span_id:016x}"
        return {TRACEPARENT: f"00-{ids}-{context.trace_flags:02x}"}


_OFF = Span()
_NOTHING = nullcontext(_OFF)
# At most one; set where a process begins, as the options of buckets are.
_tracers: list[Tracer] = []


def trace_by(tracer: Tracer | None) -> None:
    """Set what records the spans of this process from now on; None: nothing."""
    _tracers[:] = [] if tracer is None else [tracer]


def span(
    name: str, *, parent: object = None, kind: Kind = "INTERNAL", **attributes: Value
) -> AbstractContextManager[Span]:
    """Trace a block below the one that is open here, or as part of a trace from elsewhere.

    ``parent``: a traceparent, if it is a text; a malformed one begins a new trace. A block that
    ends by an error is marked by its type, without its words, which may quote what was sent.
    """
    if not _tracers:
        return _NOTHING
    return _recorded(_tracers[0], name, parent, kind, attributes)


@contextmanager
def _recorded(
    tracer: Tracer, name: str, parent: object, kind: Kind, attributes: Mapping[str, Value]
) -> Iterator[Span]:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # Alone, whatever OTEL_PROPAGATORS says: baggage of callers may hold anything.
    extract = TraceContextTextMapPropagator().extract
    with tracer.start_as_current_span(
        name,
        extract({TRACEPARENT: parent}) if parent and isinstance(parent, str) else None,
        trace.SpanKind[kind],
        _named(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as recorded:
        try:
            yield Span(recorded)
        except BaseException as error:
            recorded.set_attribute("error.type", type(error).__name__)
            recorded.set_status(trace.StatusCode.ERROR)
            raise


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"driftline.{name}": value for name, value in attributes.items() if value != ""}


def current() -> Span:
    """Return the innermost span that is open here."""
    if not _tracers:
        return _OFF
    from opentelemetry.trace import get_current_span

    return Span(get_current_span())


def traced(app: App, endpoint_of: Callable[[Scope], str | None]) -> App:
    """Return an app that traces invocations, and continues the caller's trace.

    It runs inside the tap, which records requests as they were sent. ``endpoint_of``: the endpoint
    of a request; None: it is not traced.
    """
    if not _tracers:
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
            "invocation", parent=parent, kind="SERVER", endpoint=endpoint, request_id=asked
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
