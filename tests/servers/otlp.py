"""A collector of OpenTelemetry: takes traces by OTLP over HTTP, and keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers.answering import served


@dataclass(frozen=True)
class Sent:
    """One span as the wire has it; ids in hexadecimal, ``process`` is whose it is."""

    name: str
    trace: str
    id: str
    parent: str
    process: str
    service: str
    is_error: bool
    values: dict[str, Any]

    @property
    def traceparent(self) -> tuple[str, str]:
        return self.trace, self.id


@dataclass
class Collector:
    """What was sent so far, also as it came."""

    url: str = ""
    spans: list[Sent] = field(default_factory=list)
    raw: bytes = b""
    is_open: threading.Event = field(default_factory=threading.Event)  # It answers nobody before.

    def named(self, name: str, **values: object) -> list[Sent]:
        """Return the spans of a name with these attributes of ours."""
        wanted = {f"driftline.{key}": value for key, value in values.items()}
        return [
            one for one in self.spans if one.name == name and wanted.items() <= one.values.items()
        ]

    def take(self, body: bytes) -> None:
        self.raw += body
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            whose = _plain(group.resource.attributes)
            self.spans += [
                Sent(
                    one.name, one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex(),
                    whose["driftline.process"], whose["service.name"], one.status.code == 2,
                    _plain(one.attributes),
                )
                for scope in group.scope_spans
                for one in scope.spans
            ]  # fmt: skip


def _plain(pairs: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in pairs}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Take traces on a free port of this machine until the block ends."""
    collector = Collector()
    collector.is_open.set()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.is_open.wait()
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with served(Taking) as collector.url:
        yield collector
