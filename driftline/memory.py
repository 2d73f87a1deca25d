"""How much memory a process keeps that nobody needs: what is freed, and pages of libraries.

An import reads most of a library, and a process that rests touches next to nothing of it
(docs/measured.md).
"""

from __future__ import annotations

import ctypes
import os
import sysconfig
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

# Read when the libraries are loaded. Arrow takes memory where all others do, for what its own pool
# frees is kept for long. delta-rs brings an allocator, jemalloc, that by default keeps what each
# of its threads has freed, apart for each: some 10 MiB a table that is written to.
_JEMALLOC = "_RJEM_MALLOC_CONF"
VARIABLES = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    _JEMALLOC: "narenas:1,tcache:false,dirty_decay_ms:100,muzzy_decay_ms:0",
}
# Above what a request takes, such as 256 KiB to receive into, or each gives it back and asks anew.
_KEPT_BYTES = 1 << 20
# Of malloc.h, and of Linux's mman.h.
_M_TRIM_THRESHOLD, _M_ARENA_MAX, _MADV_DONTNEED = -1, -8, 4
# A process rests that used less than this share of a core since the last look; it has worked when
# it used so much processor time since pages were let go of (which takes some 0.01 s).
_LOOK_S, _REST, _WORK_S = 5.0, 0.1, 0.1
# One that never rests returns freed memory whenever it used so much processor time: what threads
# free between objects that stay is kept otherwise (docs/why/hosting.md).
_BUSY_S = 5.0


def choose_allocators() -> None:
    """Set, for libraries that are loaded from now on, how they allocate memory."""
    given = {name: os.environ.get(name, value) for name, value in VARIABLES.items()}
    if not given[_JEMALLOC].startswith(VARIABLES[_JEMALLOC]):
        # Of an option that is there twice the last counts. Polars sets two of them where it is
        # imported, for all processes that are started from there; the others stay as here.
        given[_JEMALLOC] = f"{VARIABLES[_JEMALLOC]},{given[_JEMALLOC]}"
    os.environ.update(given)


def keep_little() -> None:
    """Let the allocator keep little of what is freed: a fit leaves some 70 MiB otherwise."""
    with suppress(AttributeError):  # Another C library than GNU's: it has its own ways.
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


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
        is_at_rest = now_s - last_s < rest * _LOOK_S and now_s - released_s > _WORK_S
        if is_at_rest:
            release_mapped_files(packages)
        if is_at_rest or now_s - trimmed_s > _BUSY_S:
            with suppress(AttributeError):  # Another C library than GNU's.
                ctypes.CDLL(None).malloc_trim(0)
            now_s = trimmed_s = time.process_time()
        if is_at_rest:
            released_s = now_s
        last_s = now_s


def release_mapped_files(folder: str = "") -> None:
    """Release the pages of files that this process has mapped read-only.

    They stay in the system's cache, and come back when they are read again. ``folder``: only of
    libraries below it; of all files only in a process of one thread, since another one may map
    something else there meanwhile.
    """
    with suppress(OSError, AttributeError):  # Another system than Linux keeps them.
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        # Line by line: the whole is 2 MiB that would stay with this thread.
        with Path("/proc/self/smaps").open(encoding="utf-8") as maps:
            for start, end in _unwritten(maps, folder):
                madvise(start, end - start, _MADV_DONTNEED)


def _unwritten(maps: Iterable[str], folder: str) -> Iterator[tuple[int, int]]:
    """Return the mapped spans of files, without those that relocation or others have written to."""
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
