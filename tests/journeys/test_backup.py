"""Backups while requests come and monitors run; one is killed, another brings all back."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import skops.io
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline.app.client.client import Client
from tests.journeys.conftest import driftline, eventually, forked
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

DATA = load_breast_cancer(as_frame=True)
ROWS = DATA.data[400:500].to_csv(index=False, header=False).splitlines()
ENDPOINTS = ("cells", "tissue")
HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
THIS_HOUR = ("--from", HOUR.isoformat(), "--to", (HOUR + timedelta(hours=2)).isoformat())


def install(folder: Path) -> str:
    """Write the settings of an installation; return its server's address."""
    folder.mkdir()
    port = free_port()
    (folder / "driftline.toml").write_text(f"""
        [server]
        port = {port}
        [dashboard]
        port = {free_port()}
        [metrics]
        background_port = 0
        [storage]
        root = "store"
        [capture]
        commit_interval_s = 0.2
        [scheduler]
        poll_s = 0.2
    """)
    return f"http://127.0.0.1:{port}"


@contextmanager
def traffic(server: str) -> Iterator[list[str]]:
    """Ask both endpoints in turn; yield the ids that were answered."""
    stop, sent = threading.Event(), list[str]()

    def ask() -> None:
        with Client(server) as client:
            while not stop.is_set():
                for endpoint in ENDPOINTS:
                    row = ROWS[len(sent) % len(ROWS)].encode()
                    answer = client.invoke(endpoint, row, content_type="text/csv")
                    sent.append(answer.headers["x-amzn-requestid"])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def ids_of(folder: Path) -> list[str]:
    """Return the stored requests of all endpoints, read without driftline."""
    tables = [folder / "store" / "capture" / name for name in ENDPOINTS]
    return [one for table in tables for one in pl.read_delta(str(table))["event_id"]]


def windows_of(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "store" / "driftline.db")) as connection:
        query = "SELECT monitor, window_start, window_end FROM monitors_executions"
        return sorted(connection.execute(query).fetchall())


def test_a_backup_under_traffic_comes_back_whole(tmp_path: Path) -> None:
    house, other = tmp_path / "house", tmp_path / "other"
    server = install(house)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(DATA.data, DATA.target)
    skops.io.dump(model, house / "model.skops")
    DATA.frame[:400].to_parquet(house / "reference.parquet")

    def run(*words: object, cwd: Path = house) -> tuple[int, str]:
        done = driftline(*words, cwd=cwd)
        return done.returncode, done.stdout + done.stderr

    with forked("up", until="ready; Ctrl-C", cwd=house):
        for name in ENDPOINTS:
            words = ("--name", name, "--reference", "reference.parquet", "--label", "target")
            code, shown = run("deploy", "model.skops", *words)
            assert code == 0, shown
        with traffic(server) as sent, Client(server) as client:
            eventually(lambda: stored(client) > 100)  # Enough rows to be judged.
            code, shown = run("monitor", "run", "cells-data-quality", *THIS_HOUR)
            assert code in (0, 1), shown
            killed = kill_a_backup(house, tmp_path / "killed")
            before = len(sent)
            made = [driftline("backup", tmp_path / name, "--json", cwd=house) for name in "ab"]
            eventually(lambda: len(sent) > before + 100)
        with Client(server) as client:
            eventually(lambda: stored(client) == len(sent))

    assert killed == -signal.SIGKILL
    install(other)
    code, shown = run("restore", tmp_path / "killed", cwd=other)
    assert (code, "is no whole backup" in shown) == (2, True), shown
    code, shown = run("restore", tmp_path / "b", cwd=other)
    assert code == 0, shown
    restored = ids_of(other)
    assert [(one.returncode, json.loads(one.stdout)["waiting"]) for one in made] == [(0, 0)] * 2
    # What was stored then is there once, and nothing that came later.
    assert before * 0.5 < len(restored) == len(set(restored)) < len(sent)
    assert set(restored) < set(ids_of(house)) == set(sent)
    assert set(windows_of(other)) <= set(windows_of(house))
    with forked("up", until="ready; Ctrl-C", cwd=other):
        server = f"http://127.0.0.1:{(other / 'driftline.toml').read_text().split()[3]}"
        eventually(lambda: httpx.get(f"{server}/readyz", timeout=60).status_code == 200)
        with traffic(server) as more:
            eventually(lambda: len(more) > 20)
        with Client(server) as client:
            eventually(lambda: stored(client) == len(restored) + len(more))
        code, shown = run("doctor", cwd=other)
        assert (code, "DEFECT" in shown) == (0, False), shown
        code, shown = run("capture", "audit", cwd=other)
        assert code == 0, shown
    windows = windows_of(other)
    assert len(windows) == len(set(windows)) > 0
    assert sorted(ids_of(other)) == sorted([*restored, *more])


def stored(client: Client) -> int:
    """Count the requests that are in the tables."""
    return sum(client.capture_stats(name)["requests"] for name in ENDPOINTS)


def kill_a_backup(house: Path, target: Path) -> int:
    """Begin a backup that is killed at its third file; return how it ended."""
    program = """
import os, signal
from driftline.app import backup, cli
copy = backup.copy_file
def copy_two(source, target, copied=[]):
    copied.append(target)
    return copy(source, target) if len(copied) < 3 else os.kill(os.getpid(), signal.SIGKILL)
backup.copy_file = copy_two
cli.main()
"""
    command = [sys.executable, "-c", program, "backup", target]
    done = subprocess.run(command, cwd=house, capture_output=True, timeout=120)
    assert len([one for one in target.rglob("*") if one.is_file()]) == 3  # The database first.
    return done.returncode
