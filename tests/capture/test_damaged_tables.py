"""A log entry or a file of a capture table is lost: coverage and audit say so."""

from __future__ import annotations

from pathlib import Path

import driftline as dl
from tests.kit.installation import Installation


def log_records(installation: Installation, count: int, total: int) -> None:
    """Capture some records, and wait for all so far."""
    with dl.Logger("shop", spool_dir=installation.folder / "store" / "spool") as log:
        for number in range(count):
            log({"km": number}, 1)
    installation.captured("shop", total)


def newest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: (path.stat().st_mtime_ns, path.name))


def test_records_of_a_lost_log_entry_count_against_coverage(tmp_path: Path) -> None:
    table = tmp_path / "store" / "capture" / "shop"
    with Installation(tmp_path, is_forked=True) as installation:
        log_records(installation, 20, 20)
        log_records(installation, 10, 30)
        assert installation.cli("capture", "audit").returncode == 0
    newest(table / "_delta_log", "*.json").write_bytes(b"")

    with Installation(tmp_path, is_forked=True) as installation:
        log_records(installation, 5, 25)
        audit = installation.cli("capture", "audit", "--full")
        found = installation.get("/api/v1/endpoints/shop/capture")

    assert audit.returncode == 1
    assert "(shop): 1-10" in audit.stdout
    assert (found["missing"], found["requests"]) == (10, 25)
    assert found["coverage"] == 25 / 35
    assert found["last_24_h"]["coverage"] == 25 / 35
