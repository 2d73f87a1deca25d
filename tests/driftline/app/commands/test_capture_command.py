"""`driftline capture audit` as a user, or a CI job, meets it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from driftline.capture.spool.writer import SpoolWriter
from tests.servers.commands import driftline
from tests.sinking import sink_all


def test_an_audit_ends_with_0_where_it_adds_up_1_where_not_and_3_where_tables_cannot_be_read(
    tmp_path: Path,
) -> None:
    """Of an installation in which twenty records were captured and three lost."""
    root = tmp_path / ".driftline"
    writer = SpoolWriter(root / "spool")
    for _ in range(3):
        writer.count_drop("full", "orders")
    for _ in range(20):
        writer.append({"endpoint": "orders"}, status=200, wall_ns=1_700_000_000_000_000_000)
    writer.close()
    sink_all(root, root / "spool")
    table = root / "capture" / "orders"
    asked = ("capture", "audit", "--full")
    more = {"cwd": tmp_path, "env": {**os.environ, "DRIFTLINE_STORAGE__ROOT": str(root)}}

    good = driftline(*asked, "--json", **more)
    for file in table.rglob("*.parquet"):
        file.unlink()
    bad = driftline(*asked, **more)
    shutil.rmtree(table / "_delta_log")
    (table / "_delta_log").mkdir()
    (table / "_delta_log" / f"{0:020d}.json").write_text("no log", encoding="ascii")
    unread = driftline(*asked, **more)

    assert (good.returncode, bad.returncode, unread.returncode) == (0, 1, 3), good.stderr
    found = json.loads(good.stdout)
    assert (found["numbers"], found["stored"], found["gaps"]) == (21, 20, 1)
    assert "(orders): 2-21" in bad.stdout
    assert "Traceback" not in unread.stderr
