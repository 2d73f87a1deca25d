"""Pages of libraries that an import has read, and that nobody needs after it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MADV_DONTNEED = 4  # Of Linux's mman.h.


def release_mapped_files() -> None:
    """Let go of the pages of files that this process has mapped and cannot write to.

    They stay in the system's cache, and come back when they are read again. An import touches most
    of a library, a process that only forks touches next to nothing of it (bench/processes.md).
    """
    with suppress(OSError, AttributeError):  # Another system than Linux keeps them.
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, end in _unwritten(Path("/proc/self/smaps").read_text(encoding="utf-8")):
            madvise(start, end - start, _MADV_DONTNEED)


def _unwritten(maps: str) -> Iterator[tuple[int, int]]:
    """Return the spans of files, without those that relocation or others have written to."""
    span: tuple[int, int] | None = None
    for line in maps.splitlines():
        first, *words = line.split()
        if not first.endswith(":"):
            start, _, end = first.partition("-")
            is_read_only = "w" not in words[0] and words[3] != "0"  # The file's number.
            span = (int(start, 16), int(end, 16)) if is_read_only else None
        elif first in ("Anonymous:", "Swap:", "Locked:") and words[0] != "0":
            span = None  # What was written to would be lost.
        elif first == "VmFlags:" and span is not None:
            yield span
