"""After a stop in order no process is left, and the SQLite file alone is the whole database."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from driftline.app.client.client import Client
from tests.journeys.conftest import driftline, eventually, running
from tests.servers.ports import free_port

DATABASE = Path(".driftline") / "driftline.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "driftline.toml").write_text(f"""
        [server]
        port = {free_port()}
        [dashboard]
        port = {free_port()}
        [metrics]
        background_port = 0
    """)
    return tmp_path


def copied(folder: Path, table: str) -> int:
    """Count the rows of a table in a copy of the database's file, and of nothing beside it."""
    log = (folder / DATABASE).with_name("driftline.db-wal")
    assert not log.exists() or log.stat().st_size == 0
    copy = folder / "copy.db"
    shutil.copyfile(folder / DATABASE, copy)
    with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def descendants_of(parent: str) -> dict[str, str]:
    """Return the names of what a process started, and of what that started, by their numbers."""
    found = {}
    for thread in Path("/proc", parent, "task").iterdir():
        for child in (thread / "children").read_text().split():
            name = Path("/proc", child, "comm").read_text().strip()
            found |= {child: name} | descendants_of(child)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_installation_ends_every_process_and_leaves_every_row_in_the_file(
    folder: Path, number: signal.Signals
) -> None:
    with running("up", until="ready; Ctrl-C", cwd=folder) as process:
        port = (folder / "driftline.toml").read_text().split("port = ")[1].split()[0]
        with Client(f"http://127.0.0.1:{port}") as client:
            for name in ("a", "b", "c"):
                client.put_metrics("shop", [{"MetricName": name, "Value": 1.0}])
        started = descendants_of(str(process.pid))
        process.send_signal(number)
        process.wait(60)

    assert process.returncode == 0
    assert sorted(started.values()) == ["background", "dashboard", "forking", "server"]
    assert not [number for number in started if Path("/proc", number).exists()]
    assert copied(folder, "alerts_metrics WHERE namespace = 'shop'") == 3


@pytest.mark.parametrize("command", ["server", "dashboard", "scheduler", "alarms"])
def test_a_process_that_is_stopped_leaves_every_row_in_the_file(folder: Path, command: str) -> None:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "driftline", command],
            cwd=folder, stderr=log, env={**os.environ, "DRIFTLINE_LOG__FORMAT": "json"},
        )  # fmt: skip
        eventually(lambda: (folder / DATABASE).exists() or None)
        with closing(sqlite3.connect(folder / DATABASE, timeout=30)) as looking:
            query = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
            eventually(lambda: looking.execute(query).fetchone()[0] or None)
        # By then the process has set its own handling of signals, or sets it soon.
        eventually(lambda: _handles_terminate(process.pid) or None)
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 0, (folder / "log").read_text()

    assert copied(folder, "alembic_version") == 1


def _handles_terminate(pid: int) -> bool:
    """Whether a process catches SIGTERM, by what the kernel says of it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_command_leaves_every_row_in_the_file(folder: Path) -> None:
    for command in ("migrate", "doctor"):
        found = driftline(command, cwd=folder)

        assert found.returncode == 0 or command == "doctor", found.stderr
        assert copied(folder, "alembic_version") == 1
