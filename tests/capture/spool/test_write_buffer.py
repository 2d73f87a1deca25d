"""The write buffer: its frames are read once, outlive their writer, and cost no record of any."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftline.capture.spool import folder as folder_module
from driftline.capture.spool import writer as writer_module
from driftline.capture.spool.frame import Frame
from driftline.capture.spool.reader import SpoolReader
from driftline.capture.spool.write_buffer import WRITE_BUFFER_BYTES, WRITE_BUFFER_NAME
from driftline.capture.spool.writer import SpoolWriter
from tests.capture.spool.write_buffer_tools import (
    gaps,
    in_segments,
    let_die,
    needs_pages,
    seqs,
    spool_of,
)
from tests.servers.commands import talking

__all__ = ["needs_pages"]


Write = Callable[..., bool]


def test_small_records_wait_on_the_stage_and_are_read_there(spool_dir: Path, write: Write) -> None:
    writer = SpoolWriter(spool_dir)
    reader = None
    for number in range(1, 6):
        write(writer, b"only-%d" % number)
        reader = reader or SpoolReader(spool_of(spool_dir))
        assert seqs(reader.read(10)) == [number]
        assert reader.read(10) == []

    assert b"only" not in in_segments(spool_dir)
    assert (spool_of(spool_dir) / WRITE_BUFFER_NAME).stat().st_size == WRITE_BUFFER_BYTES


@pytest.mark.parametrize("steps", [1, 7, 100, 10_000])
def test_what_goes_from_the_stage_to_segments_is_read_once(
    spool_dir: Path, write: Write, steps: int
) -> None:
    writer = SpoolWriter(spool_dir, segment_bytes=40_000)
    chance = random.Random(steps)
    found: list[Frame] = []
    reader = None
    for number in range(1, 1_001):
        # Now and then one that is larger than the write buffer takes.
        assert write(writer, b"x" * chance.choice((10, 10, 300, 3_000, 9_000)), status=number)
        reader = reader or SpoolReader(spool_of(spool_dir))
        if number % steps == 0:
            found += reader.read(chance.choice((1, 1_000)))
    writer.close()
    assert reader is not None
    while not reader.is_finished:
        found += reader.read(1_000)

    assert [frame.status for frame in found] == list(range(1, 1_001))
    assert not (spool_of(spool_dir) / WRITE_BUFFER_NAME).exists()


@pytest.mark.parametrize("is_begun", [False, True])
def test_what_waits_when_the_writer_dies_is_read_and_nothing_is_told_torn(
    spool_dir: Path, write: Write, is_begun: bool
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(2_000):
        write(writer)
    reader = SpoolReader(spool_of(spool_dir))
    found = reader.read(700) if is_begun else []
    let_die(writer)

    while not reader.is_finished:
        found += reader.read(300)

    assert [frame.seq for frame in found] == list(range(1, 2_001))


def test_a_kill_in_the_midst_of_emptying_the_stage_costs_nothing(
    spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    for _ in range(100):
        write(writer)
    half = bytes(writer._write_buffer.mapped[: writer._write_buffer.used // 2 + 20])
    let_die(writer)
    with sorted(spool_of(spool_dir).glob("*.dls"))[0].open("ab") as segment:
        segment.write(half)

    reader = SpoolReader(spool_of(spool_dir))
    found = reader.read(1_000)

    assert reader.is_finished
    assert [(frame.kind, frame.seq) for frame in found] == [(1, seq) for seq in range(1, 101)]


def test_a_large_frame_that_a_kill_cuts_off_is_told_torn(spool_dir: Path, write: Write) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    write(writer, b"x" * 100_000)
    let_die(writer)
    (segment,) = spool_of(spool_dir).glob("*.dls")
    os.truncate(segment, segment.stat().st_size - 1_000)

    found = SpoolReader(spool_of(spool_dir)).read(10)

    assert seqs(found) == [1]
    assert gaps(found) == [("torn", "1")]


def test_a_frame_that_is_being_copied_is_awaited_and_then_read(
    spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    (write(writer, b"first"), write(writer, b"second"))
    path = spool_of(spool_dir) / WRITE_BUFFER_NAME
    whole = path.read_bytes()
    used = writer._write_buffer.used
    reader = SpoolReader(spool_of(spool_dir))

    half = whole[: used // 2] + bytes(12) + whole[used // 2 + 12 :]  # All but its head.
    path.write_bytes(half)
    assert seqs(reader.read(10)) == [1]
    path.write_bytes(whole[: used - 20] + bytes(WRITE_BUFFER_BYTES - used + 20))  # Not all.
    assert reader.read(10) == []
    path.write_bytes(whole)
    assert seqs(reader.read(10)) == [2]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.binary(max_size=6_000), st.binary(max_size=900), st.integers(-1, 1 << 17)),
        max_size=40,
    ),
    st.sampled_from([1 << 13, 1 << 16, 1 << 18]),
)
def test_by_the_stage_or_not_a_segment_has_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[tuple[bytes, bytes, int]],
    buffer_bytes: int,
) -> None:
    written = []
    with pytest.MonkeyPatch.context() as same:
        same.setattr(folder_module, "new_spool_id", lambda _: "the-same")
        same.setattr(writer_module, "WRITE_BUFFER_BYTES", buffer_bytes)
        for is_buffered in (False, True):
            folder = tmp_path_factory.mktemp("same")
            with closing(
                SpoolWriter(
                    folder,
                    is_buffered=is_buffered,
                    now_ns=lambda: 7,
                    mono_ns=lambda: 9,
                )
            ) as writer:
                for asked, answered, status in records:
                    assert writer.append({"endpoint": "x"}, [asked], [answered], status=status)
            written.append(b"".join(f.read_bytes() for f in sorted(folder.glob("*/*.dls"))))
    assert written[0] == written[1]


def test_a_forked_child_leaves_the_stage_of_its_parent_alone(spool_dir: Path, write: Write) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, b"parent")

    child = os.fork()
    if child == 0:
        for _ in range(3_000):
            write(writer, b"child")
        os.kill(os.getpid(), signal.SIGKILL)
    for _ in range(3_000):
        write(writer, b"parent")
    os.waitpid(child, 0)

    found = {}
    for spool in spool_dir.iterdir():
        frames = SpoolReader(spool).read(10_000, 1 << 30)
        (who,) = {frame.request for frame in frames}
        found[who] = [frame.seq for frame in frames]
    assert found == {b"parent": list(range(1, 3_002)), b"child": list(range(1, 3_001))}


def test_a_child_forked_while_the_stage_is_written_out_has_a_spool_of_its_own(
    spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, b"parent")

    with memoryview(writer._write_buffer.mapped):
        child = os.fork()
        if child == 0:
            write(writer, b"child")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    found = [SpoolReader(spool).read(10) for spool in spool_dir.iterdir()]
    assert sorted(frame.request for (frame,) in found) == [b"child", b"parent"]


def test_threads_share_a_stage_while_one_reads(spool_dir: Path, write: Write) -> None:
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

    assert [(frame.kind, frame.seq) for frame in found] == [(1, seq) for seq in range(1, 4_502)]
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
        assert gaps(found) in ([], [("torn", "1")])
