"""The tap inside real servers: uvicorn, FastAPI, start and shutdown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

from driftline.capture.spool.follower import SpoolReader
from driftline.capture.spool.frame import Flag
from driftline.capture.tap.tap import Capture
from tests.capture.tap.test_tap import frames_of

Call = Callable[..., list[dict[str, Any]]]
Message = dict[str, Any]


@pytest.fixture
def served(spool_dir: Path, tmp_path: Path) -> Any:
    """A FastAPI app with the tap, behind a real uvicorn in a thread; gives its URL."""
    (tmp_path / "answer.txt").write_text("from a file")
    app = FastAPI()
    app.add_middleware(Capture, endpoint="flights", spool_dir=spool_dir)

    @app.post("/plain")
    async def plain(request: Request) -> PlainTextResponse:
        return PlainTextResponse((await request.body()).upper())

    @app.post("/file")
    async def file() -> FileResponse:
        return FileResponse(tmp_path / "answer.txt")

    @app.post("/stream")
    async def stream() -> StreamingResponse:
        loops.append(asyncio.get_running_loop())

        async def parts() -> Any:
            for number in range(3):
                yield b"part %d\n" % number
                await release.wait()

        return StreamingResponse(parts())

    @app.post("/broken")
    async def broken() -> None:
        raise LookupError("of the app")

    release = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    waited = threading.Event()
    while not server.started:
        waited.wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", lambda: loops[0].call_soon_threadsafe(release.set)
    server.should_exit = True
    thread.join(10)


def test_inside_uvicorn_and_fastapi(served: Any, spool_dir: Path) -> None:
    url, release = served
    with httpx.Client(base_url=url, timeout=10) as client:
        plain = client.post("/plain", content=b"abc")
        file = client.post("/file")
        received: list[bytes] = []
        with client.stream("POST", "/stream") as streamed:
            for part in streamed.iter_raw():
                received.append(part)
                release()

    failed = httpx.post(f"{url}/broken", timeout=10)

    found = {frame.meta["event_id"]: frame for frame in frames_of(spool_dir)}
    assert plain.text == "ABC"
    assert found[plain.headers["x-amzn-requestid"]].response == b"ABC"
    assert found[file.headers["x-amzn-requestid"]].response == b"from a file"
    # The first part came through while the app still waited for us to have it.
    assert received[0] == b"part 0\n"
    stream = found[streamed.headers["x-amzn-requestid"]]
    assert stream.response == b"part 0\npart 1\npart 2\n"
    assert stream.flags & Flag.STREAMED
    assert failed.status_code == 500
    (broken,) = (frame for frame in found.values() if frame.flags & Flag.APP_ERROR)
    assert broken.status == 500


def test_shutting_the_app_down_ends_the_spool(spool_dir: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            tap.spool.append({"endpoint": "flights"})

    tap = Capture(app, endpoint="flights", spool_dir=spool_dir)

    async def receive() -> Message:
        return {}

    asyncio.run(tap({"type": "lifespan"}, receive, send))

    (spool,) = spool_dir.iterdir()
    reader = SpoolReader(spool)
    reader.read(10)
    assert reader.is_finished
