"""The backlog of a host's spools: size, and age of the oldest record."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from driftline.capture.spool.folder import has_writer, segment_path, segments_of, spools_in
from driftline.capture.spool.lag import oldest_unshipped_ns
from driftline.capture.spool.write_buffer_reader import buffered_bytes


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog of a spool folder.

    ``size_bytes``, ``segments``, ``spools``: bytes of all segments and of what waits beside them,
    how many segments, of how many spools; ``oldest_s``: age in seconds of the oldest record that is
    neither stored nor with the broker; 0 when none waits.
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
        size += sum(sizes) + buffered_bytes(spool)
        segments, spools = segments + len(sizes), spools + bool(sizes)
    now = now_ns()
    oldest_ns = oldest_unshipped_ns(folder)
    age_s = 0.0 if oldest_ns is None else max(now - oldest_ns, 0) / 1e9
    return Backlog(size, segments, spools, age_s)


def count_open(folder: Path) -> int:
    """Count the spools whose newest segment stays, for their writers live and may append to it."""
    return sum(has_writer(spool) for spool in spools_in(folder) if segments_of(spool))
