"""Traces by OpenTelemetry: spans with their beginning, subject and end.

A span names endpoints, monitors, alarms and channels, counts and statuses: never a header, query,
body, row or message. Until a process has a tracer (`trace_by`), spans do nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from driftline.loopback import App, Message, Receive, Scope, Send

Value = str | int | float
Kind = Literal["INTERNAL", "SERVER", "CLIENT"]
# Of W3C Trace Context, as a header and as a key beside what is stored.
TRACEPARENT = "traceparent"
STATUS = "http.response.status_code"

# Alone, whatever OTEL_PROPAGATORS says: baggage of callers may hold anything.
_W3C = TraceContextTextMapPropagator()
_NOTHING = trace.NoOpTracer()
# One; set where a process begins, as the options of buckets are.
_tracers: list[trace.Tracer] = [_NOTHING]


def trace_by(tracer: trace.Tracer | None) -> None:
    """Set what records the spans of this process from now on; None: nothing."""
    _tracers[0] = tracer or _NOTHING


@contextmanager
def span(
    name: str, *, parent: object = None, kind: Kind = "INTERNAL", **attributes: Value
) -> Iterator[trace.Span]:
    """Trace a block below the one that is open here, or as part of a trace from elsewhere.

    ``parent``: a traceparent, if it is a text; a malformed one begins a new trace. A block that
    ends by an error is marked by its type, without its words, which may quote what was sent.
    """
    with _tracers[0].start_as_current_span(
        name,
        _W3C.extract({TRACEPARENT: parent}) if parent and isinstance(parent, str) else None,
        trace.SpanKind[kind],
        _named(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as recorded:
        try:
            yield recorded
        except BaseException as error:
            recorded.set_attribute("error.type", type(error).__name__)
            recorded.set_status(trace.StatusCode.ERROR)
            raise


def note(recorded: trace.Span, **attributes: Value) -> None:
    """Add attributes to those that a span began with."""
    recorded.set_attributes(_named(attributes))


def note_end(recorded: trace.Span, status: int | None, *, is_error: bool) -> None:
    """Add how a span ended: its status of HTTP, if there is one, and whether that is an error."""
    if status is not None:
        recorded.set_attribute(STATUS, status)
    if is_error:
        recorded.set_status(trace.StatusCode.ERROR)


def carrier() -> dict[str, str]:
    """Return the fields by which others continue the trace that is open here; {} for none."""
    found: dict[str, str] = {}
    _W3C.inject(found)
    return found


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"driftline.{name}": value for name, value in attributes.items() if value != ""}


def traced(app: App, endpoint_of: Callable[[Scope], str | None]) -> App:
    """Return an app that traces invocations, and continues the caller's trace.

    It runs inside the tap, which records requests as they were sent. ``endpoint_of``: the endpoint
    of a request; None: it is not traced.
    """
    if _tracers[0] is _NOTHING:
        return app

    async def traced_app(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"traceparent"]
        headers = [pair for pair in scope["headers"] if pair[0] != b"traceparent"]
        with span(
            "invocation", parent=given[0].decode("latin-1") if len(given) == 1 else "",
            kind="SERVER", endpoint=endpoint, request_id=str(scope.get("driftline.request_id", "")),
        ) as recorded:  # fmt: skip

            def sending(message: Message) -> Awaitable[None]:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    note_end(recorded, status, is_error=status >= 500)
                return send(message)

            headers += [(name.encode(), value.encode()) for name, value in carrier().items()]
            await app({**scope, "headers": headers}, receive, sending)

    return traced_app
