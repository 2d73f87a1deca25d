"""Entries of a table's log that were cut off are seen, replaced, and kept beside it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest

from driftline.capture.audit.audit import audit
from driftline.capture.audit.note import document_of, write_note
from driftline.capture.audit.report import report
from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables import log_files
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.log_files import damaged_entries, secure
from driftline.capture.tables.storage import DamagedError

Write = Callable[..., bool]
TORN = b'{"commitInfo":{"timestamp"'


@pytest.fixture
def log(root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]) -> Path:
    """Fill a table by four commits, the first of which made it; give its log."""
    writer = SpoolWriter(spool_dir)
    for number in range(3):
        write(writer, event_id=f"e{number}")
        drain()
    return Path(root) / "capture" / "flights" / "_delta_log"


def _kept(table: str) -> list[str]:
    """Return the names under which the bytes of replaced entries are kept."""
    return sorted(path.name for path in Path(table, "_delta_log").glob("*.damaged"))


@pytest.mark.first(3)
@pytest.mark.parametrize("left", [b"", TORN, bytes(700)], ids=["empty", "torn", "zeros"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_damaged_entry_is_named_to_readers_and_replaced_by_the_sink(
    root: str, log: Path, drain: Callable[..., Sink], left: bytes, version: int
) -> None:
    entry = log / f"{version:020d}.json"
    entry.write_bytes(left)

    with pytest.raises(DamagedError, match=entry.name):
        Dataset(root, "flights").open()
    drain()

    table = str(log.parent)
    assert damaged_entries(table) == []
    assert _kept(table) == [f"{entry.name}.damaged"]
    assert (log / f"{entry.name}.damaged").read_bytes() == left
    data = Dataset(root, "flights").open()
    assert data is not None
    # What lies in the spool comes again where no later entry says that it is stored.
    assert data.count_rows() == (3 if version == 3 else 2)


def test_what_an_entry_took_with_it_is_missing_and_counts_against_coverage(
    root: str, spool_dir: Path, log: Path, drain: Callable[..., Sink]
) -> None:
    (log / f"{2:020d}.json").write_bytes(b"")
    drain()

    now = datetime.now(UTC)
    audited = audit(root, now=lambda: now, spool_dir=spool_dir)
    write_note(root, document_of(audited))

    assert audited.missing == 1
    assert report(root, "flights", now=now).overall.ratio == pytest.approx(2 / 3)


def test_a_table_whose_first_entry_was_cut_off_is_made_again(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    log = Path(root) / "capture" / "flights" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020d}.json").write_bytes(TORN)
    write(SpoolWriter(spool_dir))

    drain()

    data = Dataset(root, "flights").open()
    assert data is not None
    assert data.count_rows() == 1


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["empty", "torn"])
def test_a_checkpoint_that_was_cut_off_is_put_aside_and_the_entries_serve(
    root: str, log: Path, drain: Callable[..., Sink], share: float
) -> None:
    table = Dataset(root, "flights").table
    assert table is not None
    table.create_checkpoint()
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    whole = checkpoint.read_bytes()
    left = whole[: int(share * len(whole))]
    checkpoint.write_bytes(left)

    drain()

    data = Dataset(root, "flights").open()
    assert data is not None
    assert data.count_rows() == 3
    assert not checkpoint.exists()
    assert (log / f"{checkpoint.name}.damaged").read_bytes() == left


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_checkpoint_that_the_disk_refuses_to_give_stays(
    root: str, log: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    table = Dataset(root, "flights").table
    assert table is not None
    table.create_checkpoint()
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    whole = checkpoint.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("driftline.capture.tables.log_files.pq.read_table", refuse)
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(OSError, match=os.strerror(number)):
            secure(str(log.parent))

    assert checkpoint.read_bytes() == whole


def test_a_checkpoint_without_the_entries_before_it_is_never_taken_away(
    root: str, log: Path
) -> None:
    table = Dataset(root, "flights").table
    assert table is not None
    table.create_checkpoint()
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    left = checkpoint.read_bytes()[:-8]
    checkpoint.write_bytes(left)
    (log / f"{0:020d}.json").unlink()

    secure(str(log.parent))

    assert checkpoint.read_bytes() == left
    with pytest.raises(DamagedError):
        Dataset(root, "flights").open()


def test_processes_that_mend_one_table_at_once_stand_in_nobodys_way(log: Path) -> None:
    table, together = str(log.parent), Barrier(2)

    def mend(_number: int) -> None:
        together.wait()
        secure(table)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            for version in (2, 3):
                (log / f"{version:020d}.json").write_bytes(TORN)
            list(pool.map(mend, range(2)))
            assert damaged_entries(table) == []

    assert not list(log.glob("*.new"))
    assert {(log / name).read_bytes() for name in _kept(table)} == {TORN}


@pytest.mark.parametrize(
    ("gone", "first", "synced"),
    [([], 2, [2, 3, 4]), ([0, 1, 2], 2, [3, 4]), ([0, 1, 2, 3, 4], 5, []), ([0], 0, [1, 2, 3, 4])],
)
def test_entries_that_are_left_are_synced_where_a_checkpoint_took_the_place_of_the_first(
    log: Path, monkeypatch: pytest.MonkeyPatch, gone: list[int], first: int, synced: list[int]
) -> None:
    for path in log.glob("*.json"):
        path.unlink()
    for version in range(5):
        if version not in gone:
            (log / f"{version:020d}.json").write_text("{}")
    seen: list[str] = []
    monkeypatch.setattr(log_files, "sync_path", lambda path: seen.append(path.name))

    log_files.sync_entries(str(log.parent), first)

    entries = [name for name in seen if name.endswith(".json")]
    assert entries == [f"{version:020d}.json" for version in synced]
    assert seen[-1] == log.name, "their names, too"
