"""After a stop in order no process is left, and the SQLite file alone is the whole database."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.installation import Installation
from tests.kit.waiting import wait

DATABASE = Path("store") / "driftline.db"


@pytest.fixture
def shop(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def copied(folder: Path, query: str) -> int:
    """Count in a copy of the database's file, and of nothing beside it."""
    log = (folder / DATABASE).with_name("driftline.db-wal")
    assert not log.exists() or log.stat().st_size == 0
    copy = folder / "copy.db"
    shutil.copyfile(folder / DATABASE, copy)
    with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {query}").fetchone()[0])


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.full)]
)
def test_a_stopped_installation_ends_every_process_and_leaves_every_row_in_the_file(
    shop: Installation, number: signal.Signals
) -> None:
    shop.start()
    for name in ("a", "b", "c"):
        shop.put_metric(name, 1)
    started, shop_pid = shop.processes(), shop.pid

    assert shop.stop(number) == 0

    del started[shop_pid]
    assert "INFO driftline.app.up process=server ready" in shop.log
    assert sorted(started.values()) == ["background", "dashboard", "server"]
    assert not [pid for pid in started if Path("/proc", str(pid)).exists()]
    assert copied(shop.folder, "alerts_metrics WHERE namespace = 'shop'") == 3


@pytest.mark.parametrize(
    "command",
    [
        "scheduler",
        *(pytest.param(one, marks=pytest.mark.full) for one in ("server", "alarms", "dashboard")),
    ],
)
def test_a_process_that_is_stopped_leaves_every_row_in_the_file(
    shop: Installation, command: str
) -> None:
    folder = shop.folder
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "driftline", command], cwd=folder, stderr=log
        )
        wait(lambda: (folder / DATABASE).exists())
        with closing(sqlite3.connect(folder / DATABASE, timeout=30)) as looking:
            query = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
            wait(lambda: looking.execute(query).fetchone()[0])
        # By then the process has set its own handling of signals, or sets it soon.
        wait(lambda: handles_terminate(process.pid))
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 0, (folder / "log").read_text()

    assert copied(folder, "alembic_version") == 1


def handles_terminate(pid: int) -> bool:
    """Whether a process catches SIGTERM, by what the kernel says of it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_command_leaves_every_row_in_the_file(shop: Installation) -> None:
    for command in ("migrate", "doctor"):
        found = shop.cli(command)

        assert found.returncode == 0 or command == "doctor", found.stderr
        assert copied(shop.folder, "alembic_version") == 1
