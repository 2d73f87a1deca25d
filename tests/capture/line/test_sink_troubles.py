"""The sink in trouble: what fails is kept and tried again, and stops nothing else."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driftline.capture.line import sink as sinks
from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.delivery import Delivery
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset, read_gaps
from driftline.signature import Signature
from tests.capture.counts import counted
from tests.capture.line.kafka_tools import wait_until

Write = Callable[..., bool]


def seqs(root: str, endpoint: str) -> list[int]:
    data = Dataset(root, endpoint).open()
    if data is None:
        return []
    found: list[int] = sorted(data.to_table(["spool_seq"])["spool_seq"].to_pylist())
    return found


@contextmanager
def running(root: str, spool_dir: Path, signature: Signature) -> Iterator[Sink]:
    """Run a sink that commits at once."""
    sink = Sink(
        root, LocalTransport(spool_dir), lambda _: signature, commit_interval_s=0, poll_s=0.01
    )
    stop = threading.Event()
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    try:
        yield sink
    finally:
        stop.set()
        thread.join(20)


def test_an_endpoint_that_fails_does_not_stop_the_others_and_loses_nothing(
    root: str, spool_dir: Path, write: Write, signature: Signature
) -> None:
    writer = SpoolWriter(spool_dir)
    blocked = Path(root, "capture", "e1")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    for number in range(4):
        write(writer, endpoint=f"e{number % 2}")

    with running(root, spool_dir, signature) as sink:
        wait_until(lambda: seqs(root, "e0") == [1, 3] and sink.counters["failures"] > 0)
        writer.count_drop("full", "e0")
        for number in range(4):
            write(writer, endpoint=f"e{number % 2}")
        wait_until(lambda: seqs(root, "e0") == [1, 3, 6, 8])
        # The gap lies behind records of its spool that are not looked at yet.
        assert read_gaps(root) == []
        assert list(spool_dir.glob("*-*/stored")) == []
        blocked.unlink()
        wait_until(lambda: seqs(root, "e1") == [2, 4, 7, 9])

    assert seqs(root, "e0") == [1, 3, 6, 8]
    assert [(gap.seq, gap.reason) for gap in read_gaps(root)] == [(5, "full")]
    assert (sink.counters["records"], sink.counters["gaps"]) == (8, 1)


class Trickle(LocalTransport):
    """Always has one record more, and gives up on a sink that takes too many of them."""

    def __init__(self, spool_dir: Path, write: Write, stop_at: int, stop: threading.Event) -> None:
        super().__init__(spool_dir)
        self._writer, self._write = SpoolWriter(spool_dir), write
        self._stop_at, self._stop = stop_at, stop
        self.receipts = 0

    def receive(self, max_records: int) -> list[Delivery]:
        """Return a record; after so many it is time to stop."""
        self.receipts += 1
        assert self.receipts < 1_000, "the sink never has enough"
        if self.receipts >= self._stop_at:
            self._stop.set()
        self._write(self._writer)
        return super().receive(max_records)


@pytest.mark.parametrize("stop_at", [1, pytest.param(50, marks=pytest.mark.full)])
def test_a_sink_that_is_to_stop_commits_and_ends_though_records_keep_coming(
    root: str, spool_dir: Path, write: Write, signature: Signature, stop_at: int
) -> None:
    stop, ticks = threading.Event(), itertools.count()
    transport = Trickle(spool_dir, write, stop_at, stop)
    sink = Sink(
        root, transport, lambda _: signature, monotonic=lambda: next(ticks) / 100,
        commit_interval_s=100.0,
    )  # fmt: skip

    sink.run(stop)

    assert stop_at <= transport.receipts < stop_at + 300
    assert counted(root, "flights").requests == transport.receipts


def test_what_nobody_thought_of_while_writing_is_counted_and_tried_again(
    root: str,
    spool_dir: Path,
    write: Write,
    signature: Signature,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, failed = Dataset.append, threading.Event()

    def fragile(self: Dataset, *given: object, **named: object) -> int:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a bug of a library")
        return real(self, *given, **named)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(sinks.Dataset, "append", fragile)
    write(SpoolWriter(spool_dir))

    with running(root, spool_dir, signature) as sink:
        wait_until(lambda: sink.counters["records"] == 1)

    assert sink.counters["failures"] == 1
    assert seqs(root, "flights") == [1]
