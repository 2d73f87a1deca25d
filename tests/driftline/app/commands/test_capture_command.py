"""`driftline capture audit` and `stats` as a user, or a CI job, meets them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

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


def test_tables_that_cannot_be_read_decide_nothing(root: Path) -> None:
    log = root / "capture" / "orders" / "_delta_log"
    shutil.rmtree(log)
    log.mkdir()
    (log / f"{0:020d}.json").write_text("no log", encoding="ascii")

    found = run(root)

    assert found.returncode == 3
    assert "Traceback" not in found.stderr
