"""What the tap costs: CPU of one request through the same app without and with it, side by side.

Three ways: the bare ASGI callable in process, the same under uvicorn, and a FastAPI app under
uvicorn. Each answers 1 KiB to a request of 1 KiB and does nothing else. Rounds without and with
alternate; given is the median CPU (user and system) of the server per request.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from driftline.capture.tap import Capture, CaptureTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from driftline.capture.exchange import App, Message, Receive, Scope, Send

BODY = b"x" * 1024
ROUNDS = 5

SERVER = """
import socket, sys
import uvicorn
sys.path.insert(0, sys.argv[4])
import tap
app = {"asgi": tap.bare, "fastapi": tap.fastapi_app()}[sys.argv[1]]
if sys.argv[2]:
    app = tap.Capture(app, endpoint="flights", spool_dir=sys.argv[2])
uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False)).run(
    sockets=[socket.socket(fileno=int(sys.argv[3]))]
)
"""


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 1 KiB."""
    await receive()
    headers = [(b"content-type", b"text/csv"), (b"content-length", b"1024")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def fastapi_app() -> App:
    """Make a FastAPI app that answers 1 KiB."""
    from fastapi import FastAPI, Request, Response

    app = FastAPI()

    @app.post("/")
    async def answer(request: Request) -> Response:
        await request.body()
        return Response(BODY, media_type="text/csv")

    return app


def in_process(app: App, count: int) -> float:
    """Call the app in this process; give CPU microseconds a request."""
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"a/b")]}

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY}

    async def send(message: Message) -> None:
        pass

    async def run() -> None:
        for _ in range(count):
            await app(dict(scope), receive, send)

    start = time.process_time()
    asyncio.run(run())
    return (time.process_time() - start) / count * 1e6


def under_uvicorn(kind: str, spool: str, count: int) -> float:
    """Ask a server process over one connection; give its CPU microseconds a request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = [sys.executable, "-c", SERVER, kind, spool, str(listener.fileno())]
        server = subprocess.Popen(
            [*arguments, str(Path(__file__).parent)], pass_fds=[listener.fileno()]
        )
        try:
            connection = http.client.HTTPConnection(*listener.getsockname())
            ask(connection, count // 10)
            start = cpu_s(server.pid)
            ask(connection, count)
            used = cpu_s(server.pid) - start
            connection.close()
        finally:
            server.terminate()
            server.wait(10)
    return used / count * 1e6


def ask(connection: http.client.HTTPConnection, count: int) -> None:
    for _ in range(count):
        connection.request("POST", "/", BODY, {"Content-Type": "text/csv"})
        connection.getresponse().read()


def cpu_s(pid: int) -> float:
    """User and system time of a process, from its nanosecond counter."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def measured(name: str, plain: Callable[[], float], tapped: Callable[[], float]) -> str:
    """Alternate rounds without and with; give one line of the table."""
    pairs = [(plain(), tapped()) for _ in range(ROUNDS)]
    without, with_tap = (statistics.median(side) for side in zip(*pairs, strict=True))
    added = statistics.median(b - a for a, b in pairs)
    return f"| {name} | {without:.1f} | {with_tap:.1f} | {added:+.1f} |"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tap = Capture(bare, endpoint="flights", spool_dir=Path(folder, "a"))
        out = Capture(bare, spool_dir=Path(folder, "b"), route=lambda _: None)
        none = CaptureTarget("flights", sampling_percentage=0)
        unsampled = Capture(bare, spool_dir=Path(folder, "c"), route=lambda _: none)
        in_process(tap, 2_000)
        lines = [
            measured(name, lambda: in_process(bare, 5_000), lambda app=app: in_process(app, 5_000))
            for name, app in (
                ("in process, recorded", tap),
                ("in process, not sampled", unsampled),
                ("in process, path not recorded", out),
            )
        ]
        for kind, count in (("asgi", 2_000), ("fastapi", 1_500)):
            spool = str(Path(folder, kind))
            lines.append(
                measured(
                    f"uvicorn, {kind}, recorded",
                    lambda kind=kind, count=count: under_uvicorn(kind, "", count),
                    lambda kind=kind, count=count, spool=spool: under_uvicorn(kind, spool, count),
                )
            )
        if tap.counters["stored"] != tap.counters["requests"]:
            raise SystemExit(f"not everything was recorded: {tap.counters}")
    print("# What the tap costs\n")
    print(
        f"`bench/tap.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} shared cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}. "
        f"CPU (user and system) of the server in microseconds a request, median of {ROUNDS} "
        f"alternating rounds; request and response of 1 KiB.\n"
    )
    print("| way | without | with | added |\n|---|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
