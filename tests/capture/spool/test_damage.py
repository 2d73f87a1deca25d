"""Damage of every kind: a reader goes on, invents nothing, and counts what is missing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftline.capture.spool import writer as spool_module
from driftline.capture.spool.follower import SpoolReader
from driftline.capture.spool.frame import Frame, Kind, find_frame, frame_length, seed_of
from driftline.capture.spool.writer import SpoolWriter
from tests.capture.spool.spool_tools import Clock

Write = Callable[..., bool]
RECORDS = 40


def written(folder: Path) -> Path:
    """Write a spool of some segments, closed in order; give its folder."""
    writer = SpoolWriter(folder, segment_bytes=2_000)
    for number in range(1, RECORDS + 1):
        body = b"%d:" % number + b"b" * (number * 7 % 150)
        assert writer.append({"endpoint": "flights"}, [body], [b"answer"], status=200)
    writer.close()
    (spool,) = folder.iterdir()
    return spool


def read_all(spool: Path) -> list[Frame]:
    """Read to the end; a reader that does not come to it would hang here."""
    reader = SpoolReader(spool)
    found: list[Frame] = []
    for _ in range(10_000):
        found += reader.read(7)
        if reader.is_finished:
            return found
    raise AssertionError("the reader came to no end")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("good"))


def change(data: bytes, at: int, kind: str, junk: bytes) -> bytes:
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ (junk[0] or 1)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at] + data[at + len(junk) :]
    if kind == "insert":
        return data[:at] + junk + data[at:]
    if kind == "overwrite":
        return data[:at] + junk + data[at + len(junk) :]
    return data[:at]  # The rest is torn off.


kinds = st.sampled_from(["flip", "cut", "insert", "overwrite", "tear"])
damages = st.lists(
    st.tuples(
        st.integers(0, 1_000), st.floats(0, 0.999), kinds, st.binary(min_size=1, max_size=600)
    ),
    min_size=1,
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages)
def test_a_damaged_spool_is_read_to_its_end_and_what_is_missing_is_counted(
    good: Path, tmp_path: Path, damage: list[tuple[int, float, str, bytes]]
) -> None:
    spool = tmp_path / good.name
    shutil.rmtree(spool, ignore_errors=True)
    shutil.copytree(good, spool)
    segments = sorted(spool.glob("*.dls"))
    for which, share, kind, junk in damage:
        # The last one tells where the sequence ends: it stays.
        segment = segments[which % (len(segments) - 1)]
        data = segment.read_bytes()
        if data:
            segment.write_bytes(change(data, int(len(data) * share), kind, junk))

    found = read_all(spool)

    original = {frame.seq: frame for frame in read_all(good)}
    records = [frame for frame in found if frame.kind == Kind.RECORD]
    lost = sum(int(frame.meta["records"]) for frame in found if frame.kind == Kind.GAP)
    assert all(original[frame.seq] == frame for frame in records)
    assert [frame.seq for frame in found] == sorted({frame.seq for frame in found})
    assert len(records) + lost == RECORDS


@given(junk=st.binary(max_size=3_000))
def test_bytes_of_somebody_else_are_no_frames(
    junk: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spool = tmp_path_factory.mktemp("junk") / "01890000-0000-7000-8000-000000000001"
    spool.mkdir()
    (spool / "0000000000000001.dls").write_bytes(junk)

    found = read_all(spool)

    assert [frame.meta["reason"] for frame in found] == (["torn"] if junk else [])


def test_a_frame_of_a_later_version_is_skipped_and_counted(spool_dir: Path) -> None:
    spool = written(spool_dir)
    segment = sorted(spool.glob("*.dls"))[1]
    data, seed = bytearray(segment.read_bytes()), seed_of(spool.name)
    second = frame_length(bytes(data), 0)
    assert second is not None
    assert find_frame(bytes(data), second, seed) == second
    data[second + 12] = 2  # The version lies behind magic, length and checksum.
    segment.write_bytes(data)

    found = read_all(spool)

    (gap,) = (frame for frame in found if frame.kind == Kind.GAP)
    assert (gap.meta["reason"], gap.meta["records"]) == ("corrupt", "1")
    assert len([frame for frame in found if frame.kind == Kind.RECORD]) == RECORDS - 1


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EDQUOT, "full"),
        (errno.ENOSPC, "full"),
        (errno.EFBIG, "full"),
        (errno.EIO, "io_error"),
        (errno.EROFS, "io_error"),
    ],
)
def test_whatever_the_disk_says_is_counted_and_passes(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, mono_ns=clock)
    write(writer)

    def refusing(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(spool_module.os, "writev", refusing)
        assert not any(write(writer) for _ in range(5))
    clock.ns += 2 * 10**9
    assert write(writer)
    writer.close()

    (spool,) = spool_dir.iterdir()
    found = read_all(spool)
    assert [frame.kind for frame in found] == [Kind.RECORD, Kind.GAP, Kind.RECORD]
    assert (found[1].meta["reason"], found[1].meta["records"]) == (reason, "5")


def test_a_segment_removed_under_its_writer_is_a_counted_hole(
    spool_dir: Path, write: Write
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, mono_ns=clock)
    (write(writer), write(writer))
    (spool,) = spool_dir.iterdir()
    reader = SpoolReader(spool)
    assert len(reader.read(1)) == 1

    (segment,) = spool.glob("*.dls")
    segment.unlink()
    clock.ns += 2 * 10**9
    assert write(writer)

    found = reader.read(10)
    assert [frame.meta.get("records") for frame in found] == ["1", None]
    assert writer.spool_id == spool.name


def test_a_folder_removed_under_its_writer_is_made_anew_and_told(
    spool_dir: Path, write: Write
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, mono_ns=clock)
    write(writer)
    first = writer.spool_id

    shutil.rmtree(spool_dir)
    clock.ns += 2 * 10**9
    assert write(writer)

    assert writer.spool_id != first
    (spool,) = spool_dir.iterdir()
    gap, record = SpoolReader(spool).read(10)
    assert (gap.meta["reason"], gap.meta.get("records")) == ("removed", None)
    assert (gap.seq, record.seq) == (1, 2)


@pytest.mark.parametrize("wall_ns", [-1, -(1 << 70), 0, 1 << 62, 1 << 70])
def test_a_clock_that_jumps_costs_no_record(spool_dir: Path, wall_ns: int) -> None:
    writer = SpoolWriter(spool_dir, now_ns=lambda: wall_ns)

    assert writer.append({"endpoint": "f"}, [b"x"], wall_ns=wall_ns, status=70_000)
    writer.count_drop("full", "f")
    assert writer.append({"endpoint": "f"}, [b"x"], wall_ns=wall_ns)
    writer.close()

    (spool,) = spool_dir.iterdir()
    assert [frame.kind for frame in read_all(spool)] == [Kind.RECORD, Kind.GAP, Kind.RECORD]


def test_a_frame_that_was_being_written_is_read_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SpoolWriter(tmp_path)) as writer:
        writer.append({"event_id": "a"}, [b"x" * 5_000])
        reader = SpoolReader(next(tmp_path.iterdir()))
        assert [frame.seq for frame in reader.read(10)] == [1]
        writer.append({"event_id": "b"}, [b"x" * 5_000])
        pread, looks = os.pread, iter([2_000, 3_000])

        def torn(descriptor: int, count: int, offset: int) -> bytes:
            """See but a part of it twice, and have it and the next one be whole right after."""
            size = next(looks)
            if size == 3_000:
                monkeypatch.undo()
                writer.append({"event_id": "c"}, [b"x" * 5_000])
            return pread(descriptor, size, offset)

        monkeypatch.setattr(os, "pread", torn)
        first = reader.read(10)

        assert [frame.seq for frame in [*first, *reader.read(10)]] == [2, 3]
        assert all(frame.kind == Kind.RECORD for frame in first)
