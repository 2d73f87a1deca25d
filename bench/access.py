"""Processor time of an invocation, with [auth] mode = "off" and "token", side by side.

Two servers of one model in turn, one connection each: ``python -m bench.access``.
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import skops.io

from driftline.access.tokens import read_token
from driftline.app.client.client import Client
from driftline.app.settings.settings import load
from tests.servers.ports import free_port
from tests.serving.conftest import make_frame, make_model

ROUNDS, REQUESTS = 7, 400
BODY = b"UA,EWR,1400,51.5\n"


class Server:
    """A server in a folder of its own."""

    def __init__(self, folder: Path, mode: str) -> None:
        folder.mkdir()
        port = free_port()
        text = f'[server]\nport = {port}\n[auth]\nmode = "{mode}"\n'
        (folder / "driftline.toml").write_text(text)
        settings = load(folder / "driftline.toml", environment={})
        command = [sys.executable, "-m", "driftline", "server"]
        self.process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        assert any("ready" in line for line in self.process.stderr)
        # So that a full pipe does not stop it.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        frame = make_frame()
        skops.io.dump(make_model(frame), folder / "flights.skops")
        frame.to_parquet(folder / "train.parquet", index=False)
        specs = {
            "Model": {"path": str(folder / "flights.skops")},
            "Baseline": {"data": str(folder / "train.parquet"), "label": "late"},
            "Endpoint": {"model": "flights", "baseline": "flights"},
        }
        self.headers = {"Content-Type": "text/csv"}
        with Client(settings.server_url, settings=lambda: settings) as client:
            client.apply({"kind": kind, "name": "flights", "spec": specs[kind]} for kind in specs)
            if mode != "off":
                admin = read_token(settings.token_file)
                assert client.shown["authorization"].endswith(admin)
                secret = client.create_token("shop", ["invoke"], endpoints=["flights"])["token"]
                self.headers["Authorization"] = f"Bearer {secret}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.send(100)

    def send(self, count: int) -> None:
        for _ in range(count):
            self.connection.request("POST", "/endpoints/flights/invocations", BODY, self.headers)
            answer = self.connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status

    def cpu_s(self) -> float:
        """Return what all its threads took."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def measure(self) -> float:
        """Return the processor time of the server for one request, in µs."""
        self.connection.close()  # The server closes one that has waited for its turn.
        self.send(10)
        before = self.cpu_s()
        self.send(REQUESTS)
        return (self.cpu_s() - before) / REQUESTS * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        servers = {mode: Server(Path(folder, mode), mode) for mode in ("off", "token")}
        found: dict[str, list[float]] = {mode: [] for mode in servers}
        for _ in range(ROUNDS):
            for mode, server in servers.items():
                found[mode].append(server.measure())
        for server in servers.values():
            server.process.terminate()
            server.process.wait()
    for mode, values in found.items():
        low, _, high = statistics.quantiles(values)
        print(f"{mode:<6} {statistics.median(values):7.0f} µs  ({low:.0f} to {high:.0f})")
    extra = [token - off for off, token in zip(found["off"], found["token"], strict=True)]
    print(f"token - off, median of rounds: {statistics.median(extra):.0f} µs")


if __name__ == "__main__":
    main()
