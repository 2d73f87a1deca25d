"""The tap in an environment that holds driftline alone: ``pip install --no-deps driftline``."""

import shutil
import subprocess
import sys
from pathlib import Path

import driftline
from driftline.capture.spool.frame import Kind
from tests.capture.tap.test_tap import frames_of

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


def _install_alone(folder: Path) -> Path:
    """Install driftline, and nothing else, into a new environment; return its interpreter."""
    checkout = Path(driftline.__file__).parents[1]
    source, environment = folder / "source", folder / "environment"
    # A copy: a build writes beside its sources.
    shutil.copytree(checkout / "driftline", source / "driftline")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(checkout / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "-w", folder, source], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (wheel,) = folder.glob("*.whl")
    into = [*pip, "--python", environment / "bin" / "python", "install", "--no-deps", "--no-index"]
    subprocess.run([*into, wheel], check=True)
    return environment / "bin" / "python"


def test_capture_and_logger_need_no_other_package(tmp_path: Path) -> None:
    python = _install_alone(tmp_path)
    shop = tmp_path / "shop"
    shop.mkdir()

    done = subprocess.run([python, "-c", APP], cwd=shop, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    frames = frames_of(shop / ".driftline" / "spool")
    assert sorted(one.meta["endpoint"] for one in frames if one.kind == Kind.RECORD) == [
        "batch",
        "orders",
    ]
