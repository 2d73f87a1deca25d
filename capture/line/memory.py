"""Keeps freed memory in the process, for batch work that needs as much again at once."""

from __future__ import annotations

import ctypes
import logging

import pyarrow as pa

log = logging.getLogger(__name__)

# As in malloc.h of glibc. Larger pieces than 32 MiB it always gives back.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 256 << 20
_LARGE_BYTES = 32 << 20


def keep_freed_memory() -> None:
    """Let this process keep and reuse up to 256 MiB of freed memory.

    Whoever works batch by batch asks for the same large pieces each time. By default they go back
    to the kernel in between, which has to clear each page anew: a fifth of a sink's CPU. Arrow is
    to use the same memory; a pool of its own would hold a sixth more at the peak. Where the C
    library is another than glibc, only that is done.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not (
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    ):
        log.info("memory is not kept: this C library has no setting for it")
