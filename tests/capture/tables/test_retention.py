"""Old rows go, the watermarks stay: what was expired never comes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from driftline.capture.labels.labels import label_folder, put
from driftline.capture.line.sink import Sink
from driftline.capture.line.table_maintenance import NAMES, TableMaintenance
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.storage import StorageError

OLD = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _expire(root: str, spool_dir: Path, keep_from: date) -> TableMaintenance:
    """Look once for what is too old."""
    maintenance = TableMaintenance(root, spool_dir / NAMES, keep_from=lambda: keep_from)
    maintenance.step()
    maintenance.close()
    return maintenance


def test_days_before_the_first_to_keep_go_and_do_not_return(
    root: str, spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(5):
        write(writer, at=OLD)
        write(writer, at=NEW)
    drain()

    maintenance = _expire(root, spool_dir, date(2026, 2, 1))
    again = drain()

    found = pl.read_delta(Dataset(root, "flights").uri)
    assert maintenance.counters["expired"] == 5
    assert found["event_date"].unique().to_list() == ["2026-03-01"]
    assert again.counters["records"] == 0


def test_labels_go_a_day_after_the_rows_that_they_may_belong_to(root: str, spool_dir: Path) -> None:
    first_kept = datetime(2026, 2, 1, 12, tzinfo=UTC)
    for days in (-30, -2, -1, 0, 28):
        labels = pa.table({"key": ["e0", "e1"], "label": ["0", "1"]})
        received = first_kept + timedelta(days=days)
        put(root, "flights", labels, lambda at=received: at)

    # No row of this endpoint was ever captured: its labels go all the same.
    maintenance = _expire(root, spool_dir, first_kept.date())

    found = pl.read_delta(label_folder(root, "flights").uri)
    kept = ["2026-01-31", "2026-02-01", "2026-03-01"]
    assert sorted(found["received_date"].unique()) == kept
    assert (len(found), maintenance.counters["expired_labels"]) == (6, 4)


def test_a_damaged_table_does_not_stop_the_upkeep_of_the_others(
    root: str, spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(3):
        write(writer, at=NEW, endpoint="arrivals")
        write(writer, at=NEW, endpoint="flights")
        drain()
    next(Path(root, "capture", "arrivals").rglob("*.parquet")).unlink()
    maintenance = TableMaintenance(root, spool_dir / NAMES)

    with pytest.raises(StorageError, match="arrivals"):
        maintenance.step()
    maintenance.close()

    assert maintenance.counters["failures"] == 1
    assert maintenance.counters["compacted"] == 3
