"""Traces by OpenTelemetry, where its environment variables ask for them.

A span names endpoints, monitors, alarms and channels, counts and statuses: never a header, query,
body, row or message. Until a process is traced (`tracing`), spans do nothing, and nothing of the
SDK is imported. A collector that is away, slow or refuses costs spans and never work: they wait in
a bounded queue, and a thread sends them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from driftline.loopback import App, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

Value = str | int | float
Kind = Literal["INTERNAL", "SERVER", "CLIENT"]
# Of W3C Trace Context, as a header and as a key beside what is stored.
TRACEPARENT = "traceparent"

# Alone, whatever OTEL_PROPAGATORS says: baggage of callers may hold anything.
_W3C = TraceContextTextMapPropagator()
_NOTHING = trace.NoOpTracer()
# One; set where a process begins, as the options of buckets are.
_tracers: list[trace.Tracer] = [_NOTHING]
# A process that ends waits so long for a collector to take the last spans.
_LAST_S = 2


@contextmanager
def tracing(process: str, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Trace this process if its environment asks for it; after a fork, for the sending thread."""
    is_asked = any(environment.get(f"OTEL_EXPORTER_OTLP_{one}ENDPOINT") for one in ("", "TRACES_"))
    is_off = environment.get("OTEL_SDK_DISABLED") == "true"
    is_off |= environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    provider = _provider(process) if is_asked and not is_off else None
    if provider is None:
        yield
        return
    _tracers[0] = provider.get_tracer("driftline")
    log.info("process=%s is traced", process)
    try:
        yield
    finally:
        _tracers[0] = _NOTHING
        provider.shutdown()


def _provider(process: str) -> TracerProvider | None:
    """Build what makes spans and sends them, all by the environment; None where it is missing."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        log.warning(
            'nothing is traced: %s is not installed; run: pip install "driftline[otel]"', error.name
        )
        return None
    # It would log each attempt, with whatever the collector answered.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    name = os.environ.get("OTEL_SERVICE_NAME", "driftline")
    try:
        resource = Resource.create({"driftline.process": process, SERVICE_NAME: name})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_LAST_S)))
    # A number, a file of certificates, or a plug-in that is not installed.
    except (ValueError, OSError, RuntimeError) as error:
        log.warning("nothing is traced, for OTEL_… variables cannot be used: %s", error)
        return None
    return provider


@contextmanager
def span(
    name: str, *, parent: object = None, kind: Kind = "INTERNAL", **attributes: Value
) -> Iterator[trace.Span]:
    """Trace a block below the open one, or a traceparent's; an error shows its type, no words."""
    with _tracers[0].start_as_current_span(
        name,
        _W3C.extract({TRACEPARENT: parent}) if parent and isinstance(parent, str) else None,
        trace.SpanKind[kind],
        record_exception=False,
        set_status_on_exception=False,
    ) as recorded:
        note(recorded, **attributes)
        try:
            yield recorded
        except BaseException as error:
            recorded.set_attribute("error.type", type(error).__name__)
            recorded.set_status(trace.StatusCode.ERROR)
            raise


def note(recorded: trace.Span, **attributes: Value) -> None:
    """Add attributes to a span."""
    named = {f"driftline.{name}": value for name, value in attributes.items() if value != ""}
    recorded.set_attributes(named)


def note_end(recorded: trace.Span, status: int | None, *, is_error: bool) -> None:
    """Add how a span ended: its status of HTTP, if there is one, and whether that is an error."""
    if status is not None:
        recorded.set_attribute("http.response.status_code", status)
    if is_error:
        recorded.set_status(trace.StatusCode.ERROR)


def carrier() -> dict[str, str]:
    """Return the fields by which others continue the trace that is open here; {} for none."""
    found: dict[str, str] = {}
    _W3C.inject(found)
    return found


def traced(app: App, endpoint_of: Callable[[Scope], str | None]) -> App:
    """Return an app, for inside the tap, that traces invocations as part of the caller's trace."""
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
