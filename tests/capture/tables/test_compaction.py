"""Compaction: few sorted files in the place of many, the same rows, and one winner of two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.delta_log import read_watermarks
from driftline.capture.tables.retention import EXPIRED, expire, vacuum
from driftline.capture.tables.rewriting import Held, OvertakenError, held_files, rewrite
from driftline.capture.tables.storage import StorageError
from driftline.capture.tables.table import DeltaFolder
from driftline.capture.windows.changes import changes
from driftline.capture.windows.window import Window, read_window
from tests.capture.conftest import SIGNATURE, record

Drain = Callable[..., Sink]
DAY = datetime(2026, 1, 15, tzinfo=UTC)
WINDOW = Window(DAY, DAY + timedelta(days=1))
CLOSED = "2026-01-16"


@pytest.fixture
def stored(root: str, spool_dir: Path, drain: Drain) -> DeltaFolder:
    """Store 60 requests of one day in 12 commits, the later the earlier in time."""
    writer = SpoolWriter(spool_dir)
    for number in range(60):
        at = DAY + timedelta(hours=23) - timedelta(minutes=20 * number)
        record(writer, event_id=f"e{number}", at=at, request=b"1.5,%d,UA" % number)
        if number % 5 == 4:
            drain()
    return Dataset(root, "flights")


def rows_of(folder: DeltaFolder) -> pl.DataFrame:
    return pl.read_delta(folder.uri).sort("spool_id", "spool_seq", "row_index")


def test_the_rows_stay_what_they_are_and_lie_in_one_sorted_file(stored: DeltaFolder) -> None:
    before = rows_of(stored)

    removed = compact(stored, CLOSED)

    (file,) = DeltaTable(stored.uri).file_uris()
    times = pq.read_table(file, partitioning=None)["event_time"].to_pylist()
    assert removed == 12
    assert times == sorted(times) and len(times) == 60
    assert rows_of(stored).equals(before)
    assert compact(stored, CLOSED) == 0


def test_a_sink_that_starts_anew_leaves_the_replaced_files_to_who_reads_them(
    root: str, stored: DeltaFolder
) -> None:
    table = DeltaTable(stored.uri)
    reader, file = table.to_pyarrow_dataset(), Path(table.file_uris()[0])
    compact(stored, CLOSED)

    removed = Dataset(root, "flights", writer=file.stem.rsplit("-", 5)[0]).sweep()

    assert removed == 0
    assert reader.count_rows() == len(reader.to_table()) == 60


def test_windows_give_the_same_digest_and_nothing_counts_as_new(
    root: str, stored: DeltaFolder
) -> None:
    since = changes(root, "flights", None, before=WINDOW.end, labels=True).position
    before = read_window(root, "flights", WINDOW, SIGNATURE)
    rows = before.table()

    compact(stored, CLOSED)
    vacuum(stored, 0, DAY)

    after = read_window(root, "flights", WINDOW, SIGNATURE)
    found = changes(root, "flights", since, before=WINDOW.end, labels=True)
    assert after.digest == before.digest
    assert after.table().equals(rows)
    assert found.hours == ()
    assert found.position.capture > since.capture


def test_marks_outlive_compaction_checkpoints_a_cut_log_and_vacuum(
    root: str, stored: DeltaFolder, spool_dir: Path, drain: Drain
) -> None:
    (spool,) = read_watermarks(Dataset(root, "flights")).stored
    compact(stored, CLOSED)
    table = DeltaTable(stored.uri)
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    table.create_checkpoint()
    table.cleanup_metadata()
    vacuum(stored, 0, DAY)

    logs = list(Path(stored.path, "_delta_log").glob("*.json"))
    assert len(logs) == 1
    assert Dataset(root, "flights").watermark(spool) == 60
    assert drain().counters["records"] == 0
    assert len(rows_of(stored)) == 60


@pytest.mark.full  # A hundred commits.
def test_a_long_log_is_cut_by_itself_once_its_entries_are_old(
    root: str, stored: DeltaFolder
) -> None:
    table = DeltaTable(stored.uri)
    assert table.metadata().configuration["delta.logRetentionDuration"] == "interval 24 hours"
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    rows = Dataset(root, "flights").open()
    assert rows is not None
    one = rows.to_table().slice(0, 1)
    for number in range(1, 104):
        stored.append(one, {"other": number})

    log = Path(stored.path, "_delta_log")
    assert len(list(log.glob("*.checkpoint.parquet"))) == 1
    assert len(list(log.glob("*.json"))) < 30
    stored.refresh()
    assert stored.watermark("other") == 103


def test_of_two_rewriters_of_one_state_the_second_is_refused(
    root: str, stored: DeltaFolder
) -> None:
    """delta-rs alone (1.6.6) lets both pass, and each row stands there twice."""
    first, second = (Dataset(root, "flights", writer=name) for name in ("a", "b"))
    tables = first.table, second.table
    assert tables[0] is not None and tables[1] is not None
    old = held_files(tables[1])
    schema = pq.read_schema(f"{stored.path}/{old[0].path}")

    assert compact(first, CLOSED) == 12
    file = second.new_file(old[0].part, schema)
    file.write(pa.concat_tables([_whole(stored, held) for held in old]).cast(schema))
    with pytest.raises(OvertakenError):
        rewrite(second, tables[1], old, [file.finish(is_change=False)], is_change=False, reason="x")

    assert len(rows_of(stored)) == 60
    assert not list(Path(stored.path).rglob("b-*.parquet"))


def _whole(folder: DeltaFolder, held: Held) -> pa.Table:
    return pq.ParquetFile(f"{folder.path}/{held.path}").read()


def test_an_append_that_comes_in_between_stays_and_disturbs_nobody(
    root: str, stored: DeltaFolder, spool_dir: Path, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(spool_dir)

    def late(*arguments: object, **options: object) -> None:
        record(writer, event_id="late", at=DAY)
        drain()
        rewrite(*arguments, **options)  # type: ignore[arg-type] # passed on as they came

    # Not instead of anything: the moment between reading and committing, made certain.
    monkeypatch.setattr("driftline.capture.tables.compaction.rewrite", late)
    assert compact(stored, CLOSED) == 12

    found = rows_of(stored)
    assert len(found) == found["event_id"].n_unique() == 61


def test_rows_from_before_a_column_was_added_have_null_there(
    root: str, spool_dir: Path, drain: Drain
) -> None:
    writer = SpoolWriter(spool_dir)
    record(writer, b"1.5", b"1", event_id="old", at=DAY)
    drain(replace(SIGNATURE, features=SIGNATURE.features[:1], outputs=SIGNATURE.outputs[:1]))
    record(writer, event_id="new", at=DAY)
    drain()
    folder = Dataset(root, "flights")

    assert compact(folder, CLOSED) == 2

    found = rows_of(folder).select("event_id", "feature_temp", "feature_carrier", "probability")
    assert found.rows() == [("old", 1.5, None, None), ("new", 1.5, "UA", 0.25)]


def test_a_file_that_is_gone_stops_the_compaction_and_changes_nothing(stored: DeltaFolder) -> None:
    victim = next(Path(stored.path).rglob("*.parquet"))
    victim.unlink()
    version = DeltaTable(stored.uri).version()

    with pytest.raises(StorageError, match="flights"):
        compact(stored, CLOSED)

    assert DeltaTable(stored.uri).version() == version
    assert len(list(Path(stored.path).rglob("*.parquet"))) == 11


def test_retention_counts_what_it_takes_by_spool_in_the_same_commit(
    root: str, stored: DeltaFolder
) -> None:
    (spool,) = read_watermarks(Dataset(root, "flights")).stored

    assert expire(stored, "2026-01-16") == 60

    table = DeltaTable(stored.uri)
    assert table.transaction_version(f"{EXPIRED}{spool}") == 60
    assert table.file_uris() == []
    assert expire(stored, "2026-01-16") == 0
    assert vacuum(stored, 24, datetime.now(UTC)) == 0
    assert vacuum(stored, 0, datetime.now(UTC)) == 12
    assert not list(Path(stored.path).rglob("*.parquet"))


def test_vacuum_leaves_what_a_commit_may_still_register_for_a_day(stored: DeltaFolder) -> None:
    unknown = Path(stored.path, "event_date=2026-01-15", "someone-1.parquet")
    unknown.write_bytes(b"in the making")
    now = datetime.now(UTC)

    assert vacuum(stored, 0, now) == 0
    assert vacuum(stored, 0, now + timedelta(hours=23)) == 0
    assert vacuum(stored, 0, now + timedelta(hours=25)) == 1
    assert len(rows_of(stored)) == 60
