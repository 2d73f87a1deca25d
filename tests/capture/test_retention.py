"""Old rows go, the marks stay: what was expired never comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from driftline.capture.dataset import Dataset
from driftline.capture.sink import Sink
from driftline.capture.spool import SpoolWriter
from driftline.capture.transport import LocalTransport
from tests.capture.conftest import SIGNATURE

OLD = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _expire(root: str, spool_dir: Path, keep_from: date) -> Sink:
    """Run a sink until it has looked once for what is too old."""
    stop = threading.Event()

    def first_day() -> date:
        stop.set()
        return keep_from

    sink = Sink(root, LocalTransport(spool_dir), lambda _: SIGNATURE, keep_from=first_day)
    sink.run(stop)
    return sink


def test_days_before_the_first_to_keep_go_and_do_not_return(
    root: str, spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(5):
        write(writer, at=OLD)
        write(writer, at=NEW)
    drain()

    sink = _expire(root, spool_dir, date(2026, 2, 1))
    again = drain()

    found = pl.read_delta(Dataset(root, "flights").folder.uri)
    assert sink.counters["expired"] == 5
    assert found["event_date"].unique().to_list() == ["2026-03-01"]
    assert again.counters["records"] == 0


def test_nothing_goes_when_all_is_young(
    root: str, spool_dir: Path, write: Callable[..., bool], drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, at=NEW)
    drain()

    sink = _expire(root, spool_dir, date(2026, 2, 1))

    assert sink.counters["expired"] == 0
    assert Dataset(root, "flights").stats().requests == 1
