"""The audit: what is missing or doubled is found, to the number; what is on its way is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.capture.audit.audit import Audit, audit
from driftline.capture.erasure.erasing import erase
from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.retention import expire
from driftline.capture.tables.storage import StorageError
from driftline.signature import Signature
from tests.capture.conftest import SIGNATURE, record
from tests.sinking import sink_all

Write = Callable[..., bool]
Drain = Callable[..., Sink]

NOW = datetime(2013, 3, 1, tzinfo=UTC)
DAYS = [datetime(2013, 1, day, 12, tzinfo=UTC) for day in (14, 15, 16)]


@pytest.fixture
def check(root: str, spool_dir: Path) -> Callable[..., Audit]:
    def run(**how: Any) -> Audit:
        return audit(root, now=lambda: NOW, spool_dir=spool_dir, **how)

    return run


Check = Callable[..., Audit]


def test_all_that_was_sent_adds_up_with_rows_drops_and_several_endpoints(
    tmp_path: Path, spool_dir: Path, drain: Drain, check: Check
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(300):
        if number % 50 == 7:
            writer.count_drop("tap_error", "e1")
        record(
            writer, b"1.5,3,UA\n" * (1 + number % 3), endpoint=f"e{number % 3}", at=DAYS[number % 3]
        )
    drain()

    found = check()

    assert (found.stored, found.gaps, found.numbers) == (300, 6, 306)
    assert found.adds_up
    assert (found.missing, found.doubled, found.in_flight) == (0, 0, 0)
    assert check().adds_up and check(full=True).adds_up


def test_what_is_not_stored_yet_is_not_missing(
    spool_dir: Path, drain: Drain, check: Check, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(5):
        write(writer)
    drain()
    for _ in range(7):
        write(writer)

    assert check().numbers == 5
    assert check().adds_up


@pytest.mark.parametrize("is_full", [False, True], ids=["new only", "full"])
@pytest.mark.parametrize("is_audited", [False, True], ids=["never audited", "audited before"])
def test_a_file_removed_by_hand_is_found_to_the_number(
    root: str, spool_dir: Path, drain: Drain, check: Check, is_full: bool, is_audited: bool
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(30):
        record(writer, at=DAYS[number // 10])
    drain()
    if is_audited:
        assert check().adds_up
    next(Path(root, "capture/flights/event_date=2013-01-15").glob("*.parquet")).unlink()

    found = check(full=is_full)

    assert (found.missing, found.doubled) == (10, 0)
    assert len(found.damaged) == 1
    assert found.found[0].missing_runs == (((11, 20),) if is_full else ())
    assert not found.adds_up
    assert found.by_endpoint(lambda one: one.missing) == {"flights": 10}
    assert check().missing == 10


def test_a_file_with_a_page_that_cannot_be_read_is_damage_and_does_not_end_audits(
    root: str, spool_dir: Path, drain: Drain, check: Check
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(300):
        record(writer, at=DAYS[number % 3])
    drain()
    file = next(Path(root, "capture/flights/event_date=2013-01-15").glob("*.parquet"))
    meta = pq.read_metadata(file).row_group(0)
    names = [meta.column(at).path_in_schema for at in range(meta.num_columns)]
    column = meta.column(names.index("spool_seq"))
    with file.open("r+b") as stream:
        stream.seek(column.data_page_offset + column.total_compressed_size - 20)
        stream.write(b"\xff" * 20)
    with pytest.raises(OSError, match=r"ZSTD|deserialize|corrupt"):
        pq.read_table(file, partitioning=None)

    found = check()

    assert found.missing == 100
    assert found.damaged == (f"flights/{file.parent.name}/{file.name}",)
    assert check() == found


def test_a_table_that_is_gone_as_a_whole_is_missed_by_its_name(
    root: str, spool_dir: Path, drain: Drain, check: Check
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(20):
        record(writer, endpoint=f"e{number % 2}")
    drain()
    assert check().adds_up
    shutil.rmtree(Path(root, "capture/e0"))

    found = check()

    assert found.missing == 10
    assert found.by_endpoint(lambda one: one.missing) == {"e0": 10, "e1": 10}


def test_rows_deleted_through_the_table_are_found(
    root: str, spool_dir: Path, drain: Drain, check: Check
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(30):
        record(writer)
    drain()
    assert check().adds_up
    DeltaTable(f"{root}/capture/flights").delete("spool_seq = 7 OR spool_seq = 30")

    found = check(full=True)

    assert check().missing == found.missing == 2
    assert found.found[0].missing_runs == ((7, 7), (30, 30))


def test_a_row_that_is_there_twice_is_found(
    root: str, spool_dir: Path, drain: Drain, check: Check
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(9):
        record(writer)
    drain()
    table = f"{root}/capture/flights"
    rows = DeltaTable(table).to_pyarrow_table()
    write_deltalake(table, rows.slice(3, 1), mode="append")

    found = check()

    assert (found.missing, found.doubled) == (0, 1)


def test_one_lost_and_one_doubled_hide_in_counts_and_not_from_a_full_audit(
    root: str, spool_dir: Path, drain: Drain, check: Check
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(9):
        record(writer)
    drain()
    table = f"{root}/capture/flights"
    rows = DeltaTable(table).to_pyarrow_table()
    DeltaTable(table).delete("spool_seq = 7")
    write_deltalake(table, rows.filter(pc.equal(rows["spool_seq"], 3)), mode="append")

    found = check(full=True)

    assert check().adds_up
    assert (found.missing, found.doubled) == (1, 1)
    assert (found.found[0].missing_runs, found.found[0].doubled_runs) == (((7, 7),), ((3, 3),))


def test_compaction_changes_nothing(root: str, spool_dir: Path, drain: Drain, check: Check) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(5):
        for _ in range(4):
            record(writer)
        drain()
    assert check().stored == 20
    compact(Dataset(root, "flights"), "2100-01-01")

    found = check()

    assert found.adds_up and found.stored == 20


@pytest.mark.parametrize("is_audited", [False, True], ids=["never audited", "audited before"])
def test_what_retention_removes_stays_accounted_for(
    root: str, spool_dir: Path, drain: Drain, check: Check, is_audited: bool
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(30):
        record(writer, at=DAYS[number % 3])
    drain()
    if is_audited:
        assert check().stored == 30
    expire(Dataset(root, "flights"), "2013-01-15")

    found = check()

    assert (found.stored, found.expired, found.missing) == (20, 10, 0)
    assert found.requests == {"flights": 30}
    assert check().adds_up and check(full=True).adds_up
    # And what somebody removes beside it is still found.
    shutil.rmtree(Path(root, "capture/flights/event_date=2013-01-16"))
    assert check().missing == 10


def test_what_is_erased_stays_accounted_for(
    root: str, spool_dir: Path, tmp_path: Path, drain: Drain, check: Check
) -> None:
    def forget(*ids: str) -> None:
        erase(root, tmp_path / "names", {"event_id": ids}, now=NOW, keep=timedelta(days=9999))

    writer = SpoolWriter(spool_dir)
    for number in range(10):
        record(writer, event_id=f"id-{number}")
    drain()
    assert check().adds_up
    forget("id-3", "id-4", "id-11")
    for number in (10, 11):  # The last one is dropped when it comes.
        record(writer, event_id=f"id-{number}")
    drain()

    found = check()

    assert (found.numbers, found.stored, found.erased, found.missing) == (12, 9, 3, 0)
    assert check(full=True).adds_up


class _Broken:
    """A table of one endpoint that cannot be written for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broken: set[str] = set()
        append = Dataset.append

        def refusing(dataset: Dataset, *args: Any, **more: Any) -> int:
            if dataset.endpoint in self.broken:
                raise StorageError("the disk is full")
            return append(dataset, *args, **more)

        monkeypatch.setattr(Dataset, "append", refusing)


