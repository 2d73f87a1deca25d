"""Reads one spool, from its oldest frame.

A reader never stops at damage: it looks for the next frame whose checksum is right, and the hole in
the sequence becomes a gap. A spool whose writer is dead ends with a torn frame, drops that no gap
frame reported, and a tail that power loss may have taken.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np

from driftline.capture.spool.backlog import SHIPPED_NAME, read_watermark
from driftline.capture.spool.counters import read_boot, read_drops, read_names
from driftline.capture.spool.folder import (
    boot_id,
    has_writer,
    replace_file,
    segment_path,
    segments_of,
    sync_path,
)
from driftline.capture.spool.frame import (
    HEADER_BYTES,
    Frame,
    Kind,
    find_frame,
    frame_length,
    gap_frame,
    seed_of,
    walk,
    whole,
)
from driftline.capture.spool.quota import COUNTERS_NAME
from driftline.capture.spool.records import Records, is_whole

log = logging.getLogger(__name__)

_CHUNK_BYTES = 4 << 20


class SpoolReader:
    """Reads one spool from its oldest segment on.

    ``is_finished``: the writer is dead and everything was read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool_id = folder.name
        self.is_finished = False
        self._seed = seed_of(self.spool_id)
        self._segment: int | None = None
        self._offset = 0
        shipped = read_watermark(folder)
        self._expected = shipped + 1 if shipped else None
        self._end = 1
        self._boot_id = ""
        self._is_closed = False
        self._told: dict[tuple[str, str], int] = {}
        self._synced = (0, 0)
        self._synced_names: frozenset[str] = frozenset()

    def read(self, max_records: int, max_bytes: int = _CHUNK_BYTES) -> list[Frame]:
        """Return the next records and gaps unpacked; empty when there is nothing new."""
        return self.read_records(max_records, max_bytes).frames()

    def read_records(self, max_records: int, max_bytes: int = _CHUNK_BYTES) -> Records:
        """Return the next records and gaps as they lie; none when there is nothing new."""
        records = _Found(self.spool_id)
        try:
            self._read_into(records, max_records, max_bytes)
        except OSError:
            if not len(records):
                raise
        return records.records()

    def _read_into(self, batch: _Found, max_records: int, max_bytes: int) -> None:
        while len(batch) < max_records and not self.is_finished:
            # The order matters: what is asked first can only be outdated on the safe side.
            is_dead = not has_writer(self.folder)
            segments = segments_of(self.folder)
            if self._segment is None and segments:
                self._enter(segments[0])
            if self._segment is None:
                if is_dead:
                    batch.add_frames(self._last_words(torn=False))
                break
            newer = [seq for seq in segments if seq > self._segment]
            progress, rest = self._read_segment(
                batch, max_records - len(batch), max_bytes, is_final=is_dead or bool(newer)
            )
            if not progress and newer:
                self._enter(newer[0])
                continue
            if progress:
                max_bytes -= progress
                if max_bytes <= 0:
                    break
            elif is_dead:
                batch.add_frames(self._last_words(torn=rest > 0 and not self._is_closed))
            else:
                break

    def discard(self, seq: int) -> None:
        """Remove the segments without anything past a sequence number, except the newest."""
        segments = segments_of(self.folder)
        for first, following in pairwise(segments):
            if following - 1 <= seq and first != self._segment:
                segment_path(self.folder, first).unlink(missing_ok=True)

    def mark_shipped(self, seq: int) -> None:
        """Record durably that records up to a sequence number need not be read again."""
        replace_file(self.folder / SHIPPED_NAME, b"%d" % seq, is_synced=True)

    def sync(self) -> None:
        """Sync what was written so far; fdatasync acts on the file, whoever wrote it.

        This includes unread segments: a broker may be away for long.
        """
        for first in segments_of(self.folder):
            with suppress(FileNotFoundError):
                state = (first, segment_path(self.folder, first).stat().st_size)
                if state > self._synced:
                    descriptor = os.open(segment_path(self.folder, first), os.O_RDONLY)
                    try:
                        os.fdatasync(descriptor)
                    finally:
                        os.close(descriptor)
                    sync_path(self.folder / COUNTERS_NAME)
                    self._synced = state
        with suppress(FileNotFoundError):
            names = frozenset(os.listdir(self.folder))  # noqa: PTH208 - names only.
            if names != self._synced_names:
                sync_path(self.folder)
                self._synced_names = names

    def _enter(self, first_seq: int) -> None:
        self._segment = first_seq
        self._offset = 0
        self._end = max(self._end, first_seq)
        if self._expected is None:
            self._expected = first_seq

    def _read_segment(
        self, batch: _Found, max_records: int, max_bytes: int, *, is_final: bool
    ) -> tuple[int, int]:
        """Read frames from the current position; return the bytes passed and the bytes left unread.

        ``is_final``: nothing will be added, so that damage at the end is skipped, not awaited.
        """
        assert self._segment is not None
        try:
            descriptor = os.open(segment_path(self.folder, self._segment), os.O_RDONLY)
        except FileNotFoundError:
            return 0, 0
        try:
            data = os.pread(
                descriptor, max(min(max_bytes, _CHUNK_BYTES), HEADER_BYTES), self._offset
            )
            needed = frame_length(data, 0) if len(data) >= HEADER_BYTES else None
            if needed is not None and needed > len(data):
                data = os.pread(descriptor, needed, self._offset)
            at = self._take(data, batch, max_records)
            if at == 0 and data:
                at = self._skip_damage(descriptor, is_final=is_final)
            rest = os.fstat(descriptor).st_size - self._offset - at
        finally:
            os.close(descriptor)
        self._offset += at
        return at, rest

    def _take(self, data: bytes, batch: _Found, max_records: int) -> int:
        """Add the whole frames at the beginning of the data; return where they end.

        Runs of records in sequence, which is nearly all, are passed on as they lie.
        """
        starts, end = walk(data, 0, max_records, self._seed)
        if 2 * end < len(data):
            data = data[:end]  # They keep all of it.
        here = Records(data, np.array(starts, np.int64), [self.spool_id])
        is_sound = is_whole(here.header)
        if not is_sound.all():
            cut = int(np.argmin(is_sound))
            end, here = starts[cut], here.take(slice(0, cut))
        seqs = here.header["seq"]
        is_record = here.kind == Kind.RECORD
        follows = is_record[1:] & is_record[:-1] & (seqs[1:] == seqs[:-1] + np.uint64(1))
        borders = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(here)]
        for first, past in pairwise(borders):
            if first < past:
                self._accept(here, first, past, batch)
        return end

    def _accept(self, here: Records, first: int, past: int, batch: _Found) -> None:
        """Accept a run of records in sequence, or a single frame of any kind."""
        kind, seq = int(here.kind[first]), int(here.header["seq"][first])
        if kind == Kind.SEGMENT:
            meta = here.frame(first).meta
            self._boot_id = meta.get("boot_id", "")
            return
        assert self._expected is not None
        if kind == Kind.CLOSE:
            self._is_closed = True
        if seq > self._expected:
            wall_ns = int(here.header["wall_ns"][first])
            gap = gap_frame("corrupt", seq - 1, wall_ns, records=seq - self._expected)
            batch.add_frames([gap])
            self._expected = seq
        if kind == Kind.GAP:  # Also one that was shipped before: it is told.
            meta = here.frame(first).meta
            key = (meta.get("reason", ""), meta.get("endpoint", ""))
            self._told[key] = max(self._told.get(key, 0), whole(meta.get("total", "0")))
        if kind in (Kind.RECORD, Kind.GAP):
            next_seq = seq + past - first
            self._end = max(self._end, next_seq)
            if next_seq > self._expected:
                batch.add(here.take(slice(first + self._expected - seq, past)))
                self._expected = next_seq

    def _skip_damage(self, descriptor: int, *, is_final: bool) -> int:
        """Return the distance to the next whole frame; 0 when more may come.

        0 as well when the frame is whole by now: its writer was in the midst of writing it.
        """
        size = os.fstat(descriptor).st_size
        data = os.pread(descriptor, size - self._offset, self._offset)
        offset = find_frame(data, 0, self._seed)
        if offset == 0:
            return 0
        if offset is not None:
            log.warning(
                "spool damage skipped spool=%s segment=%s bytes=%d",
                self.spool_id, self._segment, offset,
            )  # fmt: skip
            return offset
        if is_final:
            log.warning(
                "spool segment ends torn spool=%s segment=%s bytes=%d",
                self.spool_id, self._segment, len(data),
            )  # fmt: skip
        return 0

    def _last_words(self, *, torn: bool) -> Iterator[Frame]:
        """Yield the unreported gaps of a dead writer; then the spool is finished.

        Their numbers follow the segments and are the same each time: what is shipped is not
        reported again by the process that finds the spool after a kill.
        """
        self.is_finished = True
        for seq, gap in enumerate(self._untold(torn=torn), self._end):
            if self._expected is None or seq >= self._expected:
                self._expected = seq + 1
                yield gap._replace(seq=seq)

    def _untold(self, *, torn: bool) -> Iterator[Frame]:
        """Yield the gaps that are in no segment, without their numbers."""
        if torn:
            yield gap_frame("torn", 0, 0, records=1)
        for drop in read_drops(self.folder / COUNTERS_NAME):
            reported = max(drop.reported, self._told.get((drop.reason, drop.endpoint), 0))
            if drop.records > reported:
                yield gap_frame(
                    drop.reason, 0, drop.last_ns, records=drop.records - reported,
                    endpoint=drop.endpoint, bytes=str(drop.size_bytes), first_ns=str(drop.first_ns),
                )  # fmt: skip
        # Its own segments may be gone, or empty.
        boot = self._boot_id.replace("-", "") or read_boot(self.folder / COUNTERS_NAME)
        if not self._is_closed and boot not in ("", boot_id().replace("-", "")):
            at_ns = max(path.stat().st_mtime_ns for path in (self.folder, *self.folder.iterdir()))
            for name in read_names(self.folder / COUNTERS_NAME) or [""]:
                yield gap_frame("power_loss", 0, at_ns, endpoint=name)


class _Found:
    """Collects the records read from a spool."""

    def __init__(self, spool_id: str) -> None:
        self._spool_id = spool_id
        self._pieces: list[Records] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, records: Records) -> None:
        """Add frames as they lie."""
        self._pieces.append(records)
        self._count += len(records)

    def add_frames(self, frames: Iterable[Frame]) -> None:
        """Add frames that are in no segment."""
        if len(made := Records.of((self._spool_id, frame) for frame in frames)):
            self.add(made)

    def records(self) -> Records:
        """Return all records."""
        return Records.join(self._pieces)
