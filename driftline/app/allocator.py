"""What a process keeps of the memory that it frees."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8


def return_freed_memory() -> None:
    """Let the allocator keep little of what is freed: a fit leaves some 70 MiB otherwise."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with suppress(AttributeError):  # Another C library than GNU's: it has its own ways.
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_TRIM_THRESHOLD, 128 << 10)