def test_a_commit_that_is_half_done_is_in_flight_until_it_is_done(
    root: str,
    spool_dir: Path,
    drain: Drain,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = _Broken(monkeypatch)
    writer = SpoolWriter(spool_dir)
    for number in range(10):
        record(writer, endpoint=f"e{number % 2}")
    drain()
    assert check().adds_up
    broken.broken = {"e1"}
    for number in range(10):
        record(writer, endpoint=f"e{number % 2}")
    with pytest.raises(StorageError):
        drain()

    found = check()

    assert (found.missing, found.in_flight) == (0, 4)
    assert found.adds_up
    broken.broken = set()
    drain()
    assert (check().missing, check().in_flight, check().stored) == (0, 0, 20)


STEPS = st.lists(
    st.sampled_from(
        ["write", "other", "drop", "drain", "fail", "compact", "expire", "erase", "end", "audit"]
    ),
    max_size=20,
)


@given(steps=STEPS)
@settings(max_examples=12, deadline=None)
def test_no_schedule_of_what_may_happen_makes_it_cry_wolf(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("schedule")
    root, spool_dir = str(place / "root"), place / "spool"
    spool_dir.mkdir()
    writer = SpoolWriter(spool_dir)
    sent = 0

    def run_sink(signatures: Callable[[str], Signature | None]) -> None:
        sink_all(root, spool_dir, signatures, commit_records=3)

    def failing(endpoint: str) -> Signature | None:
        if endpoint == "e1":
            raise StorageError("the disk is full")
        return SIGNATURE

    for number, step in enumerate([*steps, "drain", "audit"]):
        if step in ("write", "other"):
            endpoint = "e0" if step == "write" else "e1"
            record(writer, endpoint=endpoint, at=DAYS[number % 3], event_id=f"id-{number}")
            sent += 1
        elif step == "drop":
            writer.count_drop("tap_error", "e0")
        elif step == "drain":
            run_sink(lambda _: SIGNATURE)
        elif step == "fail":
            with suppress(StorageError):
                run_sink(failing)
        elif step == "compact":
            compact(Dataset(root, "e0"), "2100-01-01")
        elif step == "expire":
            expire(Dataset(root, "e0"), DAYS[1].date().isoformat())
        elif step == "erase":
            ids = [f"id-{number - 3}", f"id-{number - 2}"]
            erase(root, place / "names", {"event_id": ids}, now=NOW, keep=timedelta(days=9999))
        elif step == "end":
            writer.close()
        else:
            found = audit(root, now=lambda: NOW, spool_dir=spool_dir)
            full = audit(root, now=lambda: NOW, spool_dir=spool_dir, full=True)
            assert (found.missing, found.doubled) == (full.missing, full.doubled) == (0, 0)
            assert found.in_flight == full.in_flight
    assert found.stored + found.expired + found.erased == sent
    assert found.numbers == sent + found.gaps
