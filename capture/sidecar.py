"""The sidecar's eye: reads all spools of a host, from the oldest frame that is still there.

A reader never stops at damage: it looks for the next frame whose checksum is right, and the hole in
the sequence becomes a gap. A spool whose writer is dead ends with what nobody could tell any more:
a torn frame, drops that no gap frame reported, a tail that power loss may have taken.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from driftline.capture.drops import read_drops
from driftline.capture.frame import (
    HEADER_BYTES,
    Frame,
    Kind,
    find_frame,
    frame_length,
    seed_of,
    unpack,
)
from driftline.capture.sound import whole
from driftline.capture.spool import COUNTERS_NAME, LOCK_NAME, SEGMENT_SUFFIX, boot_id
from driftline.capture.waiting import MARK_NAME, read_mark
from driftline.errors import ConflictError

__all__ = ["QUARANTINE", "Delivery", "Origin", "SpoolReader", "SpoolTail"]

log = logging.getLogger(__name__)

_CHUNK_BYTES = 4 << 20
_READER_LOCK = ".reader.lock"
_DONE_PREFIX = ".done-"
QUARANTINE = "quarantine"  # Beside the spools: records that nobody would take.


class Origin(NamedTuple):
    """Where on a broker records came from: a partition's name, and the offset there."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """Records and gaps of one spool, in sequence, and where on a broker they lay."""

    spool_id: str
    frames: list[Frame]
    origin: Origin | None = None

    @property
    def last_seq(self) -> int:
        """The sequence number of the last frame."""
        return self.frames[-1].seq


