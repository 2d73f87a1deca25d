"""What is missing for good can be accepted: it is counted once, and nobody is told of it again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from driftline.capture.audit import accepting
from driftline.capture.audit.accepting import accept
from driftline.capture.audit.audit import Audit, audit
from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Gap, read_gaps
from driftline.capture.tables.table import WatermarkMovedError
from tests.capture.conftest import record

Drain = Callable[..., Sink]
Check = Callable[..., Audit]

NOW = datetime(2013, 3, 1, tzinfo=UTC)
DAYS = [datetime(2013, 1, day, 12, tzinfo=UTC) for day in (14, 15, 16)]


@pytest.fixture
def check(root: str, spool_dir: Path) -> Check:
    def run(**how: Any) -> Audit:
        return audit(root, now=lambda: NOW, spool_dir=spool_dir, **how)

    return run


@pytest.mark.parametrize("damage", ["gone", "no parquet", "rows deleted"])
def test_what_is_accepted_is_lost_and_counted_and_no_longer_missing(
    root: str, spool_dir: Path, drain: Drain, check: Check, damage: str
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(30):
        record(writer, at=DAYS[number // 10])
    drain()
    file = next(Path(root, "capture/flights/event_date=2013-01-15").glob("*.parquet"))
    if damage == "gone":
        file.unlink()
    elif damage == "no parquet":
        file.write_bytes(b"x" * file.stat().st_size)
    else:
        DeltaTable(f"{root}/capture/flights").delete("event_date = '2013-01-15'")
    assert check().missing == 10
    record(writer, at=DAYS[0])  # What is on its way is not lost.

    found = accept(root, now=lambda: NOW, spool_dir=spool_dir)

    (gap,) = read_gaps(root)
    assert (gap.reason, gap.seq, gap.records, gap.endpoint) == ("missing", 20, 10, "flights")
    assert found.adds_up and found.gaps == 10 and found.stored == 20
    assert check().adds_up and check(full=True).adds_up
    assert len(DeltaTable(f"{root}/capture/flights").to_pyarrow_table()) == 20
    assert accept(root, now=lambda: NOW, spool_dir=spool_dir) == found
    drain()
    assert check().stored == 21 and check().adds_up


def test_of_two_who_accept_at_once_one_counts(
    root: str, spool_dir: Path, drain: Drain, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(5):
        record(writer)
    drain()
    DeltaTable(f"{root}/capture/flights").delete("spool_seq = 3")
    rows, nested = accepting.gap_rows, []

    def late(gaps: list[Gap]) -> pa.Table:
        if not nested:
            nested.append(True)
            accept(root, now=lambda: NOW, spool_dir=spool_dir)
        return rows(gaps)

    monkeypatch.setattr(accepting, "gap_rows", late)

    with pytest.raises(WatermarkMovedError):
        accept(root, now=lambda: NOW, spool_dir=spool_dir)

    assert [gap.seq for gap in read_gaps(root)] == [3]
    assert check().adds_up
