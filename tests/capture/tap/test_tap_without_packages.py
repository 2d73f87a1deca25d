"""The tap in an environment that holds driftline alone: ``pip install --no-deps driftline``."""

import subprocess
from pathlib import Path

from driftline.capture.spool.frame import Kind
from tests.capture.tap.test_tap import frames_of
from tests.servers.wheel import install_alone

APP = """
import asyncio
import driftline as dl

async def model(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"late": true}'})

async def ask():
    messages = [{"type": "http.request", "body": b'{"km": 7}', "more_body": False}]
    async def receive():
        return messages.pop()
    async def send(message):
        pass
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
    await dl.Capture(model, endpoint="orders")(scope, receive, send)

asyncio.run(ask())
dl.Logger("batch")({"km": 7}, True)
"""


def test_capture_and_logger_need_no_other_package(wheel: Path, tmp_path: Path) -> None:
    python = install_alone(wheel, tmp_path / "environment")
    shop = tmp_path / "shop"
    shop.mkdir()

    done = subprocess.run([python, "-c", APP], cwd=shop, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    frames = frames_of(shop / ".driftline" / "spool")
    assert sorted(one.meta["endpoint"] for one in frames if one.kind == Kind.RECORD) == [
        "batch",
        "orders",
    ]
