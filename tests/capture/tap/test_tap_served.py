"""The tap inside real servers: uvicorn, FastAPI, start and shutdown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from driftline.capture.spool.follower import SpoolReader
from driftline.capture.tap.tap import Capture

Message = dict[str, Any]


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
