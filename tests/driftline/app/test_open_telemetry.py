"""Traces as a collector gets them, and what a process is spared where none asks for them."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from driftline.app.open_telemetry import tracing
from driftline.capture.tap.tap import Capture
from driftline.tracing import span, traced
from tests.servers.commands import talking
from tests.servers.otlp import collecting

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what points the exporter, which reads the process's own environment, somewhere."""

    def ask(url: str, **others: str) -> Mapping[str, str]:
        given = {ENDPOINT: url, **others}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return given

    return ask


def test_nothing_of_opentelemetry_is_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys, driftline.app.processes, driftline.capture.tap.tap\n"
        "from driftline.app.open_telemetry import tracing\n"
        "from driftline.tracing import carrier, note, span, traced\n"
        "with tracing('server', {}), span('window', monitor='m') as one:\n"
        "    note(one, rows=1)\n"
        "    assert traced(print, None) is print and carrier() == {}\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )

    with talking(code) as (_, _, printed):
        assert printed.read().strip() == "[]"


def _call(app: Any, headers: list[tuple[bytes, bytes]]) -> None:
    """Ask an app once."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"sekrit-body", "more_body": False}

    async def send(_: Any) -> None:
        return None

    scope = {
        "type": "http", "method": "POST", "path": "/predict", "headers": headers,
        "query_string": b"token=sekrit-query",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))


def _invoked(folder: Path, given: Mapping[str, str]) -> dict[bytes, bytes]:
    """Send an invocation with a traceparent through the tap; return its headers further in."""
    seen: list[tuple[bytes, bytes]] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await receive()
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"sekrit-answer"})

    with tracing("server", given):
        inner = traced(answer, lambda _: "prices")
        tap = Capture(inner, endpoint="prices", spool_dir=folder)
        caller = f"00-{TRACE}-{PARENT}-01".encode()
        _call(tap, [(b"authorization", b"Bearer sekrit-token"), (b"traceparent", caller)])
    tap.spool.close()
    return dict(seen)


def test_an_invocation_continues_the_trace_of_its_caller_and_passes_it_on(
    tmp_path: Path, asking: Any
) -> None:
    with collecting() as collector:
        inner = _invoked(tmp_path, asking(collector.url))
    (one,) = collector.spans

    assert (one.name, one.trace, one.parent) == ("invocation", TRACE, PARENT)
    assert inner[b"traceparent"] == f"00-{TRACE}-{one.id}-01".encode()
    assert one.values.pop("driftline.request_id")
    assert one.values == {"driftline.endpoint": "prices", "http.response.status_code": 503}
    assert one.is_error
    assert b"sekrit" not in collector.raw


@pytest.mark.parametrize(
    "is_hanging",
    [
        pytest.param(True, id="never answers"),
        pytest.param(False, id="is away", marks=pytest.mark.full),
    ],
)
def test_a_dead_collector_costs_spans_and_no_work(
    asking: Any, caplog: pytest.LogCaptureFixture, is_hanging: bool
) -> None:
    """Ten times what the queue takes; the work takes the time of the spans alone."""
    caplog.set_level(logging.INFO)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if is_hanging:
            silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with tracing("server", asking(url, OTEL_EXPORTER_OTLP_TIMEOUT="1")):
            began_s = time.thread_time()
            for _ in range(20_000):
                with span("window"):
                    pass
            used_s = time.thread_time() - began_s
            _wait_for(lambda: is_hanging or _lost(caplog))
            began_s = time.monotonic()
        ended_s = time.monotonic() - began_s

    assert used_s < 20_000 * 0.001
    assert ended_s < 10
    assert len(_lost(caplog)) <= 1  # One in ten minutes.
    assert len(caplog.records) == 1 + len(_lost(caplog))


def _lost(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [one.getMessage() for one in caplog.records]
    return [one for one in said if one.startswith("event=spans-lost")]


def _wait_for(is_over: Callable[[], object]) -> None:
    wait, end_s = threading.Event(), time.monotonic() + 30
    while not is_over() and time.monotonic() < end_s:
        wait.wait(0.05)
