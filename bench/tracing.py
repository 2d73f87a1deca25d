"""What tracing costs: a span that is off, and invocations with traces off and on.

An app of one line behind the real tap, called in this process; the collector is another process
and takes everything. CPU of all threads, so that packing and sending count, too.
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from driftline.app.open_telemetry import tracing
from driftline.capture.tap.asgi import Message, Receive, Scope, Send
from driftline.capture.tap.tap import Capture
from driftline.tracing import span, traced

ROUNDS, REQUESTS, SPANS = 8, 1_000, 5_000
_COLLECTOR = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Take(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Take)
print(server.server_port, flush=True)
server.serve_forever()
"""


async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with little."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"1"})


async def receive() -> Message:
    """Send a body of a kilobyte."""
    return {"type": "http.request", "body": b"x" * 1024, "more_body": False}


async def send(_: Message) -> None:
    """Take a message."""


def request_us(folder: Path) -> float:
    """Return the CPU of one request through the tap, in microseconds."""
    tap = Capture(
        traced(answer, lambda _: "flights", lambda: tap.counters),
        endpoint="flights",
        spool_dir=folder,
    )
    headers = [(b"content-type", b"text/csv")]

    async def ask() -> None:
        for _ in range(REQUESTS):
            await tap(
                {"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send
            )

    began_s = time.process_time()
    asyncio.run(ask())
    used_s = time.process_time() - began_s
    tap.spool.close()
    return used_s / REQUESTS * 1e6


def span_us() -> float:
    """Return the CPU of a span of two attributes, in microseconds."""
    began_s = time.thread_time()
    for _ in range(SPANS):
        with span("window", monitor="flights", rows=1):
            pass
    return (time.thread_time() - began_s) / SPANS * 1e6


def lowest(measure: Callable[[], float]) -> float:
    """Return the lowest of several rounds: a busy machine only adds."""
    return min(measure() for _ in range(ROUNDS))


def main() -> None:
    """Print a table."""
    collector = subprocess.Popen(
        [sys.executable, "-c", _COLLECTOR], stdout=subprocess.PIPE, text=True
    )
    assert collector.stdout is not None
    url = f"http://127.0.0.1:{int(collector.stdout.readline())}"
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.0f}\n"
    )
    print("| CPU, us | off | on, every tenth request sampled | on, all |\n|---|---:|---:|---:|")
    ways = [{}, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}, {}]
    rows: list[tuple[float, float]] = []
    for number, way in enumerate(ways):
        os.environ.pop("OTEL_TRACES_SAMPLER", None)
        os.environ.update({"OTEL_EXPORTER_OTLP_ENDPOINT": url, **way})
        with (
            tempfile.TemporaryDirectory() as folder,
            tracing("server") if number else nullcontext(),
        ):
            rows.append((lowest(lambda: request_us(Path(folder))), lowest(span_us)))
    for name, place in (("a request of 1 KiB through the tap", 0), ("a span", 1)):
        print(f"| {name} | " + " | ".join(f"{row[place]:.1f}" for row in rows) + " |")
    collector.kill()
    collector.wait()


if __name__ == "__main__":
    main()
