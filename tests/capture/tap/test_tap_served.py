"""The tap inside real servers: our own listener, and shutdown."""

from __future__ import annotations

import asyncio
import errno
import os
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.spool.counters import read_drops
from driftline.capture.spool.follower import SpoolReader
from driftline.capture.tap.tap import Capture
from tests.capture.spool.spool_tools import spool_of
from tests.servers.answering import listening

Message = dict[str, Any]
COUNT = 8


def in_one_turn() -> Any:
    """Make an app that answers when so many requests are here, all in one turn of the loop."""
    waiting: list[None] = []
    all_here = asyncio.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting.append(None)
        if len(waiting) == COUNT:
            all_here.set()
        await all_here.wait()
        headers = [(b"content-type", b"text/csv"), (b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"1"})

    return app


@pytest.mark.parametrize("error", [None, OSError(errno.ENOSPC, "full"), MemoryError()])
def test_records_of_one_turn_are_written_together_before_any_answer_leaves(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    tap = Capture(in_one_turn(), endpoint="flights", spool_dir=spool_dir)
    assert tap.spool.append({"endpoint": "flights"})  # Begins the spool.
    writes, write = [], os.writev

    def writev(*given: Any) -> int:
        writes.append(given)
        if error is not None:
            raise error
        return write(*given)

    monkeypatch.setattr(os, "writev", writev)
    with listening(tap, lifespan="off") as port:
        connections = [HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(COUNT)]
        for connection in connections:
            connection.request("POST", "/", b"1,2", {"Content-Type": "text/csv"})
        statuses = [connections[0].getresponse().status]
        stored = len(SpoolReader(spool_of(spool_dir)).read(100)) - 1
        statuses += [connection.getresponse().status for connection in connections[1:]]
        for connection in connections:
            connection.close()
        lost = sum(drop.records for drop in read_drops(spool_of(spool_dir) / "counters"))

    assert statuses == [200] * COUNT
    assert len(writes) == 1
    assert (stored, lost) == ((COUNT, 0) if error is None else (0, COUNT))
    assert (tap.counters["stored"], tap.counters["dropped"]) == (1 + stored, lost)


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
