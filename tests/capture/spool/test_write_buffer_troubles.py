"""The write buffer in trouble: no space, a refusing disk, removal, damage; and who has none."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.events.halves import Halves, Taken
from driftline.capture.spool import write_buffer as buffer_module
from driftline.capture.spool.backlog import oldest_unshipped_ns
from driftline.capture.spool.follower import SpoolFollower
from driftline.capture.spool.quota import Quota, spool_bytes
from driftline.capture.spool.reader import SpoolReader
from driftline.capture.spool.write_buffer import WRITE_BUFFER_NAME, keeps_pages
from driftline.capture.spool.writer import SpoolWriter
from tests.capture.spool.write_buffer_tools import (
    Clock,
    gaps,
    in_segments,
    let_die,
    needs_pages,
    seqs,
    spool_of,
)

__all__ = ["needs_pages"]


Write = Callable[..., bool]


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of one megabyte."""
    if os.geteuid():
        pytest.skip("only root mounts volumes")
    folder = tmp_path / "volume"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path: Path, spare: int = 0) -> None:
    """Take all of a volume but so many bytes."""
    with path.open("wb", buffering=0) as file:
        free = os.statvfs(path.parent)
        file.write(b"y" * max(free.f_bavail * free.f_frsize - spare, 0))


def test_a_volume_without_space_for_a_stage_has_records_written_one_by_one(
    volume: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(volume / "spool", min_free_bytes=0)
    (volume / "spool").mkdir()
    fill(volume / "other", spare=80_000)
    # What is left is measured before; meanwhile a neighbour has taken it.
    monkeypatch.setattr(Quota, "measure", lambda room, *_: setattr(room, "left_bytes", 1 << 30))

    assert all(write(writer, b"%d" % number) for number in range(10))

    assert writer._write_buffer.failures == 1
    assert not (spool_of(volume / "spool") / WRITE_BUFFER_NAME).exists()
    assert len(SpoolReader(spool_of(volume / "spool")).read(100)) == 10


def test_a_volume_that_is_full_when_the_stage_is_emptied_keeps_what_waits(
    volume: Path, write: Write
) -> None:
    clock = Clock()
    writer = SpoolWriter(volume / "spool", min_free_bytes=0, mono_ns=clock)
    assert write(writer, b"0")
    fill(volume / "other")
    stored = [write(writer, b"x" * 2_000) for _ in range(300)]
    lost = stored.count(False)
    assert 0 < lost < 300
    (volume / "other").unlink()
    clock.ns += 2 * 10**9
    assert all(write(writer, b"after") for _ in range(50))
    let_die(writer)

    reader = SpoolReader(spool_of(volume / "spool"))
    found = reader.read(1_000)

    assert len(seqs(found)) == 1 + 300 - lost + 50
    assert gaps(found) == [("full", str(lost))]
    assert [frame.seq for frame in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_whatever_the_disk_says_when_the_stage_is_emptied_is_counted_and_passes(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, mono_ns=clock)
    write(writer)

    def refusing(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(buffer_module.os, "write", refusing)
        stored = sum(write(writer, b"x" * 3_000) for _ in range(200))
        clock.ns += 2 * 10**9
        assert not write(writer, b"x" * 3_000)
    clock.ns += 2 * 10**9
    assert write(writer)

    found = SpoolReader(spool_of(spool_dir)).read(1_000)
    assert len(seqs(found)) == stored + 2
    # The first after a second has the gap staged, and is then refused itself.
    assert [int(records or 0) for _, records in gaps(found)] == [200 - stored, 1]


def test_what_is_staged_and_read_needs_no_room_beyond_the_budget(
    spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir, max_bytes=400_000)

    stored = sum(write(writer, b"x" * 1_000) for _ in range(1_000))

    assert 100 < stored < 400
    assert spool_bytes(spool_dir) <= 400_000 + 2_000


@pytest.mark.parametrize("how", ["removed", "cut off"])
def test_a_stage_that_somebody_spoils_is_given_up_within_a_second(
    spool_dir: Path, write: Write, how: str
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, mono_ns=clock)
    write(writer)
    reader = SpoolReader(spool_of(spool_dir))
    reader.read(10)
    (write(writer), write(writer))
    buffer = spool_of(spool_dir) / WRITE_BUFFER_NAME

    buffer.unlink() if how == "removed" else os.truncate(buffer, 0)
    clock.ns += 2 * 10**9
    (write(writer), write(writer))
    writer.close()

    found = reader.read(10)
    assert seqs(found) == [4, 5]
    assert gaps(found) == [("corrupt", "2")]


def test_a_segment_removed_under_its_writer_costs_nothing_that_waits(
    spool_dir: Path, write: Write
) -> None:
    clock = Clock()
    writer = SpoolWriter(spool_dir, mono_ns=clock, segment_bytes=20_000)
    write(writer)
    while b"xxx" not in in_segments(spool_dir):
        write(writer, b"x" * 1_000)
    flushed = writer._write_buffer.first_seq - 1
    (segment,) = spool_of(spool_dir).glob("*.dls")
    reader = SpoolReader(spool_of(spool_dir))
    segment.unlink()
    clock.ns += 2 * 10**9
    write(writer)

    found = reader.read(100)

    assert gaps(found) in ([("corrupt", str(flushed))], [])
    assert seqs(found) == list(range(flushed + 1, writer._next_seq))


def test_damage_on_the_stage_of_a_dead_writer_is_one_counted_record(
    spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(5):
        write(writer, b"%06d" % number)
    let_die(writer)
    path = spool_of(spool_dir) / WRITE_BUFFER_NAME
    path.write_bytes(path.read_bytes().replace(b"000002", b"\xff" * 6))

    found = SpoolReader(spool_of(spool_dir)).read(10)

    assert seqs(found) == [1, 2, 4, 5]
    assert gaps(found) == [("corrupt", "1")]


def test_what_waits_on_the_stage_is_waiting_and_is_found_by_its_text(
    spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, event_id="one-of-them")
    at_ns = 1_358_251_200_000_000_000

    assert oldest_unshipped_ns(spool_dir) == at_ns
    halves = Halves(spool_dir)
    taken = Taken("key", "both", time.time_ns() + 10**12, str(writer.spool_id))
    assert halves.was_written(taken, "one-of-them") is True
    assert halves.was_written(taken, "another") is False


def test_the_stage_is_put_on_the_disk_when_it_has_changed(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_ino))
    number = (spool_of(spool_dir) / WRITE_BUFFER_NAME).stat().st_ino

    with closing(SpoolFollower(spool_dir, sync_interval_s=0)) as follower:
        follower.receive(0)
        assert synced[0] == number  # Before the segment that it goes to.
        del synced[:]
        follower.receive(0)
        assert synced == []
        write(writer)
        follower.receive(0)
        assert synced == [number]


@pytest.mark.parametrize("options", [{"durability": "request"}, {"is_buffered": False}])
def test_who_waits_for_the_disk_or_wants_none_has_no_stage(
    spool_dir: Path, write: Write, options: dict[str, Any]
) -> None:
    write(SpoolWriter(spool_dir, **options))

    assert not (spool_of(spool_dir) / WRITE_BUFFER_NAME).exists()


def test_only_volumes_that_keep_pages_have_a_stage(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mounts"
    line = f"27 1 {os.major(device)}:{os.minor(device)} / / rw shared:1 master:2 - %s /dev/x rw\n"
    monkeypatch.setattr(buffer_module, "_MOUNTS", str(mounts))
    told = {}
    for kind in ("ext4", "xfs", "tmpfs", "overlay", "btrfs", "nfs4", "fuse.sshfs"):
        mounts.write_text("22 27 0:1 / /proc rw - proc proc rw\n" + line % kind)
        told[kind] = keeps_pages(tmp_path)
    assert [kind for kind, keeps in told.items() if keeps] == ["ext4", "xfs", "tmpfs"]

    write(SpoolWriter(spool_dir))  # The last of them.
    mounts.unlink()

    assert not keeps_pages(tmp_path)
    assert not (spool_of(spool_dir) / WRITE_BUFFER_NAME).exists()
    assert len(SpoolReader(spool_of(spool_dir)).read(10)) == 1
