"""The writer: one spool a process, whole frames, and loss only as counted loss."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.spool.counters import read_drops
from driftline.capture.spool.follower import SpoolReader
from driftline.capture.spool.frame import Frame, Kind
from driftline.capture.spool.writer import SpoolWriter
from tests.capture.spool.spool_tools import Clock

Write = Callable[..., bool]


def frames_of(folder: Path) -> list[Frame]:
    """Read all spools of a folder to their end."""
    found: list[Frame] = []
    for spool in sorted(folder.iterdir()):
        if not spool.name.startswith("."):
            found += SpoolReader(spool).read(1_000_000, 1 << 30)
    return found


def test_numbers_that_a_field_cannot_hold_are_kept_as_near_as_it_goes(spool_dir: Path) -> None:
    writer = SpoolWriter(spool_dir)

    assert writer.append({"endpoint": "x"}, [b"q"], [b"a"], wall_ns=-1, status=1 << 17)

    (found,) = frames_of(spool_dir)
    assert (found.wall_ns, found.status) == (0, (1 << 16) - 1)


def test_the_spool_is_closed_to_other_users(spool_dir: Path, write: Write) -> None:
    write(SpoolWriter(spool_dir))

    (spool,) = spool_dir.iterdir()
    modes = {path.stat().st_mode & 0o777 for path in spool.iterdir()}
    assert spool.stat().st_mode & 0o777 == 0o700
    assert modes == {0o600}


def test_a_segment_ends_at_its_size_and_at_its_age(spool_dir: Path, write: Write) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, segment_bytes=2_000, segment_s=60, mono_ns=clock)

    for number in range(20):
        write(writer, b"%04d" % number + b"x" * 200)
        clock.pass_s(10)

    (spool,) = spool_dir.iterdir()
    segments = sorted(path.name for path in spool.glob("*.dls"))
    assert segments[0] == "0000000000000001.dls"
    assert len(segments) == 4  # Every sixth record by age; size alone would give three.
    assert len(frames_of(spool_dir)) == 20


def test_a_forked_child_writes_a_spool_of_its_own(spool_dir: Path, write: Write) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, b"parent")

    child = os.fork()
    if child == 0:
        write(writer, b"child")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    write(writer, b"parent again")

    requests = [[f.request for f in SpoolReader(spool).read(10)] for spool in spool_dir.iterdir()]
    assert sorted(requests) == [[b"child"], [b"parent", b"parent again"]]


def test_a_child_that_outlives_its_parent_does_not_keep_the_spool_open(spool_dir: Path) -> None:
    script = """
import os, sys
from driftline.capture.spool.writer import SpoolWriter
writer = SpoolWriter(sys.argv[1])
writer.append({"endpoint": "flights"}, [b"x"])
child = os.fork()
if child == 0:
    os.write(1, b"c")
    os.read(0, 1)
os._exit(0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(spool_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.read(1)
        parent.wait(20)
        (spool,) = spool_dir.iterdir()
        reader = SpoolReader(spool)

        reader.read(10)

        assert reader.is_finished


def test_a_body_of_very_many_chunks_is_whole(spool_dir: Path) -> None:
    writer = SpoolWriter(spool_dir)

    writer.append({"endpoint": "flights"}, [b"ab"] * 5_000, [b"c"] * 5_000)

    (found,) = frames_of(spool_dir)
    assert found.request == b"ab" * 5_000
    assert found.response == b"c" * 5_000


def test_past_the_budget_records_are_dropped_counted_and_told(
    spool_dir: Path, write: Write
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, max_bytes=20_000, mono_ns=clock, segment_bytes=5_000)

    stored = 0
    for _ in range(100):
        stored += write(writer, b"x" * 1_000)
        clock.pass_s(0.3)
    (spool,) = spool_dir.iterdir()
    for segment in sorted(spool.glob("*.dls"))[:-1]:
        segment.unlink()
    clock.pass_s(2)
    assert write(writer, b"after")

    gap, last = frames_of(spool_dir)[-2:]
    assert 10 < stored < 20
    assert gap.kind == Kind.GAP
    assert gap.meta["reason"] == "full"
    assert gap.meta["endpoint"] == "flights"
    assert gap.meta["records"] == str(100 - stored)
    assert last.request == b"after"
    assert last.seq == gap.seq + 1


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "broken"), ValueError("odd")])
def test_whatever_keeps_records_from_being_written_each_is_counted(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, mono_ns=clock)
    write(writer)
    flushes: list[Callable[[], None]] = []

    def writev(*_: Any) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", writev)
        for _ in range(3):
            assert write(writer, later=flushes.append)
        flushes[0]()
    clock.pass_s(1.1)
    assert write(writer, b"after")

    first, gap, after = frames_of(spool_dir)
    assert (first.seq, gap.seq, after.seq) == (1, 2, 3)
    assert (gap.meta["reason"], gap.meta["records"]) == ("io_error", "3")
    assert (writer.stored, writer.dropped) == (2, 3)


@pytest.mark.parametrize("later", [None, lambda _: None])
def test_a_full_disk_costs_records_but_no_error_and_leaves_whole_frames(
    spool_dir: Path, write: Write, later: Any
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, mono_ns=clock)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        for number in range(100):
            write(writer, b"%06d" % number + b"x" * 3_000, later=later)
        writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    stored = writer.stored
    clock.pass_s(1.1)
    assert write(writer, b"after")

    found = frames_of(spool_dir)
    records = [frame for frame in found if frame.kind == Kind.RECORD]
    gaps = [frame for frame in found if frame.kind == Kind.GAP]
    assert 10 < stored < 20
    assert len(records) == stored + 1
    assert [frame.seq for frame in found] == list(range(1, len(found) + 1))
    assert {gap.meta["reason"] for gap in gaps} <= {"io_error", "full"}
    assert sum(int(gap.meta["records"]) for gap in gaps) == 100 - stored


def test_a_spool_that_cannot_be_made_drops_and_tries_again(tmp_path: Path, write: Write) -> None:
    clock = Clock()
    (tmp_path / "file").write_text("in the way")
    writer = SpoolWriter(tmp_path / "file" / "spool", mono_ns=clock)

    assert not write(writer)

    (tmp_path / "file").unlink()
    clock.pass_s(1.1)
    assert write(writer)
    gap, record = frames_of(tmp_path / "file" / "spool")
    assert gap.meta["records"] == "1"
    assert record.kind == Kind.RECORD


def test_counts_of_drops_outlive_a_killed_writer(spool_dir: Path) -> None:
    script = """
import os, signal, sys
from driftline.capture.spool.writer import SpoolWriter
writer = SpoolWriter(sys.argv[1], max_bytes=3000)
for _ in range(50):
    writer.append({"endpoint": "flights"}, [b"x" * 1000])
print(writer.dropped, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(spool_dir)], capture_output=True, check=False, timeout=30
    )
    dropped = int(ended.stdout)

    (spool,) = spool_dir.iterdir()
    found = SpoolReader(spool).read(100)

    assert ended.returncode == -signal.SIGKILL
    assert dropped > 40
    assert sum(drop.records for drop in read_drops(spool / "counters")) == dropped
    assert sum(int(f.meta["records"]) for f in found if f.kind == Kind.GAP) == dropped


def test_closing_ends_the_spool_and_a_later_record_begins_another(
    spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    writer.close()
    write(writer)

    readers = [SpoolReader(spool) for spool in sorted(spool_dir.iterdir())]
    counts = [len(reader.read(10)) for reader in readers]

    assert counts == [1, 1]
    assert sorted(reader.is_finished for reader in readers) == [False, True]
