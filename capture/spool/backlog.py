"""The backlog of a host's spools: its size, and the age of the oldest record, found cheaply.

The reader of the spool notes beside each one up to where its records are safe. What follows that
watermark waits; of each spool only the headers of one or two segments are read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from driftline.capture.spool.folder import (
    has_writer,
    replace_file,
    segment_path,
    segments_of,
    spools_in,
)
from driftline.capture.spool.frame import (
    HEADER_BYTES,
    Frame,
    Kind,
    find_frame,
    frame_length,
    seed_of,
    seq_at,
    unpack,
)

# From where the sidecar goes on: what a broker has need not be read again.
SHIPPED_NAME = "shipped"
# What a sink on the same host has stored. Told, never gone on from: that is for the tables'
# watermarks, or a table that was lost or made anew would miss what still lies in the spool.
STORED_NAME = "stored"
_CHUNK_BYTES = 1 << 20
_KIND_AT = 13  # Of a frame: behind magic, length, checksum and version.


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog of a spool folder.

    ``oldest_s``: age in seconds of the oldest record that is neither stored nor with the broker; 0
    when none waits.
    """

    size_bytes: int = 0
    segments: int = 0
    spools: int = 0
    oldest_s: float = 0.0


def measure(folder: Path, *, now_ns: Callable[[], int] = time.time_ns) -> Backlog:
    """Measure a spool folder while others write to it and remove from it."""
    size = segments = spools = 0
    for spool in spools_in(folder):
        sizes = []
        for first in segments_of(spool):
            with suppress(FileNotFoundError):  # Removed meanwhile by the reader.
                sizes.append(segment_path(spool, first).stat().st_size)
        size += sum(sizes)
        segments, spools = segments + len(sizes), spools + bool(sizes)
    now = now_ns()
    oldest_ns = oldest_unshipped_ns(folder)
    age_s = 0.0 if oldest_ns is None else max(now - oldest_ns, 0) / 1e9
    return Backlog(size, segments, spools, age_s)


def count_open(folder: Path) -> int:
    """Count the spools whose newest segment stays, for their writers live and may append to it."""
    return sum(has_writer(spool) for spool in spools_in(folder) if segments_of(spool))


def read_watermark(spool: Path, name: str = SHIPPED_NAME) -> int:
    """Return the sequence number up to which a spool need not be read again; 0 for none."""
    with suppress(FileNotFoundError, NotADirectoryError, ValueError):
        return int((spool / name).read_text(encoding="ascii"))
    return 0


def note_stored(folder: Path, watermarks: Mapping[str, int]) -> None:
    """Record beside each spool what is stored; only for the lag, reading never resumes from it.

    Best effort: a failed write only makes the oldest record look older.
    """
    for spool_id, seq in watermarks.items():
        with suppress(OSError):
            replace_file(folder / spool_id / STORED_NAME, b"%d" % seq)


def oldest_unshipped_ns(folder: Path) -> int | None:
    """Return the wall clock, in ns, of the oldest unshipped record; None without one."""
    oldest = (_oldest_of(spool) for spool in spools_in(folder))
    return min((wall_ns for wall_ns in oldest if wall_ns is not None), default=None)


def _oldest_of(spool: Path) -> int | None:
    """Return the wall clock of the first record past the watermark.

    Segments are named by the first number in them.
    """
    watermark = max(read_watermark(spool), read_watermark(spool, STORED_NAME))
    segments = segments_of(spool)
    behind = {first for first, following in pairwise(segments) if following <= watermark + 1}
    seed = seed_of(spool.name)
    for first in segments:
        if first in behind:
            continue
        with suppress(FileNotFoundError):
            frame = _first_past(segment_path(spool, first), watermark, seed)
            if frame is not None:
                return frame.wall_ns
    return None


def _first_past(segment: Path, watermark: int, seed: int) -> Frame | None:
    """Walk from header to header; damage is passed over as the reader does it.

    Read, not mapped: the writer may cut off what a full disk left unfinished.
    """
    with segment.open("rb") as file:
        start, data, at = 0, b"", 0  # Where in the file what is held begins, and where we are.
        while True:
            if at + HEADER_BYTES > start + len(data):
                start, data = at, os.pread(file.fileno(), _CHUNK_BYTES, at)
                if len(data) < HEADER_BYTES:
                    return None
            length = frame_length(data, at - start)
            if length is not None and not _is_past(data, at - start, watermark):
                at += length
                continue
            if length is not None:
                whole = os.pread(file.fileno(), length, at)
                frame = unpack(whole, 0, seed) if len(whole) == length else None
                if frame is not None:
                    return frame
            file.seek(at)
            offset = find_frame(file.read(), 1, seed)
            if offset is None:
                return None
            at += offset


def _is_past(data: bytes, at: int, watermark: int) -> bool:
    is_numbered = data[at + _KIND_AT] in (Kind.RECORD, Kind.GAP)
    return is_numbered and seq_at(data, at) > watermark
