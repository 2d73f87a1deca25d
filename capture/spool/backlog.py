"""The backlog of a host's spools: size, and age of the oldest record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from driftline.capture.spool.folder import SEGMENT_SUFFIX, has_writer
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
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names only.
    except FileNotFoundError:
        return Backlog()
    for name in names:
        if name.startswith("."):
            continue
        try:
            with os.scandir(folder / name) as files:
                found = [
                    file.stat().st_size for file in files if file.name.endswith(SEGMENT_SUFFIX)
                ]
        except (FileNotFoundError, NotADirectoryError):
            continue  # Removed meanwhile by the reader, or no spool.
        size, segments, spools = size + sum(found), segments + len(found), spools + bool(found)
        size += buffered_bytes(folder / name)
    now = now_ns()
    oldest_ns = oldest_unshipped_ns(folder)
    age_s = 0.0 if oldest_ns is None else max(now - oldest_ns, 0) / 1e9
    return Backlog(size, segments, spools, age_s)


def count_open(folder: Path) -> int:
    """Count the spools whose newest segment stays, for their writers live and may append to it."""
    spools = {one.parent for one in folder.glob(f"*/*{SEGMENT_SUFFIX}")}
    return sum(has_writer(one) for one in spools if not one.name.startswith("."))
