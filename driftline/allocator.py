"""How much freed memory a process keeps."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

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
# Of malloc.h.
_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8


def choose_allocators() -> None:
    """Set, for libraries that are loaded from now on, how they allocate memory."""
    given = {name: os.environ.get(name, value) for name, value in VARIABLES.items()}
    if not given[_JEMALLOC].startswith(VARIABLES[_JEMALLOC]):
        # Of an option that is there twice the last counts. Polars sets two of them where it is
        # imported, for all processes that are started from there; the others stay as here.
        given[_JEMALLOC] = f"{VARIABLES[_JEMALLOC]},{given[_JEMALLOC]}"
    os.environ.update(given)


def return_freed_memory() -> None:
    """Let the allocator keep little of what is freed: a fit leaves some 70 MiB otherwise."""
    with suppress(AttributeError):  # Another C library than GNU's: it has its own ways.
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
