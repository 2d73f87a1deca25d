"""Backups while requests come and monitors run; one is killed, another brings all back."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.kit.data import ORDERS, TODAY, fit, labelled, stream
from tests.kit.installation import Installation

pytestmark = pytest.mark.slow

FEATURES = ["km", "rain_mm"]
PAST = labelled(stream(ORDERS, rows=1_000, seed=1))
ROWS = stream(ORDERS, rows=100, seed=2)[FEATURES]
ENDPOINTS = ("orders", "returns")
THIS_DAY = (TODAY, TODAY + timedelta(days=2))


@contextmanager
def traffic(shop: Installation) -> Iterator[list[str]]:
    """Ask both endpoints in turn; yield the ids that were answered."""
    stop, sent = threading.Event(), list[str]()

    def ask() -> None:
        while not stop.wait(0.05):
            for endpoint in ENDPOINTS:
                row = ROWS[len(sent) % 100 :][:1]
                sent.append(shop.invoke(endpoint, row).headers["x-amzn-requestid"])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def stored(shop: Installation) -> list[str]:
    """Return the stored requests of all endpoints."""
    tables = [shop.table(name) for name in ENDPOINTS]
    return [event for table in tables if not table.empty for event in table["event_id"]]


def windows(shop: Installation) -> list[str]:
    items = shop.get("/api/v1/monitors/orders-data-quality/executions")["items"]
    return sorted(item["window_start"] for item in items if item["is_current"])


def kill_a_backup(shop: Installation, target: Path) -> int:
    """Begin a backup that is killed before it is whole; return how it ended."""
    # Behind whoever looks at it, who else may find that it has ended.
    command = ["nice", "-n", "19", sys.executable, "-m", "driftline", "backup", str(target)]
    with subprocess.Popen(command, cwd=shop.folder, stderr=subprocess.DEVNULL) as process:
        while not any(path.is_file() for path in target.rglob("*")):
            assert process.poll() is None
        process.kill()
        ended = process.wait()
    if not (target / "manifest.json").exists():
        return ended
    shutil.rmtree(target)  # It was quicker than we were.
    return kill_a_backup(shop, target)


def test_a_backup_under_traffic_comes_back_whole(tmp_path: Path) -> None:
    with Installation(tmp_path / "shop", is_forked=True) as shop:
        for name in ENDPOINTS:
            shop.deploy(name, fit(PAST), PAST[[*FEATURES, "late"]], "--label", "late")
        with traffic(shop) as sent:
            shop.wait(lambda: len(stored(shop)) > 100)  # Enough rows to be judged.
            judged = shop.judge("orders-data-quality", *THIS_DAY)
            killed = kill_a_backup(shop, tmp_path / "killed")
            before = len(sent)
            made = [shop.cli("backup", tmp_path / name, "--json") for name in "ab"]
            shop.wait(lambda: len(sent) > before + 50)
        shop.wait(lambda: len(stored(shop)) == len(sent))
        judged_windows = windows(shop)

    assert judged.returncode in (0, 1), judged.stderr
    assert killed == -signal.SIGKILL
    other = Installation(tmp_path / "other", is_forked=True)
    partial = other.cli("restore", tmp_path / "killed")
    assert partial.returncode == 2
    assert "is no whole backup" in partial.stderr
    other.done("restore", tmp_path / "b")
    restored = stored(other)
    assert [(one.returncode, json.loads(one.stdout)["database"]) for one in made] == [(0, True)] * 2
    # What was stored then is there once, and nothing that came later.
    assert before * 0.5 < len(restored) == len(set(restored)) < len(sent)
    assert set(restored) < set(stored(shop)) == set(sent)
    with other:
        assert set(windows(other)) <= set(judged_windows)
        other.wait(lambda: all(other.is_answering(n, ROWS[:1]) for n in ENDPOINTS))
        asked = len(ENDPOINTS)
        with traffic(other) as more:
            other.wait(lambda: len(more) > 20)
        other.wait(lambda: len(stored(other)) >= len(restored) + len(more) + asked)
        assert "DEFECT" not in other.done("doctor")
        other.done("capture", "audit")
        assert len(windows(other)) == len(set(windows(other))) > 0
    found = stored(other)
    assert len(found) == len(set(found))
    assert {*restored, *more} <= set(found)
