"""The sidecar's watermarks: nothing again that is shipped, nothing left out that is not."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from driftline.capture.line.sidecar import Sidecar
from driftline.capture.spool.counters import DropCounters
from driftline.capture.spool.delivery import Delivery
from driftline.capture.spool.follower import SpoolFollower
from driftline.capture.spool.frame import Frame, Kind
from driftline.capture.spool.writer import SpoolWriter
from driftline.errors import ConflictError, UnavailableError
from tests.capture.conftest import record


class Shelf:
    """A way that keeps what it is given, as far as it is told to."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Frame]] = {}
        self.takes = 1_000_000
        self.is_open = True

    def send(self, batch: Sequence[Delivery]) -> dict[str, int]:
        if not self.is_open:
            raise UnavailableError("closed")
        safe = {}
        for found in batch:
            taken = found.frames[: self.takes]
            self.kept.setdefault(found.spool_id, []).extend(taken)
            safe[found.spool_id] = taken[-1].seq
        return safe

    def close(self) -> None:
        pass

    def seqs(self) -> list[int]:
        return sorted(frame.seq for frames in self.kept.values() for frame in frames)


def ship(spool_dir: Path, shelf: Shelf, steps: int = 100) -> Sidecar:
    stop = threading.Event()
    sidecar = Sidecar(spool_dir, shelf)
    for _ in range(steps):
        if not sidecar.step():
            break
    stop.set()
    shelf.is_open = False  # As after a kill: nothing more goes.
    sidecar.run(stop)
    shelf.is_open = True
    return sidecar


def test_a_sidecar_that_is_started_again_goes_on_where_the_other_was(spool_dir: Path) -> None:
    shelf = Shelf()
    with closing(SpoolWriter(spool_dir)) as writer:
        for _ in range(3):
            record(writer)
        ship(spool_dir, shelf)
        for _ in range(2):
            record(writer)
    ship(spool_dir, shelf)

    assert shelf.seqs() == [1, 2, 3, 4, 5]
    assert list(spool_dir.glob("[!.]*")) == []


def test_what_was_not_taken_is_sent_later_and_only_that(spool_dir: Path) -> None:
    shelf = Shelf()
    shelf.takes = 2
    with closing(SpoolWriter(spool_dir)) as writer:
        for _ in range(5):
            record(writer)
    ship(spool_dir, shelf, steps=1)
    assert shelf.seqs() == [1, 2]
    assert len(list(spool_dir.glob("[!.]*"))) == 1

    shelf.takes = 100
    ship(spool_dir, shelf)

    assert shelf.seqs() == [1, 2, 3, 4, 5]


def test_drops_that_a_shipped_gap_told_are_not_told_again(spool_dir: Path) -> None:
    shelf = Shelf()
    writer = SpoolWriter(spool_dir)
    record(writer)
    writer.count_drop("full", "flights")
    record(writer)
    assert writer.spool_id is not None
    ship(spool_dir, shelf)
    writer._close_files()
    counters = spool_dir / writer.spool_id / "counters"
    counters.unlink()
    page = DropCounters()  # As a kill leaves it just before the counter was marked as told.
    page.attach(counters)
    page.count("full", "flights", 0, 1)
    page.close()

    ship(spool_dir, shelf)

    kinds = [frame.kind for frames in shelf.kept.values() for frame in frames]
    assert kinds == [Kind.RECORD, Kind.GAP, Kind.RECORD]


def test_last_words_are_shipped_once_though_the_spool_could_not_be_removed(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    writer = SpoolWriter(spool_dir)
    record(writer)
    record(writer)
    writer.count_drop("full", "flights")
    assert writer.spool_id is not None
    writer._close_files()
    with monkeypatch.context() as patch:
        # As a kill leaves it: what was shipped is marked, the folder still there.
        patch.setattr(SpoolFollower, "remove_finished", lambda *_, **__: None)
        ship(spool_dir, shelf)

    ship(spool_dir, shelf)

    found = [(frame.kind, frame.seq) for frame in next(iter(shelf.kept.values()))]
    assert found == [(Kind.RECORD, 1), (Kind.RECORD, 2), (Kind.GAP, 3)]
    assert not any(spool_dir.glob("[!.]*"))


def test_only_one_sidecar_ships_a_folder(spool_dir: Path) -> None:
    first = Sidecar(spool_dir, Shelf())
    with pytest.raises(ConflictError, match="another process ships it"):
        Sidecar(spool_dir, Shelf())
    stop = threading.Event()
    stop.set()
    first.run(stop)
