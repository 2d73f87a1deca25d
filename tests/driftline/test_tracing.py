"""Traces as a collector gets them, and what a process is spared where none asks for them."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.tap.tap import Capture
from driftline.tracing import span, traced, tracing
from tests.servers.commands import talking
from tests.servers.otlp import collecting

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_nothing_of_the_sdk_is_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys, driftline.app.processes, driftline.capture.tap.tap\n"
        "from driftline.tracing import carrier, note, span, traced, tracing\n"
        "with tracing('server', {}), span('window', monitor='m') as one:\n"
        "    note(one, rows=1)\n"
        "    assert traced(print, None) is print and carrier() == {}\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )

    with talking(code) as (_, _, printed):
        assert printed.read().strip() == "[]"


def test_an_invocation_continues_the_trace_of_its_caller_and_passes_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner: list[tuple[bytes, bytes]] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        inner.extend(scope["headers"])
        await receive()
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"sekrit-answer"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"sekrit-body", "more_body": False}

    async def send(_: Any) -> None:
        return None

    caller = f"00-{TRACE}-{PARENT}-01".encode()
    headers = [(b"authorization", b"Bearer sekrit-token"), (b"traceparent", caller)]
    scope = {
        "type": "http", "method": "POST", "path": "/predict", "headers": headers,
        "query_string": b"token=sekrit-query",
    }  # fmt: skip
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)  # The exporter reads it, too.
        with tracing("server"):
            tap = Capture(traced(answer, lambda _: "prices"), endpoint="prices", spool_dir=tmp_path)
            asyncio.run(tap(scope, receive, send))
        tap.spool.close()
    (one,) = collector.spans

    assert (one.name, one.trace, one.parent) == ("invocation", TRACE, PARENT)
    assert dict(inner)[b"traceparent"] == f"00-{TRACE}-{one.id}-01".encode()
    assert one.values.pop("driftline.request_id")
    assert one.values == {"driftline.endpoint": "prices", "http.response.status_code": 503}
    assert one.is_error
    assert b"sekrit" not in collector.raw


def test_a_collector_that_never_answers_costs_spans_and_no_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten times what the queue takes; the work takes the time of the spans alone."""
    caplog.set_level(logging.INFO)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with tracing("server"):
            began_s = time.thread_time()
            for _ in range(20_000):
                with span("window"):
                    pass
            used_s = time.thread_time() - began_s
            began_s = time.monotonic()
        ended_s = time.monotonic() - began_s

    assert used_s < 20_000 * 0.001
    assert ended_s < 10
    assert len(caplog.records) == 1
