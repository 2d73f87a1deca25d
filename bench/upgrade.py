"""Upgrades an installation of an earlier commit under traffic, rolls it back, and counts.

Both programs run in this environment, each from its own files, on SQLite and then on PostgreSQL:
`bench/upgrade.py [COMMIT] [SECONDS]`, the seconds of each of the three phases. A second is twenty
minutes of the installation's clock, which goes on while it is stopped; customers ask all the time,
and count what was answered with 200.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import skops.io
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sqlalchemy import text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from driftline.database.engine import open_database  # noqa: E402 - found by the line above.
from tests.kit.waiting import wait as eventually  # noqa: E402
from tests.servers import postgres  # noqa: E402
from tests.servers.ports import free_port  # noqa: E402

# The last commit before several people and several servers were thought of, and its schema.
COMMIT, SCHEMA = "25bffdac", "0015"
SECONDS = 30.0
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPEED = 1200
CUSTOMERS = 2
ONLY = "server,capture,scheduler,alarms"
WAIT_S = 240.0
ALARM = {
    "namespace": "Own", "metric_name": "Load", "statistic": "Sum", "period": 3600,
    "evaluation_periods": 1, "threshold": 1, "comparison_operator": "GreaterThanThreshold",
    "treat_missing_data": "ignore",
}  # fmt: skip


@dataclass
class Found:
    """What was counted of one rehearsal."""

    answered: set[str] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)
    lines: dict[str, object] = field(default_factory=dict)


class Installation:
    """One installation that two programs take turns at."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.clock = folder / "clock"
        self.database = database or f"sqlite:///{folder / 'store' / 'driftline.db'}"
        (folder / "driftline.toml").write_text(f"""
            [server]
            port = {port}
            [dashboard]
            port = {free_port()}
            [storage]
            root = "store"
            [database]
            url = "{self.database}"
            [capture]
            commit_interval_s = 0.3
            [scheduler]
            clock = "file:{self.clock}"
            poll_s = 0.3
            revisit_s = 2
            [alarms]
            poll_s = 0.5
        """)

    def command(self, program: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command of a program to its end."""
        return subprocess.run(
            [sys.executable, "-m", "driftline", *words, "-c", "driftline.toml"],
            cwd=self.folder, env=_of(program), capture_output=True, text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def running(self, program: Path, name: str) -> Iterator[None]:
        """Run the processes of a program; end them as Ctrl-C does."""
        log = self.folder / f"{name}.log"
        words = ["up", "--only", ONLY, "-c", "driftline.toml"]
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "driftline", *words],
                cwd=self.folder, env=_of(program), stdout=output, stderr=output,
            )  # fmt: skip
        try:
            eventually(
                lambda: "ready; Ctrl-C" in log.read_text() or process.poll() is not None,
                within_s=WAIT_S,
            )
            if process.poll() is not None:
                raise RuntimeError(log.read_text()[-2000:])
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT_S)

    def declare(self, folder: Path) -> None:
        """Put a model behind an endpoint, with an hourly monitor and an alarm."""
        spec = {"path": str(folder / "cells.skops")}
        data = {"data": str(folder / "reference.parquet"), "label": "target"}
        endpoint = {"model": "cells", "baseline": "cells", "trust_event_time": True}
        monitor = {
            "endpoint": "cells", "baseline": "cells", "schedule": "cron(0 * ? * * *)",
            "start": BEGIN.isoformat(),
        }  # fmt: skip
        kinds = {"Model": spec, "Baseline": data, "Endpoint": endpoint, "Monitor": monitor}
        resources = [{"kind": kind, "name": "cells", "spec": one} for kind, one in kinds.items()]
        resources.append({"kind": "Alarm", "name": "load", "spec": ALARM})
        self.ask("POST", "/api/v1/apply", json={"resources": resources})

    def ask(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - JSON
        """Ask the server; return its JSON."""
        answer = httpx.request(method, self.url + path, timeout=120, **options)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def drill(self, reason: str) -> None:
        """Put the alarm into ALARM and back."""
        for state in ("ALARM", "OK"):
            body = {"state_value": state, "state_reason": reason}
            self.ask("PUT", "/api/v1/alarms/load/state", json=body)

    def now(self) -> datetime:
        """Return the time of the installation's clock."""
        return datetime.fromisoformat(self.clock.read_text())

    def stored(self) -> list[str]:
        """Return the ids in the table, without driftline."""
        table = self.folder / "store" / "capture" / "cells"
        if not (table / "_delta_log").exists():
            return []
        return pl.read_delta(str(table), columns=["event_id"])["event_id"].to_list()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the database."""
        engine = open_database(self.database, read_only=True)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(query))]
        engine.dispose()
        return found


def _of(program: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(program), "NO_COLOR": "1"}


def unpack(commit: str, folder: Path) -> Path:
    """Write the files of a commit into a folder."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(folder, filter="tar")
    return folder


class Clock(threading.Thread):
    """Moves the installation's clock on, whether it runs or not."""

    def __init__(self, file: Path) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self._file = file
        self._began = time.monotonic()
        self._write()

    def _write(self) -> None:
        now = BEGIN + timedelta(seconds=SPEED * (time.monotonic() - self._began))
        new = self._file.with_suffix(".new")
        new.write_text(now.isoformat())
        new.replace(self._file)

    def run(self) -> None:
        while not self.stop.wait(0.1):
            self._write()


class Customer(threading.Thread):
    """Asks one row after the other, whether anybody answers or not."""

    def __init__(self, installation: Installation, rows: list[bytes], found: Found) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self._installation, self._rows, self._found = installation, rows, found

    def run(self) -> None:
        url = f"{self._installation.url}/endpoints/cells/invocations"
        with httpx.Client(timeout=60) as client:
            at = 0
            while not self.stop.wait(0.02):
                at += 1
                headers = {
                    "content-type": "text/csv",
                    "x-driftline-event-time": self._installation.now().isoformat(),
                }
                try:
                    body = self._rows[at % len(self._rows)]
                    answer = client.post(url, content=body, headers=headers)
                except httpx.TransportError:
                    self._found.others["no answer"] += 1
                    continue
                if answer.status_code == httpx.codes.OK:
                    self._found.answered.add(answer.headers["x-amzn-requestid"])
                else:
                    self._found.others[str(answer.status_code)] += 1


def rehearse(old: Path, folder: Path, database: str, phase_s: float) -> Found:
    """Run the old program, the new one, and the old one again; count what is there at the end."""
    found, data = Found(), load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    folder.mkdir()
    skops.io.dump(model, folder / "cells.skops")
    data.frame[:400].to_parquet(folder / "reference.parquet")
    rows = data.data[400:].to_csv(index=False, header=False).encode().splitlines()
    house = Installation(folder, database)
    clock = Clock(house.clock)
    customers = [Customer(house, rows[number:], found) for number in range(CUSTOMERS)]
    pause = threading.Event()
    with house.running(old, "1-old"):
        house.declare(folder)
        url = f"{house.url}/endpoints/cells/invocations"
        eventually(lambda: _answers(url, rows[0]), within_s=WAIT_S)
        for thread in (clock, *customers):
            thread.start()
        pause.wait(phase_s)
        house.drill("before")
    schema = house.command(ROOT, "migrate")
    with house.running(ROOT, "2-new"):
        pause.wait(phase_s)
        house.drill("between")
        refused = house.command(ROOT, "migrate", "--to", SCHEMA)
    back = house.command(ROOT, "migrate", "--to", SCHEMA)
    with house.running(old, "3-old"):
        pause.wait(phase_s)
        house.drill("after")
        for customer in customers:
            customer.stop.set()
        for customer in customers:
            customer.join(60)
        pause.wait(2 * 3600 / SPEED)
        clock.stop.set()
        clock.join()
        end = house.now().replace(minute=0, second=0, microsecond=0)
        eventually(lambda: found.answered <= set(house.stored()), within_s=WAIT_S)
        expected = int((end - BEGIN) / HOUR)
        with suppress(AssertionError):
            eventually(lambda: len(_windows(house)) >= expected, within_s=WAIT_S)
        history = house.ask("GET", "/api/v1/alarms/load/history", params={"limit": 1000})["items"]
    _count(house, found, expected, history)
    found.lines["migrate"] = schema.stdout.strip() or schema.stderr.strip()
    found.lines["migrate --to, while it runs"] = f"exit {refused.returncode}: {refused.stderr}"
    found.lines["migrate --to, when it is stopped"] = back.stdout.strip() or back.stderr.strip()
    return found


def _answers(url: str, row: bytes) -> bool:
    headers = {"content-type": "text/csv", "x-driftline-event-time": BEGIN.isoformat()}
    return httpx.post(url, content=row, headers=headers).status_code == httpx.codes.OK


def _windows(house: Installation) -> Counter[str]:
    """Return how many current executions each window has, by its start."""
    query = "SELECT window_start FROM monitors_executions WHERE is_current"
    return Counter(str(start) for (start,) in house.rows(query))


def _count(house: Installation, found: Found, expected: int, history: list[Any]) -> None:
    stored, windows = house.stored(), _windows(house)
    (all_of_them,) = house.rows("SELECT count(*) FROM monitors_executions")
    (distinct,) = house.rows(
        "SELECT count(*) FROM (SELECT DISTINCT window_start, digest, baseline_version "
        "FROM monitors_executions) AS d"
    )
    (versions,) = house.rows("SELECT count(DISTINCT baseline_version) FROM monitors_executions")
    statuses = house.rows(
        "SELECT CASE WHEN failure_reason IS NULL THEN status ELSE failure_reason END, count(*) "
        "FROM monitors_executions WHERE is_current GROUP BY 1"
    )
    told = Counter(
        one["history_data"]["newState"]["stateReason"]
        for one in history
        if one["history_item_type"] == "StateUpdate"
    )
    found.lines |= {
        "requests answered with 200": len(found.answered),
        "of these not stored": len(found.answered - set(stored)),
        "stored twice": len(stored) - len(set(stored)),
        "asked without a 200": dict(found.others),
        "windows of the schedule": expected,
        "windows with one current execution": sum(one == 1 for one in windows.values()),
        "windows without one, or with more": expected - sum(one == 1 for one in windows.values()),
        "judged again as late rows came": all_of_them[0] - len(windows),
        "run twice on the same rows and baseline": all_of_them[0] - distinct[0],
        "versions of the baseline that windows were judged by": versions[0],
        "statuses": dict(statuses),
        "changes of the alarm's state before, between and after": dict(told),
    }


def main() -> None:
    commit = sys.argv[1] if len(sys.argv) > 1 else COMMIT
    phase_s = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    with tempfile.TemporaryDirectory() as name, postgres.running() as server:
        old = unpack(commit, Path(name) / "old")
        server.execute("CREATE DATABASE upgraded TEMPLATE template0")
        found = {
            "SQLite": rehearse(old, Path(name) / "sqlite", "", phase_s),
            "PostgreSQL": rehearse(
                old, Path(name) / "postgres", server.tcp_url("upgraded"), phase_s
            ),
        }
    print("# Upgrade and roll back under traffic\n")
    print(f"`bench/upgrade.py {commit} {phase_s:.0f}`, {datetime.now(UTC):%Y-%m-%d}\n")
    print("| | SQLite | PostgreSQL |\n|---|---|---|")
    for line in found["SQLite"].lines:
        print(f"| {line} | {' | '.join(str(one.lines[line]).strip() for one in found.values())} |")


if __name__ == "__main__":
    main()
