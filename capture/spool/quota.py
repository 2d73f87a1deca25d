"""The quota of a spool folder: its budget, and what must stay free on the volume.

Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

COUNTERS_NAME = "counters"  # Of fixed size, one a spool: no part of the budget.
_SHARE_FREE = 0.05
_MAX_FREE = 1 << 30
_SECOND_NS = 1_000_000_000
_MAX_SCAN_S = 10
# Adding up a folder of many segments takes milliseconds; it is done again before all processes of
# a host together could have filled what was left.
_FASTEST_BYTES_S = 256 << 20


class Quota:
    """Measures what is left of a folder's quota.

    ``folder``: the host's spool folder; all spools in it share one budget; ``min_free_bytes``:
    bytes that must stay free on the volume; None: 5% of it, at most 1 GiB; ``left_bytes``: what may
    still be written; writers decrease it.
    """

    def __init__(self, folder: Path, *, max_bytes: int, min_free_bytes: int | None) -> None:
        self.left_bytes = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._budget_bytes = 0  # Left of it when last measured, and what was said to be left.
        self._told_bytes = 0
        self._scan_ns: int | None = None

    def measure(self, now_ns: int) -> None:
        """Measure the free space of the volume, and the folder when that is due."""
        self._budget_bytes -= self._told_bytes - self.left_bytes
        self.left_bytes = self._told_bytes = 0
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        volume = os.statvfs(self._folder)
        size, free = volume.f_blocks * volume.f_frsize, volume.f_bavail * volume.f_frsize
        keep = kept_free(size) if self._min_free_bytes is None else self._min_free_bytes
        if self._scan_ns is None or now_ns >= self._scan_ns or self._budget_bytes <= 0:
            self._budget_bytes = self._max_bytes - spool_bytes(self._folder)
            wait_s = min(max(self._budget_bytes // _FASTEST_BYTES_S, 1), _MAX_SCAN_S)
            self._scan_ns = now_ns + wait_s * _SECOND_NS
        self.left_bytes = self._told_bytes = min(self._budget_bytes, free - keep)


def kept_free(volume_bytes: int) -> int:
    """Return how much of a volume records leave free, in bytes."""
    return min(int(volume_bytes * _SHARE_FREE), _MAX_FREE)


def spool_bytes(folder: Path) -> int:
    """Return the bytes of all files of the spools in a folder, counters excluded."""
    total = 0
    with os.scandir(folder) as spools:
        for spool in spools:
            try:
                with os.scandir(spool.path) as files:
                    total += sum(f.stat().st_size for f in files if f.name != COUNTERS_NAME)
            except (FileNotFoundError, NotADirectoryError):
                continue  # Removed meanwhile by the reader, or a lock file.
    return total
