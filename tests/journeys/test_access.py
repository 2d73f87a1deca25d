"""An installation that asks who asks: commands by themselves, others by tokens, all of it noted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import skops.io

from driftline.access.authentication import COOKIE, REVOKED_S
from tests.journeys.conftest import driftline, eventually
from tests.servers.ports import free_port
from tests.serving.conftest import make_frame, make_model

ROWS = "UA,EWR,1400,51.5\nDL,JFK,200,40\n"


@dataclass
class Installation:
    """A folder in which `driftline up` runs, its ports, and the secrets made so far."""

    folder: Path
    port: int
    pages_port: int
    secrets: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, name: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command there, with a token by its name or without one."""
        env = {**os.environ, "COLUMNS": "80"}
        if name:
            env["DRIFTLINE_AUTH__TOKEN"] = self.secrets[name]
        found = driftline(*words, cwd=self.folder, env=env)
        assert found.returncode == code, found.stderr
        return found

    def make(self, name: str, *words: str) -> None:
        self.secrets[name] = self.run("token", "create", name, *words).stdout.strip()

    def ask(self, method: str, path: str, secret: str = "", host: str = "") -> int:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        headers |= {"host": host} if host else {}
        url = f"http://127.0.0.1:{self.port}{path}"
        if method == "POST":
            headers["content-type"] = "text/csv"
            return httpx.post(url, content=ROWS, headers=headers, timeout=60).status_code
        return httpx.get(url, headers=headers, timeout=60).status_code


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("access")
    port, pages_port = free_port(), free_port()
    (folder / "driftline.toml").write_text(
        f'[server]\nhost = "0.0.0.0"\nport = {port}\n[dashboard]\nport = {pages_port}\n'
        f"[metrics]\nbackground_port = {free_port()}\n"
        '[auth]\nmode = "token"\nhosts = ["driftline"]\n'
    )
    frame = make_frame()
    skops.io.dump(make_model(frame), folder / "flights.skops")
    frame.to_csv(folder / "train.csv", index=False)
    (folder / "rows.csv").write_text(ROWS)
    log = folder / "up.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "driftline", "up"], stderr=stderr, cwd=folder
        )
    try:
        eventually(lambda: "ready; Ctrl-C" in log.read_text(), within_s=120)
        yield Installation(folder, port, pages_port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_tokens_let_in_whom_they_are_for_and_the_audit_log_shows_it(
    installation: Installation,
) -> None:
    found, folder = installation, installation.folder
    own = (folder / ".driftline" / "access.token").read_text().strip()
    invocations, lines = "/endpoints/flights/invocations", "/api/v1/endpoints/flights/capture/lines"

    # Nobody without a token, whoever has it by the names of the settings.
    assert found.ask("GET", "/healthz") == 200
    assert found.ask("GET", "/api/v1/alarm-states") == 401
    assert found.ask("POST", invocations) == 401
    assert found.ask("GET", "/api/v1/alarm-states", own, "driftline:8080") == 200
    assert found.ask("GET", "/api/v1/alarm-states", own, "other:8080") == 403
    log = (folder / "up.log").read_text()
    assert "tokens travel in the clear" in log
    assert f"with the token in {folder / '.driftline' / 'access.token'}" in log

    # Commands beside the settings need none.
    found.run("deploy", "flights.skops", "--reference", "train.csv", "--label", "late")
    assert "flights" in found.run("get", "endpoint").stdout
    found.make("shop", "--role", "invoke", "--endpoint", "flights")
    found.make("reader", "--role", "viewer")

    # Each role does its own, and nothing else.
    answered = found.run("invoke", "flights", "rows.csv", name="shop")
    assert len(answered.stdout.splitlines()) >= 2
    assert "this takes the role viewer" in found.run("get", "alarm", name="shop", code=2).stderr
    assert found.ask("POST", invocations, found.secrets["reader"]) == 403
    assert found.run("get", "endpoint", name="reader").stdout
    assert found.ask("GET", lines, found.secrets["reader"]) == 403

    # A browser reads of the programming interface in the dashboard.
    assert found.ask("GET", "/docs") == 401
    with httpx.Client(base_url=f"http://127.0.0.1:{found.pages_port}", timeout=60) as browser:
        assert browser.post("/login", json={"token": found.secrets["reader"]}).is_success
        assert "driftline: programming interface" in browser.get("/docs").text
        found.secrets["session"] = browser.cookies[COOKIE]

    # What is revoked is refused soon.
    assert found.ask("POST", invocations, found.secrets["shop"]) == 200
    found.run("token", "revoke", "shop")
    eventually(
        lambda: found.ask("POST", invocations, found.secrets["shop"]) == 401, within_s=REVOKED_S
    )

    entries = json.loads(found.run("audit", "--json").stdout)
    noted = {(one["subject"], one["action"], one["target"], one["status"]) for one in entries}
    assert noted >= {
        ("local", "create", "Token/shop", None),
        ("local", "create", "Endpoint/flights", None),
        ("local", "delete", "Token/shop", None),
        ("shop", "GET /api/v1/{collection}", "/api/v1/alarms", 403),
        ("reader", f"GET {lines.replace('flights', '{name}')}", lines, 403),
    }

    # A secret is where it belongs, and nowhere else.
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 20
    for name, secret in {"own": own, **found.secrets}.items():
        places = [file.name for file in files if secret.encode() in file.read_bytes()]
        assert places == (["access.token"] if name == "own" else []), name
