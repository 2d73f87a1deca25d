"""A real server behind a real proxy, for the tests of both."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from driftline.app.listener import Server, listen
from driftline.capture.spool.frame import Frame
from driftline.capture.tap.proxy import ReverseProxy, proxy_app
from driftline.capture.tap.tap import Capture
from tests.capture.tap.test_tap import frames_of
from tests.servers.ports import free_port

UPSTREAM = """
import asyncio, gzip, json, os, sys
import uvicorn

calls = {"given_up": 0}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    path = scope["path"]

    async def start(status=200, *headers):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def part(body, more=True):
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def whole():
        found, more = b"", True
        while more:
            message = await receive()
            found += message.get("body", b"")
            more = message.get("more_body", False)
        return found

    if path == "/echo":
        body = await whole()
        await start(200, (b"content-type", b"application/json"), (b"x-amzn-requestid", b"theirs"),
                    (b"connection", b"x-hop"), (b"x-hop", b"1"), (b"set-cookie", b"a=1"),
                    (b"set-cookie", b"b=2"))
        names = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        target = scope["raw_path"].decode() + "?" + scope["query_string"].decode()
        told = {"headers": names, "target": target, "method": scope["method"], "size": len(body)}
        await part(json.dumps(told).encode(), False)
    elif path == "/upload":
        size = 0
        more = True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await start(201)
        await part(b"%d" % size, False)
    elif path == "/events":
        await whole()
        await start(200, (b"content-type", b"text/event-stream"))
        for number in range(3):
            await part(b"data: %d\\n\\n" % number)
            while not os.path.exists(f"go{number}"):
                await asyncio.sleep(0.01)
        await part(b"", False)
    elif path == "/packed":
        await whole()
        body = gzip.compress(b"x" * 1000)
        await start(200, (b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body)))
        await part(body, False)
    elif path == "/moved":
        await start(302, (b"location", b"/echo"))
        await part(b"", False)
    elif path == "/dies":
        await whole()
        await start(200, (b"content-type", b"text/plain"))
        await part(b"half of ")
        await asyncio.sleep(0.05)
        os._exit(9)
    elif path == "/slow":
        await whole()
        while (await receive())["type"] != "http.disconnect":
            pass
        calls["given_up"] += 1
    elif path == "/calls":
        await start()
        await part(json.dumps(calls).encode(), False)


uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", lifespan="off", date_header=False)
"""


class Upstream:
    """A model server of somebody else: a process on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", UPSTREAM, str(self.port)], cwd=self.folder
        )
        until(self._answers)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/calls", timeout=1).is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


def until(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    pause, end = threading.Event(), time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, "did not come about in time"
        pause.wait(0.02)
    return found


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    server = Upstream(tmp_path_factory.mktemp("upstream"))
    yield server
    server.stop()


@contextmanager
def proxying(
    upstream: str,
    spool_dir: Path,
    *,
    timeout_s: float = 60,
    paths: Sequence[str] | None = None,
    port: int = 0,
) -> Iterator[str]:
    """Run the proxy on a listener as its process has it, in a thread; give its address."""
    behind = ReverseProxy(upstream, timeout_s=timeout_s)
    app = proxy_app(Capture(behind, endpoint="flights", spool_dir=spool_dir, paths=paths))
    listener = listen("test", "127.0.0.1", port)
    server = Server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def proxy(upstream: Upstream, spool_dir: Path) -> Iterator[str]:
    with proxying(upstream.url, spool_dir) as url:
        yield url


def records(spool_dir: Path, count: int = 1) -> list[Frame]:
    """Wait until so many records are in the spool."""

    def found() -> list[Frame]:
        frames = frames_of(spool_dir) if spool_dir.exists() else []
        return frames if len(frames) >= count else []

    return list(until(found))
