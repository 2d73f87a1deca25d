"""OpenTelemetry, where its environment variables ask for it: spans go to a collector by OTLP.

Nothing of it is imported otherwise. A collector that is away, slow or refuses costs spans and never
work: they wait in a bounded queue, a thread sends them, and the log reports losses now and then.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from driftline.tracing import STATUS, TRACEPARENT, Kind, Span, Spans, Value, record_by

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span as Recorded

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# A process that ends waits so long for a collector to take the last spans.
_LAST_S = 2.0
_REPORT_EVERY_S = 600.0


def asked_by(environment: Mapping[str, str]) -> str:
    """Return the variable that asks for traces; "" when none does, or one forbids them."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter == "otlp":
        return "OTEL_TRACES_EXPORTER"
    return "" if exporter else next((one for one in _ENDPOINTS if environment.get(one)), "")


@contextmanager
def tracing(process: str, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Trace this process as long as the context lasts, if the environment asks for it.

    Call it after a fork: the sending thread belongs to the process that started it.
    """
    variable = asked_by(environment)
    provider = _provider(process, variable) if variable else None
    if provider is None:
        yield
        return
    record_by(_Recording(provider))
    log.info("process=%s is traced, as %s asks", process, variable)
    try:
        yield
    finally:
        record_by(None)
        # In a thread, for an exporter waits for its collector for ten seconds and more.
        last = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(_LAST_S)


def _provider(process: str, variable: str) -> TracerProvider | None:
    """Build what makes spans and sends them, all by the environment; None where it is missing."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        log.warning(
            "%s is set, but %s is not installed, so nothing is traced; run: "
            'pip install "driftline[otel]"',
            variable, error.name,
        )  # fmt: skip
        return None
    # It would log each attempt, with whatever the collector answered.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        resource = Resource.create({"driftline.process": process})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "driftline"}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(_reporting(OTLPSpanExporter())))
    # A number, a file of certificates, or a plug-in that is not installed.
    except (ValueError, OSError, RuntimeError) as error:
        log.warning("nothing is traced, for OTEL_… variables cannot be used: %s", error)
        return None
    return provider


def _reporting(exporter: SpanExporter) -> SpanExporter:
    """Return an exporter that logs, once in a while, that its collector takes no spans."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Reporting(SpanExporter):
        reported_s = -math.inf

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = exporter.export(spans)
            now = time.monotonic()
            if result is not SpanExportResult.SUCCESS and now - self.reported_s >= _REPORT_EVERY_S:
                self.reported_s = now
                log.warning(
                    "event=spans-lost: the OpenTelemetry collector does not take them; check it, "
                    "or %s; the work goes on",
                    _ENDPOINTS[1],
                )
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Reporting()


class _Recording(Spans):
    """Spans of OpenTelemetry."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("driftline")
        self._trace = trace
        # Alone, whatever OTEL_PROPAGATORS says: baggage of callers may hold anything.
        self._extract = TraceContextTextMapPropagator().extract
        self._kinds = {
            "internal": trace.SpanKind.INTERNAL,
            "server": trace.SpanKind.SERVER,
            "client": trace.SpanKind.CLIENT,
        }

    @contextmanager
    def begin(
        self, name: str, parent: str, kind: Kind, attributes: Mapping[str, Value]
    ) -> Iterator[Span]:
        """Record a block."""
        where = self._extract({TRACEPARENT: parent}) if parent else None
        span = self._tracer.start_span(
            name, where, self._kinds[kind], _named(attributes),
        )  # fmt: skip
        try:
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield _Open(span)
        except BaseException as error:
            # Not its words, which may quote what was sent.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(self._trace.StatusCode.ERROR)
            raise
        finally:
            span.end()

    def current(self) -> Span:
        """Return the innermost open span."""
        return _Open(self._trace.get_current_span())


class _Open(Span):
    """A span of OpenTelemetry that is open."""

    def __init__(self, span: Recorded) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
            if context.is_valid
            else ""
        )

    def note(self, **attributes: Value) -> None:
        """Add attributes."""
        self._span.set_attributes(_named(attributes))

    def ended(self, status: int | None, *, is_error: bool) -> None:
        """Add how it ended."""
        from opentelemetry.trace import StatusCode

        if status is not None:
            self._span.set_attribute(STATUS, status)
        if is_error:
            self._span.set_status(StatusCode.ERROR)


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"driftline.{name}": value for name, value in attributes.items() if value != ""}
