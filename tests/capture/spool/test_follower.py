"""The reader: damage costs what was damaged, is counted, and never stops what follows."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from driftline.capture.spool import reader as spool_reader
from driftline.capture.spool.folder import has_writer
from driftline.capture.spool.follower import SpoolFollower, SpoolReader
from driftline.capture.spool.frame import Frame, Kind
from driftline.capture.spool.writer import SpoolWriter
from driftline.errors import ConflictError
from tests.capture.spool.spool_tools import spool_of
from tests.servers.commands import talking

Write = Callable[..., bool]


def filled(spool_dir: Path, write: Write, count: int = 20, **options: int) -> SpoolWriter:
    writer = SpoolWriter(spool_dir, **options)  # type: ignore[arg-type] # sizes only
    for number in range(count):
        assert write(writer, b"%06d" % number)
    return writer


def kinds(frames: list[Frame]) -> list[tuple[int, int]]:
    return [(frame.kind, frame.seq) for frame in frames]


def test_a_torn_tail_of_a_dead_writer_is_one_counted_record(spool_dir: Path, write: Write) -> None:
    filled(spool_dir, write, 5).close()
    (segment,) = spool_of(spool_dir).glob("*.dls")
    # The clean close frame goes, and half of the last record with it.
    os.truncate(segment, segment.stat().st_size - 80 - 60)
    reader = SpoolReader(spool_of(spool_dir))

    found = reader.read(100)

    assert kinds(found) == [(Kind.RECORD, seq) for seq in (1, 2, 3, 4)] + [(Kind.GAP, 5)]
    assert found[-1].meta["reason"] == "torn"
    assert found[-1].meta["records"] == "1"
    assert reader.is_finished


def test_a_spool_from_before_the_last_boot_without_a_clean_end_tells_power_loss(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
import os, signal, sys
from driftline.capture.spool.writer import SpoolWriter
SpoolWriter(sys.argv[1]).append({"endpoint": "flights"}, [b"x"])
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script, str(spool_dir)], check=False, timeout=30)
    monkeypatch.setattr(spool_reader, "boot_id", lambda: "another boot")

    _, gap = SpoolReader(spool_of(spool_dir)).read(10)

    assert gap.meta["reason"] == "power_loss"
    assert "records" not in gap.meta


def test_only_one_process_reads_a_folder(spool_dir: Path) -> None:
    follower = SpoolFollower(spool_dir)

    with pytest.raises(ConflictError, match="another process ships it"):
        SpoolFollower(spool_dir)

    follower.close()
    SpoolFollower(spool_dir).close()


def test_released_segments_go_and_a_finished_spool_goes_as_a_whole(
    spool_dir: Path, write: Write
) -> None:
    writer = filled(spool_dir, write, 60, segment_bytes=2_000)
    follower = SpoolFollower(spool_dir)
    (delivery,) = follower.receive(1_000)

    follower.release({delivery.spool_id: delivery.last_seq})
    left = len(list(spool_of(spool_dir).glob("*.dls")))
    writer.close()
    follower.receive(1_000)
    follower.remove_finished()

    assert left == 1
    assert list(spool_dir.glob("[!.]*")) == []
    follower.close()


def test_what_is_not_released_is_read_again(spool_dir: Path, write: Write) -> None:
    filled(spool_dir, write, 60, segment_bytes=2_000)
    follower = SpoolFollower(spool_dir)
    (first,) = follower.receive(1_000)
    follower.release({first.spool_id: 30})
    follower.close()

    follower = SpoolFollower(spool_dir)
    (again,) = follower.receive(1_000)
    follower.close()

    assert again.last_seq == 60
    assert again.frames[0].seq <= 31
    assert all(frame.kind == Kind.RECORD for frame in again.frames)


def test_a_spool_that_somebody_removes_stops_no_other(spool_dir: Path, write: Write) -> None:
    removed, left = (filled(spool_dir, write, 3) for _ in range(2))
    follower = SpoolFollower(spool_dir, sync_interval_s=0)
    assert len(follower.receive(100)) == 2
    assert removed.spool_id is not None

    shutil.rmtree(spool_dir / removed.spool_id)
    write(left, b"later")
    (found,) = follower.receive(100)
    follower.mark_shipped({removed.spool_id: 3, found.spool_id: found.last_seq})
    follower.release({removed.spool_id: 3})
    follower.remove_finished()

    assert found.spool_id == left.spool_id
    assert [path.name for path in spool_dir.glob("[!.]*")] == [left.spool_id]
    follower.close()


def test_a_folder_that_somebody_removes_is_read_when_it_is_there_again(
    spool_dir: Path, write: Write
) -> None:
    filled(spool_dir, write, 3)
    follower = SpoolFollower(spool_dir, sync_interval_s=0)
    follower.receive(100)

    shutil.rmtree(spool_dir)
    nothing = follower.receive(100)
    follower.remove_finished()
    filled(spool_dir, write, 2)
    (found,) = follower.receive(100)

    assert nothing == []
    assert len(found) == 2
    follower.close()


def test_a_spool_that_the_disk_refuses_costs_no_record_of_any(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = [filled(spool_dir, write, 40, segment_bytes=1_500).spool_id for _ in range(3)]
    follower = SpoolFollower(spool_dir)
    asked = Counter[str]()
    ask = has_writer

    def failing(spool: Path) -> bool:
        # One cannot be read at all, one from its second segment on.
        asked[spool.name] += 1
        if (spool.name, asked[spool.name]) in ((names[0], 1), (names[0], 2), (names[1], 2)):
            raise OSError(errno.EMFILE, "Too many open files")
        return ask(spool)

    monkeypatch.setattr(spool_reader, "has_writer", failing)

    found: dict[str, list[int]] = {str(name): [] for name in names}
    for _ in range(4):
        for delivery in follower.receive(1_000):
            found[delivery.spool_id] += [frame.seq for frame in delivery.frames]

    assert all(seqs == list(range(1, 41)) for seqs in found.values())
    assert caplog.text.count("cannot be read") == 1
    follower.close()


def test_a_disk_that_takes_no_mark_keeps_what_is_shipped_and_stops_nobody(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    filled(spool_dir, write, 60, segment_bytes=2_000)
    follower = SpoolFollower(spool_dir)
    (found,) = follower.receive(1_000)
    segments = len(list(spool_of(spool_dir).glob("*.dls")))

    def refuse(_self: SpoolReader, _seq: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(SpoolReader, "mark_shipped", refuse)
        for _ in range(2):
            follower.mark_shipped({found.spool_id: 30})
            follower.release({found.spool_id: 30})
    assert len(list(spool_of(spool_dir).glob("*.dls"))) == segments
    assert caplog.text.count("cannot be marked as shipped") == 1

    follower.mark_shipped({found.spool_id: 60})
    follower.release({found.spool_id: 60})
    assert len(list(spool_of(spool_dir).glob("*.dls"))) == 1
    follower.close()


def test_a_disk_that_does_not_sync_keeps_nobody_from_reading(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = filled(spool_dir, write, 2)
    follower = SpoolFollower(spool_dir, sync_interval_s=0)
    follower.receive(100)
    write(writer)

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    (found,) = follower.receive(100)
    follower.receive(100)

    assert len(found) == 1
    assert caplog.text.count("cannot be put on the disk") == 1
    follower.close()


@pytest.mark.parametrize("steps", [1, 7, 100, 10_000])
def test_what_is_written_while_it_is_read_is_read_once(
    spool_dir: Path, write: Write, steps: int
) -> None:
    writer = SpoolWriter(spool_dir, segment_bytes=40_000)
    chance = random.Random(steps)
    found: list[Frame] = []
    reader = None
    for number in range(1, 1_001):
        assert write(writer, b"x" * chance.choice((10, 10, 300, 3_000, 9_000)), status=number)
        reader = reader or SpoolReader(spool_of(spool_dir))
        if number % steps == 0:
            found += reader.read(chance.choice((1, 1_000)))
    writer.close()
    assert reader is not None
    while not reader.is_finished:
        found += reader.read(1_000)

    assert [frame.status for frame in found] == list(range(1, 1_001))


def test_threads_share_a_spool_while_one_reads(spool_dir: Path, write: Write) -> None:
    writer = SpoolWriter(spool_dir, segment_bytes=100_000)
    write(writer, b"0")

    def work(number: int) -> None:
        for count in range(1_500):
            assert write(writer, b"%d:%d" % (number, count))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    reader = SpoolReader(spool_of(spool_dir))
    found: list[Frame] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found += reader.read(500)
    while more := reader.read(5_000):
        found += more

    assert kinds(found) == [(Kind.RECORD, seq) for seq in range(1, 4_502)]
    assert len({frame.request for frame in found}) == 4_501


KILLED = """
import os, sys
from driftline.capture.spool.writer import SpoolWriter
writer = SpoolWriter(sys.argv[1], segment_bytes=60_000)
number = 0
while True:
    body = b"%d:" % number + b"x" * (number * 37 % 5_000)
    assert writer.append(b"endpoint\\0f", [body], [b"answer"], status=200)
    os.write(1, b"%d\\n" % number)
    number += 1
"""


def test_a_writer_killed_at_any_moment_while_one_reads_loses_nothing(
    spool_dir: Path, pytestconfig: pytest.Config
) -> None:
    chance = random.Random(11)
    for _ in range(12 if pytestconfig.getoption("full") else 6):
        shutil.rmtree(spool_dir, ignore_errors=True)
        with talking(KILLED, spool_dir) as (writer, _, printed):
            lines = [printed.readline()]
            reader = SpoolReader(spool_of(spool_dir))
            found: list[Frame] = []
            stop = threading.Timer(chance.uniform(0.01, 0.3), writer.kill)
            stop.start()
            told = threading.Thread(target=lines.extend, args=(printed,))
            told.start()
            while not reader.is_finished:
                found += reader.read(chance.choice((3, 1_000)))
            told.join()

        stored = [int(frame.request.partition(b":")[0]) for frame in found if frame.kind == 1]
        assert stored == list(range(len(stored)))
        assert len(lines) <= len(stored) <= len(lines) + 1
        gaps = [(f.meta["reason"], f.meta["records"]) for f in found if f.kind == Kind.GAP]
        assert gaps in ([], [("torn", "1")])
