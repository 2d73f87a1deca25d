"""Whole installations, started as a user would start them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tests.servers.kafka import kafka_broker

__all__ = ["kafka_broker"]

T = TypeVar("T")


@dataclass(frozen=True)
class Demo:
    """What a finished demo left behind."""

    folder: Path
    code: int
    output: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run ``driftline demo --exit --no-browser`` for sixty days, as a user would."""
    folder = tmp_path_factory.mktemp("demo") / "here"
    found = driftline("demo", "--days", "60", "--exit", "--no-browser", "--folder", str(folder))
    return Demo(folder, found.returncode, found.stdout + found.stderr)


def driftline(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end."""
    command = [sys.executable, "-m", "driftline", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=cwd)


def free_port() -> int:
    """Give a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(*arguments: str, until: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Keep a command running from the line that contains `until`; end it by SIGTERM."""
    command = [sys.executable, "-m", "driftline", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=cwd, env={**os.environ, "NO_COLOR": "1"}
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if until in line:
            break
    else:
        raise AssertionError(f"{arguments} ended before {until!r}:\n{''.join(lines)}")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def eventually(look: Callable[[], T | None], *, within_s: float = 60.0) -> T:
    """Look again and again until there is something to see, and give it."""
    pause, end = threading.Event(), time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, f"nothing came within {within_s} s"
        pause.wait(0.1)
    return found
