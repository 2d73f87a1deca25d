"""One server that asks for tokens, started as a user starts it, for the tests of this folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.conftest import driftline, eventually
from tests.servers.ports import free_port


@dataclass(frozen=True)
class Server:
    """A running server: its folder, its address, and the token that it made there."""

    folder: Path
    url: str
    database: Path

    @property
    def token(self) -> str:
        """The token of the installation."""
        return (self.folder / ".driftline" / "access.token").read_text().strip()

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        """Ask with a token, by default that of the installation."""
        headers = {"authorization": f"Bearer {token or self.token}"} | more.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **more)

    def send(self, method: str, path: str, body: str) -> httpx.Response:
        """Send JSON as it is written, whatever it says."""
        kind = {"content-type": "application/json"}
        return self.ask(method, path, headers=kind, content=body)

    def run(self, *words: object, code: int = 0, **variables: str) -> str:
        """Run a command beside the server's settings; return its output and messages."""
        env = {**os.environ, "COLUMNS": "200", **variables}
        found = driftline(*words, cwd=self.folder, env=env)
        assert found.returncode == code, found.stdout + found.stderr
        return found.stdout + found.stderr


@contextmanager
def serving(folder: Path, more: str = "", database: Path | None = None) -> Iterator[Server]:
    """Run ``driftline server`` in a folder, with more of driftline.toml."""
    port, file = free_port(), database or folder / "driftline.db"
    (folder / "driftline.toml").write_text(
        f'[server]\nport = {port}\n[auth]\nmode = "token"\n'
        f'[database]\nurl = "sqlite:///{file}"\n{more}'
    )
    log = folder / "server.log"
    with log.open("wb") as output:
        words = [sys.executable, "-m", "driftline", "server"]
        process = subprocess.Popen(words, stderr=output, cwd=folder)
    try:
        eventually(lambda: "ready" in log.read_text() or process.poll() is not None, within_s=120)
        yield Server(folder, f"http://127.0.0.1:{port}", file)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("access")) as found:
        yield found
