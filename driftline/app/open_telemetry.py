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

from driftline.tracing import trace_by

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

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
    trace_by(provider.get_tracer("driftline"))
    log.info("process=%s is traced, as %s asks", process, variable)
    try:
        yield
    finally:
        trace_by(None)
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
