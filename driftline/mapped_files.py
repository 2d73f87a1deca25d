"""Pages that nobody needs: of libraries that an import has read, and of memory that is free."""

from __future__ import annotations

import ctypes
import sysconfig
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

_MADV_DONTNEED = 4  # Of Linux's mman.h.
# A process rests that used less than this share of a core since the last look; it has worked when
# it used so much processor time since pages were let go of (which takes some 0.01 s).
_LOOK_S, _REST, _WORK_S = 5.0, 0.1, 0.1
# One that never rests returns freed memory whenever it used so much processor time: what threads
# free between objects that stay is kept otherwise (docs/why/hosting.md).
_BUSY_S = 5.0


def release_mapped_files() -> None:
    """Release the pages of files that this process has mapped read-only.

    They stay in the system's cache, and come back when they are read again. An import touches most
    of a library, a process that only forks touches next to nothing of it (docs/measured.md). Only
    for a process of one thread: another one may map something else there meanwhile.
    """
    _release("")


def release_at_rest(stop: Event, rest: float = _REST) -> None:
    """Release packages' libraries and freed memory whenever the process rests after some work.

    It rests while it uses less than ``rest`` of a core; freed memory is released also while it
    works. For a thread of its own, until ``stop`` is set. Python unloads no library of a package:
    where one is mapped no thread can map anything else, so this is safe where there are several.
    """
    packages = f"{Path(sysconfig.get_path('platlib')).resolve()}/"
    released_s = trimmed_s = last_s = 0.0
    while not stop.wait(_LOOK_S):
        now_s = time.process_time()
        if now_s - last_s < rest * _LOOK_S and now_s - released_s > _WORK_S:
            _release(packages)
            _return_freed_memory()
            now_s = released_s = trimmed_s = time.process_time()
        elif now_s - trimmed_s > _BUSY_S:
            _return_freed_memory()
            now_s = trimmed_s = time.process_time()
        last_s = now_s


def _release(folder: str) -> None:
    with suppress(OSError, AttributeError):  # Another system than Linux keeps them.
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        # Line by line: the whole is 2 MiB that would stay with this thread.
        with Path("/proc/self/smaps").open(encoding="utf-8") as maps:
            for start, end in _unwritten(maps, folder):
                madvise(start, end - start, _MADV_DONTNEED)


def _return_freed_memory() -> None:
    with suppress(AttributeError):  # Another C library than GNU's: it has its own ways.
        ctypes.CDLL(None).malloc_trim(0)


def _unwritten(maps: Iterable[str], folder: str = "") -> Iterator[tuple[int, int]]:
    """Return the mapped spans of files, without those that relocation or others have written to.

    ``folder``: only of libraries below it.
    """
    span: tuple[int, int] | None = None
    for line in maps:
        first, *words = line.split()
        if not first.endswith(":"):
            start, _, end = first.partition("-")
            is_read_only = "w" not in words[0] and words[3] != "0"  # The file's number.
            file = " ".join(words[4:])
            is_meant = not folder or (file.startswith(folder) and ".so" in Path(file).name)
            span = (int(start, 16), int(end, 16)) if is_read_only and is_meant else None
        elif first in ("Anonymous:", "Swap:", "Locked:") and words[0] != "0":
            span = None  # What was written to would be lost.
        elif first == "VmFlags:" and span is not None:
            yield span