class SpoolReader:
    """Reads one spool from its oldest segment on.

    Attributes
    ----------
    is_finished
        The writer is dead and everything was read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool_id = folder.name
        self.is_finished = False
        self._seed = seed_of(self.spool_id)
        self._segment: int | None = None
        self._offset = 0
        shipped = read_mark(folder)
        self._expected = shipped + 1 if shipped else None
        self._end = 1
        self._boot_id = ""
        self._is_closed = False
        self._told: dict[tuple[str, str], int] = {}
        self._synced = (0, 0)

    def read(self, max_records: int, max_bytes: int = _CHUNK_BYTES) -> list[Frame]:
        """Give the next records and gaps; empty when there is nothing new."""
        frames: list[Frame] = []
        while len(frames) < max_records and not self.is_finished:
            # The order matters: what is asked first can only be outdated on the safe side.
            is_dead = not self._has_writer()
            segments = self._segments()
            if self._segment is None and segments:
                self._enter(segments[0])
            if self._segment is None:
                if is_dead:
                    frames += self._last_words(torn=False)
                break
            newer = [seq for seq in segments if seq > self._segment]
            progress, rest = self._read_segment(
                frames, max_records - len(frames), max_bytes, is_final=is_dead or bool(newer)
            )
            if progress:
                max_bytes -= progress
                if max_bytes <= 0:
                    break
            elif newer:
                self._enter(newer[0])
            elif is_dead:
                frames += self._last_words(torn=rest > 0 and not self._is_closed)
            else:
                break
        return frames

    def discard(self, seq: int) -> None:
        """Remove the segments that hold nothing past a sequence number, save the newest."""
        segments = self._segments()
        for first, following in pairwise(segments):
            if following - 1 <= seq and first != self._segment:
                self._path(first).unlink(missing_ok=True)

    def mark_shipped(self, seq: int) -> None:
        """Note durably that records up to a sequence number need not be read again, ever."""
        unfinished = self.folder / f"{MARK_NAME}.new"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, b"%d" % seq)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.replace(self.folder / MARK_NAME)

    def sync(self) -> None:
        """Put what was written so far on the disk; fdatasync acts on the file, whoever wrote it.

        Also of segments that are not read yet: a broker may be away for long.
        """
        for first in self._segments():
            with suppress(FileNotFoundError):
                state = (first, self._path(first).stat().st_size)
                if state > self._synced:
                    descriptor = os.open(self._path(first), os.O_RDONLY)
                    try:
                        os.fdatasync(descriptor)
                    finally:
                        os.close(descriptor)
                    self._synced = state

    def _path(self, first_seq: int) -> Path:
        return self.folder / f"{first_seq:016x}{SEGMENT_SUFFIX}"

    def _segments(self) -> list[int]:
        found = []
        for name in os.listdir(self.folder):  # noqa: PTH208 - names only, on a hot path.
            if name.endswith(SEGMENT_SUFFIX):
                with suppress(ValueError):
                    found.append(int(name.removesuffix(SEGMENT_SUFFIX), 16))
        return sorted(found)

    def _enter(self, first_seq: int) -> None:
        self._segment = first_seq
        self._offset = 0
        self._end = max(self._end, first_seq)
        if self._expected is None:
            self._expected = first_seq

    def _has_writer(self) -> bool:
        """Ask whether the writer holds its lock; the kernel lets go of it when the process dies."""
        try:
            descriptor = os.open(self.folder / LOCK_NAME, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _read_segment(
        self, frames: list[Frame], max_records: int, max_bytes: int, *, is_final: bool
    ) -> tuple[int, int]:
        """Read frames from where we stand; give the bytes passed and the bytes left unread.

        ``is_final``: nothing will be added, so that damage at the end is skipped, not awaited.
        """
        assert self._segment is not None
        try:
            descriptor = os.open(self._path(self._segment), os.O_RDONLY)
        except FileNotFoundError:
            return 0, 0
        try:
            data = os.pread(
                descriptor, max(min(max_bytes, _CHUNK_BYTES), HEADER_BYTES), self._offset
            )
            needed = frame_length(data, 0) if len(data) >= HEADER_BYTES else None
            if needed is not None and needed > len(data):
                data = os.pread(descriptor, needed, self._offset)
            at = self._take(data, frames, max_records)
            if at == 0 and data:
                at = self._skip_damage(descriptor, is_final=is_final)
            rest = os.fstat(descriptor).st_size - self._offset - at
        finally:
            os.close(descriptor)
        self._offset += at
        return at, rest

    def _take(self, data: bytes, frames: list[Frame], max_records: int) -> int:
        """Add the whole frames at the beginning of the data; give where they end."""
        at = 0
        limit = len(frames) + max_records
        while len(frames) < limit and at + HEADER_BYTES <= len(data):
            length = frame_length(data, at)
            if length is None or at + length > len(data):
                break
            frame = unpack(data, at, self._seed)
            if frame is None:
                break
            at += length
            frames += self._accept(frame)
        return at

    def _accept(self, frame: Frame) -> Iterator[Frame]:
        if frame.kind == Kind.SEGMENT:
            self._boot_id = frame.meta.get("boot_id", "")
            return
        assert self._expected is not None
        if frame.kind == Kind.CLOSE:
            self._is_closed = True
        if frame.seq > self._expected:
            yield self._gap("corrupt", frame.seq - 1, frame.seq - self._expected, frame.wall_ns)
            self._expected = frame.seq
        if frame.kind == Kind.GAP:  # Also one that was shipped before: it is told.
            key = (frame.meta.get("reason", ""), frame.meta.get("endpoint", ""))
            self._told[key] = whole(frame.meta.get("total", "0"))
        if frame.kind in (Kind.RECORD, Kind.GAP):
            self._end = max(self._end, frame.seq + 1)
            if frame.seq == self._expected:
                self._expected = frame.seq + 1
                yield frame

    def _skip_damage(self, descriptor: int, *, is_final: bool) -> int:
        """Give how far the next good frame is, 0 when there is none yet and more may come."""
        size = os.fstat(descriptor).st_size
        data = os.pread(descriptor, size - self._offset, self._offset)
        found = find_frame(data, 1, self._seed)
        if found is not None:
            log.warning(
                "spool damage skipped spool=%s segment=%s bytes=%d",
                self.spool_id, self._segment, found,
            )  # fmt: skip
            return found
        if is_final:
            log.warning(
                "spool segment ends torn spool=%s segment=%s bytes=%d",
                self.spool_id, self._segment, len(data),
            )  # fmt: skip
        return 0

    def _last_words(self, *, torn: bool) -> Iterator[Frame]:
        """Tell, once the writer is dead, what no gap frame told; then the spool is finished.

        Numbered from the end of the segments on, the same each time: what is shipped of it is not
        told again by whoever finds the spool after a kill.
        """
        self.is_finished = True
        for seq, gap in enumerate(self._untold(torn=torn), self._end):
            if self._expected is None or seq >= self._expected:
                self._expected = seq + 1
                yield gap._replace(seq=seq)

    def _untold(self, *, torn: bool) -> Iterator[Frame]:
        """Give the gaps that stand in no segment, without their numbers."""
        if torn:
            yield self._gap("torn", 0, 1, 0)
        for drop in read_drops(self.folder / COUNTERS_NAME):
            told = max(drop.reported, self._told.get((drop.reason, drop.endpoint), 0))
            if drop.records > told:
                gap = self._gap(drop.reason, 0, drop.records - told, drop.last_ns)
                gap.meta.update(
                    endpoint=drop.endpoint, bytes=str(drop.size_bytes), first_ns=str(drop.first_ns)
                )
                yield gap
        if not self._is_closed and self._boot_id not in ("", boot_id()):
            yield self._gap("power_loss", 0, None, 0)

    def _gap(self, reason: str, seq: int, records: int | None, wall_ns: int) -> Frame:
        meta = {"reason": reason, "last_ns": str(wall_ns)}
        if records is not None:
            meta["records"] = str(records)
        return Frame(Kind.GAP, 0, seq, wall_ns, 0, 0, 0, 0, 0, 0, meta)


class SpoolTail:
    """Reads all spools below a folder in turn, and removes what is shipped.

    Only one process reads a folder: it holds a lock that the kernel frees when it dies.

    Parameters
    ----------
    folder
        The host's spool folder; made when it is missing.
    sync_interval_s
        How often what the writers wrote is put on the disk; this bounds what power loss can take.

    Raises
    ------
    ConflictError
        When another process reads this folder.
    """

    def __init__(self, folder: str | os.PathLike[str], *, sync_interval_s: float = 1.0) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sync_interval_s = sync_interval_s
        self._synced_s = 0.0
        self._readers: dict[str, SpoolReader] = {}
        self._lock = os.open(self.folder / _READER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise ConflictError(
                f'spool "{self.folder}": another process ships it; stop that one, or give this '
                f"installation a spool_dir of its own"
            ) from None
        for leftover in self.folder.glob(f"{_DONE_PREFIX}*"):
            shutil.rmtree(leftover)

    def receive(self, max_records: int, *, skip: Container[str] = ()) -> list[Delivery]:
        """Give new frames of all spools but some, at most about ``max_records``."""
        self._discover()
        self._sync()
        found: list[Delivery] = []
        for reader in list(self._readers.values()):
            if max_records <= 0:
                break
            if reader.spool_id in skip:
                continue
            frames = reader.read(max_records)
            if frames:
                max_records -= len(frames)
                found.append(Delivery(reader.spool_id, frames))
                # Who was served goes to the end of the queue, so that none is starved.
                self._readers[reader.spool_id] = self._readers.pop(reader.spool_id)
        return found

    def mark_shipped(self, marks: Mapping[str, int]) -> None:
        """Note durably what need not be read again; before ``release``, or a hole would show."""
        for spool_id, seq in marks.items():
            if (reader := self._readers.get(spool_id)) is not None:
                reader.mark_shipped(seq)

    def release(self, marks: Mapping[str, int]) -> None:
        """Remove what is stored up to these sequence numbers; finished spools go as a whole."""
        for spool_id, seq in marks.items():
            if (reader := self._readers.get(spool_id)) is not None:
                reader.discard(seq)

    def remove_finished(self, *, keep: Container[str] = ()) -> None:
        """Remove the spools of dead writers, save ``keep``; what was received must be stored."""
        for spool_id, reader in list(self._readers.items()):
            if reader.is_finished and spool_id not in keep:
                # Renamed first: half a spool must not be read again as a whole one.
                done = self.folder / f"{_DONE_PREFIX}{spool_id}"
                reader.folder.rename(done)
                shutil.rmtree(done)
                del self._readers[spool_id]

    def close(self) -> None:
        """Let another process read."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _discover(self) -> None:
        for entry in sorted(os.listdir(self.folder)):  # noqa: PTH208 - names only.
            if not entry.startswith(".") and entry not in self._readers and entry != QUARANTINE:
                folder = self.folder / entry
                if folder.is_dir():
                    self._readers[entry] = SpoolReader(folder)

    def _sync(self) -> None:
        if (now := time.monotonic()) - self._synced_s >= self._sync_interval_s:
            self._synced_s = now
            for reader in self._readers.values():
                reader.sync()
