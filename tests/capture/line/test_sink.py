"""The sink: each record once, whatever comes again, and nothing wedges it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from driftline.capture.audit.audit import audit
from driftline.capture.audit.report import document_of, report
from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.frame import Kind, pack_meta
from driftline.capture.spool.records import Records
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables import rows
from driftline.capture.tables.dataset import Dataset, read_gaps
from driftline.capture.tables.decoding import Decoded, decode
from driftline.capture.tables.storage import StorageError
from driftline.capture.windows.window import Window, read_window
from driftline.signature import Signature
from tests.capture.counts import counted

Write = Callable[..., bool]


def test_a_spool_read_again_from_its_beginning_adds_nothing(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(10):
        write(writer)
    first = drain()
    for _ in range(5):
        write(writer)
    second = drain()

    assert first.counters["records"] == 10
    assert second.counters["records"] == 5
    assert second.counters["duplicates"] == 10
    assert counted(root, "flights").requests == 15


def test_a_table_that_was_lost_is_filled_again_from_what_lies_in_the_spool(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(3):
        write(writer)
    drain()
    shutil.rmtree(Path(root) / "capture")

    drain()

    assert counted(root, "flights").requests == 3


def test_when_one_table_was_committed_and_the_other_not_both_end_up_exact(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(20):
        write(writer, endpoint=f"e{number % 2}")
    blocked = Path(root, "capture", "e1")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")

    with pytest.raises(StorageError):
        drain()
    blocked.unlink()
    drain()

    assert [counted(root, f"e{number}").requests for number in range(2)] == [10, 10]


def test_an_endpoint_without_a_signature_is_kept_raw_and_typed_later(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    drain(None)
    write(writer)
    drain()

    data = Dataset(root, "flights").open()
    assert data is not None
    found = data.to_table(["spool_seq", "feature_temp", "parse_error"]).sort_by("spool_seq")
    assert found["feature_temp"].to_pylist() == [None, 1.5]
    assert found["parse_error"].to_pylist() == ["the endpoint has no signature", None]


@pytest.mark.parametrize(
    ("error", "records_at_once"), [(KeyError("a bug at poison"), 20), (MemoryError(), 3)]
)
def test_a_body_that_breaks_the_decoder_is_kept_raw_and_stops_no_other(
    root: str,
    spool_dir: Path,
    write: Write,
    drain: Callable[..., Sink],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    records_at_once: int,
) -> None:
    """Also one, or many, for which memory does not suffice."""

    def fragile(records: Records, signature: Signature | None) -> Decoded:
        is_poison = b"poison" in records.request.to_pylist()
        if signature is not None and (is_poison or len(records) > records_at_once):
            raise error
        return decode(records, signature)

    monkeypatch.setattr(rows, "decode", fragile)
    writer = SpoolWriter(spool_dir)
    for number in range(20):
        write(writer, b"poison" if number == 13 else b"1.5,3,UA")
    drain()

    data = Dataset(root, "flights").open()
    assert data is not None
    found = data.to_table(["spool_seq", "feature_temp", "parse_error"]).sort_by("spool_seq")
    assert found["feature_temp"].to_pylist() == [None if n == 13 else 1.5 for n in range(20)]
    assert found["parse_error"].to_pylist()[13] == f"decoder fault: {type(error).__name__}"
    counts = counted(root, "flights")
    assert (counts.requests, counts.faults) == (20, 1)


def test_a_decoder_fault_counts_against_coverage_everywhere(
    root: str,
    spool_dir: Path,
    write: Write,
    drain: Callable[..., Sink],
    monkeypatch: pytest.MonkeyPatch,
    signature: Signature,
) -> None:
    def broken(records: Records, known: Signature | None) -> Decoded:
        if known is not None and b"poison" in records.request.to_pylist():
            raise KeyError("a bug at poison")
        return decode(records, known)

    monkeypatch.setattr(rows, "decode", broken)
    at = datetime(2013, 1, 15, 12, tzinfo=UTC)
    writer = SpoolWriter(spool_dir)
    for body in (b"poison", b"1.5,3,UA", b"1.5,3", b"1.5,3,UA"):
        write(writer, body, at=at)
    drain()

    found = report(root, "flights", now=at + timedelta(hours=1))
    document = document_of(found)
    # A body that nobody can read is the client's; the decoder's own fault is ours.
    assert (found.requests, sum(found.unparsed.values()), found.faults) == (4, 2, 1)
    assert document.decoder_faults == 1
    assert document.coverage == document.last_24_h.coverage == 0.75
    audited = audit(root, now=lambda: at, spool_dir=spool_dir)
    assert audited.adds_up
    assert audited.undecodable == {"flights": 1}
    window = read_window(root, "flights", Window(at, at + timedelta(hours=1)), signature)
    assert (window.request_count, window.unparsed_count, window.fault_count) == (4, 2, 1)


ODD = {
    "rate": {"rate": "often"},
    "time": {"event_time_us": "noon"},
    "overflow": {"event_time_us": "9" * 25},
    "name": {"endpoint": "../../elsewhere"},
    "no-name": {"endpoint": ""},
}


def seqs(root: str) -> list[int]:
    data = Dataset(root, "flights").open()
    assert data is not None
    found: list[int] = data.to_table(["spool_seq"]).sort_by("spool_seq")["spool_seq"].to_pylist()
    return found


@pytest.mark.parametrize("meta", ODD.values(), ids=ODD)
@pytest.mark.parametrize("odd", [4, *(pytest.param(at, marks=pytest.mark.full) for at in (1, 7))])
def test_a_record_that_no_row_can_be_made_of_is_one_gap_and_stops_no_other(
    root: str,
    spool_dir: Path,
    write: Write,
    drain: Callable[..., Sink],
    meta: dict[str, str],
    odd: int,
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(1, 8):
        write(writer, **(meta if number == odd else {}))
    first = drain()
    second = drain()
    writer.close()
    drain()

    assert seqs(root) == [number for number in range(1, 8) if number != odd]
    (gap,) = read_gaps(root)
    assert (gap.seq, gap.reason, gap.records) == (odd, "unreadable", 1)
    assert gap.endpoint == ("" if "endpoint" in meta else "flights")
    assert (first.counters["records"], first.counters["gaps"]) == (6, 1)
    assert (second.counters["records"], second.counters["gaps"]) == (0, 0)
    assert [entry.name for entry in Path(root, "capture").iterdir()] == ["flights"]
    assert list(spool_dir.glob("[!.]*")) == []


def test_a_gap_that_cannot_be_read_is_a_gap(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    odd = {"reason": "full", "records": "many", "total": "all"}
    assert writer._write(writer._plain(Kind.GAP), pack_meta(odd)) is None
    write(writer)
    drain()
    drain()

    assert seqs(root) == [1, 3]
    (gap,) = read_gaps(root)
    assert (gap.seq, gap.reason, gap.records) == (2, "unreadable", None)


def test_what_nobody_thought_of_is_found_by_halving_and_counted_before_the_marks_pass(
    root: str,
    spool_dir: Path,
    write: Write,
    drain: Callable[..., Sink],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = rows._meta

    def fragile(records: Records, decoded: Decoded) -> object:
        if any(frame.meta.get("event_id") in ("e5", "e8") for frame in records):
            raise AttributeError("a bug")
        return whole(records, decoded)

    monkeypatch.setattr(rows, "_meta", fragile)
    writer = SpoolWriter(spool_dir)
    for number in range(1, 11):
        write(writer, event_id=f"e{number}", endpoint="other" if number == 8 else "flights")
    blocked = Path(root, "capture", "flights", "_delta_log")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    with pytest.raises(StorageError):
        drain()
    blocked.unlink()
    drain()
    drain()

    assert seqs(root) == [1, 2, 3, 4, 6, 7, 9, 10]
    found = [(gap.seq, gap.endpoint, gap.reason, gap.records) for gap in read_gaps(root)]
    assert found == [(5, "flights", "unreadable", 1), (8, "other", "unreadable", 1)]


def test_a_spool_whose_writer_ended_goes_once_it_is_stored(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    writer.close()
    drain()

    assert [path.name for path in spool_dir.iterdir() if path.is_dir()] == []
    assert counted(root, "flights").requests == 1


def test_run_commits_by_age_and_by_number_and_the_rest_when_stopped(
    root: str, spool_dir: Path, write: Write, signature: Signature
) -> None:
    now = [0.0]
    writer = SpoolWriter(spool_dir)
    sink = Sink(
        root,
        LocalTransport(spool_dir),
        lambda _: signature,
        commit_interval_s=10,
        commit_records=5,
        poll_s=0.01,
        monotonic=lambda: now[0],
    )
    stop, waiting = threading.Event(), threading.Event()
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()

    def until(records: int) -> int:
        for _ in range(6_000):
            if sink.counters["records"] >= records:
                break
            waiting.wait(0.01)
        return sink.counters["records"]

    for _ in range(7):
        write(writer)
    by_number = until(5)
    waiting.wait(0.1)
    too_young = sink.counters["records"]
    now[0] = 11.0
    by_age = until(7)
    write(writer)
    stop.set()
    thread.join(20)

    assert (by_number, too_young, by_age) == (5, 5, 7)
    assert sink.counters["records"] == 8


def test_run_waits_out_storage_trouble(
    root: str, spool_dir: Path, write: Write, signature: Signature
) -> None:
    write(SpoolWriter(spool_dir))
    Path(root).write_text("in the way")
    sink = Sink(
        root, LocalTransport(spool_dir), lambda _: signature, commit_interval_s=0, poll_s=0.01
    )
    stop, waiting = threading.Event(), threading.Event()
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    while not sink.counters["failures"]:
        waiting.wait(0.01)
    Path(root).unlink()
    for _ in range(6_000):
        if sink.counters["records"]:
            break
        waiting.wait(0.01)
    stop.set()
    thread.join(20)

    assert sink.counters["records"] == 1


def test_files_of_a_killed_sink_are_swept(
    root: str, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    drain()
    (stored,) = Path(root).rglob("*.parquet")
    prefix = stored.name.split("-")[0]
    shutil.copy(stored, stored.with_name(f"{prefix}-orphan.parquet"))

    write(writer)
    drain()

    assert len(list(Path(root).rglob("*.parquet"))) == 2
    assert counted(root, "flights").requests == 2
