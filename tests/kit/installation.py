"""A whole installation, started as a user would start it, and known from outside only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pandas as pd
import yaml
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from tests.kit.waiting import wait
from tests.servers.commands import driftline
from tests.servers.installations import ForkedInstallation
from tests.servers.ports import free_port

__all__ = ["Installation"]

T = TypeVar("T")
READY = "ready; Ctrl-C"
STOP_S = 60.0
# What looks every few seconds looks at once, since nobody is to wait for it.
SETTINGS = """
[server]
port = {port}
[dashboard]
port = {dashboard_port}
[storage]
root = "store"
[capture]
commit_interval_s = 0.2
[notify]
allow_networks = ["127.0.0.0/8"]
[metrics]
port = 0
"""


class Installation:
    """``driftline up`` in a folder, on free ports, while used as a context manager.

    Parameters
    ----------
    folder
        Where its settings and its store lie; may hold those of an earlier run.
    settings
        Text of driftline.toml: a table that SETTINGS has is merged with it, key by key.
    words
        Further words of the command, such as ``--only server``.
    environment
        Further variables of its environment, and of its commands.
    is_forked
        Whether its processes are forked with their imports, which saves three seconds of CPU.
        Where starting is what the test is about, they are started.
    """

    def __init__(
        self,
        folder: Path,
        settings: str = "",
        *,
        words: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        is_forked: bool = False,
    ) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        port, dashboard_port = free_port(), free_port()
        self.url, self.dashboard_url = (f"http://127.0.0.1:{p}" for p in (port, dashboard_port))
        self.settings_file = folder / "driftline.toml"
        text = SETTINGS.format(port=port, dashboard_port=dashboard_port)
        self.settings_file.write_text(merged(text, settings))
        storage = tomllib.loads(self.settings_file.read_text())["storage"]
        self.root: str = storage["root"] if ":" in storage["root"] else str(folder / "store")
        self.storage_options = {f"aws_{k}": v for k, v in storage.get("options", {}).items()}
        self.environment = {
            **os.environ, "NO_COLOR": "1", "DRIFTLINE_POLL_S": "0.5", **(environment or {}),
        }  # fmt: skip
        self._words, self._is_forked = ("up", *words), is_forked
        self._process: subprocess.Popen[str] | ForkedInstallation | None = None
        self._reader: threading.Thread | None = None
        self._lines: list[str] = []
        self._is_ready = threading.Event()
        self._client = self._new_client()

    def __enter__(self) -> Installation:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process that watches the others."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    def start(self) -> None:
        """Start it, and wait until all its processes are ready."""
        self._is_ready.clear()
        if self._is_forked:
            self._process = ForkedInstallation(self._words, self.folder, self.environment)
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "driftline", *self._words],
                stderr=subprocess.PIPE, text=True, cwd=self.folder, env=self.environment,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._is_ready.wait()
        if READY not in self.log.rpartition("starting, with")[2]:
            self.stop()
            raise AssertionError(f"driftline up ended before it was ready:\n{self.log}")

    def stop(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = STOP_S) -> int:
        """End it in order, or by another signal; return its exit code."""
        assert self._process is not None
        assert self._reader is not None
        self._process.send_signal(number)
        try:
            code = self._process.wait(within_s)
        finally:
            self._process.kill()
            self._reader.join(within_s)
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._client.close()
            self._client = self._new_client()
        return code

    def restart(self) -> None:
        """Stop it in order and start it again on the same folder and ports."""
        self.stop()
        self.start()

    def processes(self) -> dict[int, str]:
        """Return the names of its processes by their numbers: server, background, dashboard, …

        What a model runs in is a "worker"; what forks those is called "models".
        """
        parents: dict[int, int] = {}
        names: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                name, _, rest = (entry / "stat").read_text().rpartition(")")
            except OSError:  # It has ended meanwhile.
                continue
            parents[int(entry.name)] = int(rest.split()[1])
            names[int(entry.name)] = name.partition("(")[2]
        below = {self.pid}
        while more := {number for number, parent in parents.items() if parent in below} - below:
            below |= more
        return {number: names[number] for number in below}

    def kill(self, process_name: str) -> int:
        """Send SIGKILL to a process of this name; return its number."""
        found = self.processes()
        victims = [number for number, name in found.items() if name == process_name]
        assert victims, f"no process {process_name!r} among {sorted(set(found.values()))}"
        os.kill(victims[0], signal.SIGKILL)
        return victims[0]

    def cli(
        self, *words: object, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in its folder; return its exit code and what it printed."""
        env = {**self.environment, **environment}
        return driftline(*words, cwd=self.folder, env=env, stdin=stdin)

    def done(self, *words: object) -> str:
        """Run a command that has to succeed; return what it printed."""
        found = self.cli(*words)
        assert found.returncode == 0, (words, found.stdout, found.stderr)
        return found.stdout + found.stderr

    def apply(self, *resources: Mapping[str, Any]) -> str:
        """Declare resources: each has a ``kind``, a ``name`` and a ``spec``."""
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".yaml") as file:
            yaml.safe_dump_all([dict(one) for one in resources], file, sort_keys=False)
            file.flush()
            return self.done("apply", "-f", file.name)

    def deploy(self, name: str, model: Any, reference: pd.DataFrame, *words: object) -> str:
        """Deploy a model of scikit-learn with reference data, as ``driftline deploy`` does."""
        # It imports all of scikit-learn, which the process that hands out the tests has no use for.
        import skops.io

        skops.io.dump(model, self.folder / f"{name}.skops")
        reference.to_parquet(self.folder / f"{name}.parquet")
        data = ("--name", name, "--reference", f"{name}.parquet")
        return self.done("deploy", f"{name}.skops", *data, *words)

    def judge(
        self, monitor: str, start: datetime, end: datetime
    ) -> subprocess.CompletedProcess[str]:
        """Run a monitor on one window."""
        span = ("--from", start.isoformat(), "--to", end.isoformat())
        return self.cli("monitor", "run", monitor, *span)

    def reports(self, monitor: str) -> dict[datetime, dict[str, Any]]:
        """Return the reports that count now by the starts of their windows."""
        found = {}
        for item in self.get(f"/api/v1/monitors/{monitor}/executions")["items"]:
            answer = self.request("GET", f"/api/v1/executions/{item['id']}/report")
            if item["is_current"] and answer.is_success:
                found[datetime.fromisoformat(item["window_start"])] = answer.json()
        return found

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Send one HTTP request to the server."""
        return self._client.request(method, path, **given)

    def get(self, path: str, **given: Any) -> Any:
        """Return what the server answers, as JSON where it is; anything but 2xx is an error."""
        answer = self.request("GET", path, **given)
        assert answer.is_success, (path, answer.status_code, answer.text)
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.json() if is_json else answer.text

    def put_metric(self, name: str, value: object, **more: Any) -> None:
        """Add a datapoint to a metric of the namespace shop."""
        datum = {"MetricName": name, "Value": value, **more}
        body = {"Namespace": "shop", "MetricData": [datum]}
        assert self.request("POST", "/api/v1/metrics", json=body).is_success

    def invoke(
        self,
        endpoint: str,
        body: object,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        at: datetime | None = None,
        inference_id: str | None = None,
    ) -> httpx.Response:
        """Ask for predictions: a frame goes as CSV, lists and mappings as JSON, bytes as given.

        ``at`` says when it happened, to an endpoint with ``trust_event_time``.
        """
        if isinstance(body, pd.DataFrame):
            body, usual = body.to_csv(index=False, header=False).encode(), "text/csv"
        elif isinstance(body, str | bytes):
            usual = "text/csv"
        else:
            body, usual = json.dumps(body), "application/json"
        sent = {"content-type": content_type or usual, **(headers or {})}
        if at is not None:
            sent["X-Driftline-Event-Time"] = at.isoformat()
        if inference_id is not None:
            sent["X-Amzn-SageMaker-Inference-Id"] = inference_id
        path = f"/endpoints/{endpoint}/invocations"
        return self.request("POST", path, content=body, headers=sent)

    def is_answering(self, endpoint: str, body: object, **given: Any) -> bool:
        """Whether an invocation is answered by 200 now; the server may be away."""
        try:
            return self.invoke(endpoint, body, **given).status_code == 200
        except httpx.TransportError:
            return False

    def is_up(self) -> bool:
        """Whether the server is in service now; it may be away."""
        try:
            return self.request("GET", "/readyz").is_success
        except httpx.TransportError:
            return False

    def wait(self, look: Callable[[], T | None], within_s: float = 60.0) -> T:
        """Look again and again until something true is found, and return it."""
        return wait(look, within_s=within_s)

    def table(self, endpoint: str, kind: str = "capture") -> pd.DataFrame:
        """Return the captured rows of an endpoint (or its labels: "truth"), without driftline."""
        return self.delta(f"{kind}/{endpoint}")

    def delta(self, path: str) -> pd.DataFrame:
        """Return a Delta table below the storage root; an empty frame where there is none yet.

        An erasure takes files away at once: then a newer version is there, and that is read.
        """
        version = -1
        while True:
            try:
                table = DeltaTable(f"{self.root}/{path}", storage_options=self.storage_options)
                return table.to_pandas()
            except TableNotFoundError:
                return pd.DataFrame()
            except FileNotFoundError:
                if table.version() == version:
                    raise
                version = table.version()

    def captured(self, endpoint: str, requests: int, *, within_s: float = 60.0) -> pd.DataFrame:
        """Wait until rows of so many requests are captured; return the table."""

        def look() -> list[pd.DataFrame]:
            rows = self.table(endpoint)
            return [rows] if not rows.empty and rows["event_id"].nunique() >= requests else []

        return wait(look, within_s=within_s, every_s=0.3)[0]

    def _new_client(self) -> httpx.Client:
        """Return one that keeps its connections: a new one costs four times what a request does."""
        return httpx.Client(base_url=self.url, timeout=STOP_S, trust_env=False)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            if READY in line:
                self._is_ready.set()
        self._is_ready.set()


def merged(first: str, second: str) -> str:
    """Return two TOML texts as one; the second one's keys win."""
    tables = tomllib.loads(first)
    for name, keys in tomllib.loads(second).items():
        tables[name] = {**tables.get(name, {}), **keys}
    lines = []
    for name, keys in tables.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)  # Texts, numbers and booleans are written alike.
