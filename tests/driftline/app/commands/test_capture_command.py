"""`driftline capture audit` and `stats` as a user, or a CI job, meets them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from driftline.app.commands.capture import _lines
from driftline.capture.spool.writer import SpoolWriter
from tests.servers.commands import driftline
from tests.sinking import sink_all


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An installation in which twenty records were captured and three lost."""
    root = tmp_path / ".driftline"
    writer = SpoolWriter(root / "spool")
    for _ in range(3):
        writer.count_drop("full", "orders")
    for _ in range(20):
        writer.append({"endpoint": "orders"}, status=200, wall_ns=1_700_000_000_000_000_000)
    writer.close()
    sink_all(root, root / "spool")
    return root


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DRIFTLINE_STORAGE__ROOT": str(root)}
    return driftline("capture", "audit", *arguments, cwd=root.parent, env=environment)


def test_an_audit_that_adds_up_is_0_and_one_that_does_not_is_1(root: Path) -> None:
    good = run(root, "--json")
    assert good.returncode == 0, good.stderr
    found = json.loads(good.stdout)
    assert (found["numbers"], found["stored"], found["gaps"]) == (21, 20, 1)
    assert found["adds_up"]
    for file in (root / "capture").rglob("*.parquet"):
        file.unlink()

    bad = run(root, "--full")

    assert bad.returncode == 1
    assert bad.stdout.startswith("DOES NOT ADD UP: 21 numbers of 1 spools")
    assert "missing in" in bad.stdout
    assert "(orders): 2-21" in bad.stdout
    assert max(map(len, bad.stdout.splitlines())) <= 120

    accepted = run(root, "--accept")

    assert accepted.returncode == 0, accepted.stderr
    assert accepted.stdout.startswith("adds up: 21 numbers of 1 spools")
    assert run(root, "--full").returncode == 0


def test_tables_that_cannot_be_read_decide_nothing(root: Path) -> None:
    log = root / "capture" / "orders" / "_delta_log"
    shutil.rmtree(log)
    log.mkdir()
    (log / f"{0:020d}.json").write_text("no log", encoding="ascii")

    found = run(root)

    assert found.returncode == 3
    assert "Traceback" not in found.stderr


def test_the_counts_of_an_endpoint_fit_eighty_columns() -> None:
    time = "2026-11-20T13:00:00.123456+00:00"
    many = 12_345_678
    document = {
        "endpoint": "flights", "declared": True, "typed": True, "seen": many, "sampled": many,
        "requests": many, "rows": many, "failed": many, "unparsed": 3, "dropped": many,
        "paths": ["/predict", "/orders/*/late"],
        "decoder_faults": many, "shadows": many,
        "unparsed_by_reason": {"request: row … has … columns; expected": 3},
        "dropped_by_reason": {"full": many, "torn": 7}, "coverage": 0.99954,
        "cut": many,
        "event_times": {"malformed": many, "without_zone": many, "impossible": many},
        "last_24_h": {"coverage": 0.9999999}, "uncounted_gaps": 1,
        "gaps": [{"last_time": time, "reason": "power_loss", "records": None}] * 12,
        "oldest": time, "newest": time, "last_commit": time, "last_arrival": time,
        "spool": {"size_bytes": many, "segments": 30, "oldest_s": 90_000.5},
        "size_bytes": many, "files": 120, "retention_days": 90, "erased": many,
        "forecast": {"bytes_per_day": many, "bytes_at_retention": 90 * many},
        "audit": {"time": time, "missing": many, "doubled": 0},
    }  # fmt: skip

    lines = [f"{name:<14}{value}" for name, value in _lines(document)]

    assert max(map(len, lines)) <= 80
    assert "coverage      99.95%, last 24 h < 100%" in lines
    assert sum(line.startswith("gap ") for line in lines) == 10
