"""The models that a worker has in memory: the one asked for longest ago makes room for the next.

How much a model takes cannot be read off it. It is counted as the larger of what the process grew
while it was loaded, which says nothing where freed memory was used again, and one and a half times
its file.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from driftline.errors import InputError
from driftline.serving.hosting.worker import Held

FILE_FACTOR = 1.5
# What the smallest model takes beside its numbers: the predictor and its names.
LEAST_BYTES = 16 << 10
# Freed memory is given back to the system once it is so much: that looks through all of the heap.
_GIVE_BACK_BYTES = 64 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")


class TooLargeError(InputError):
    """A model needs more memory than all models may have."""


@dataclass(slots=True)
class _Entry:
    model: Held
    size: int
    version: int


class HeldModels:
    """Models by their names, within a bound of memory; used by one thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: OrderedDict[str, _Entry] = OrderedDict()  # The last used is the last.
        self._sizes: dict[str, int] = {}  # Of models that were here before.
        self._used = 0  # By models, and reserved for those that are being loaded.
        self._freed = 0  # Since memory was last given back.

    def __len__(self) -> int:
        return len(self._held)

    @property
    def names(self) -> list[str]:
        """The models, the one used longest ago first."""
        return [*self._held]

    @property
    def used_bytes(self) -> int:
        """What all models take, and those that are being loaded may."""
        return self._used

    def use(self, name: str, version: int = 0) -> Held | None:
        """Return a model that is asked now; None when it, or this version of it, is not here."""
        entry = self._held.get(name)
        if entry is None:
            return None
        if entry.version != version:
            self._drop(name)
            return None
        self._held.move_to_end(name)
        return entry.model

    def reserve(self, name: str, file_bytes: int) -> tuple[int, list[float]]:
        """Make room for a model; return how much, and the seconds of each unloading.

        Raises
        ------
        TooLargeError
            When it would not fit alone. Nothing is unloaded then.
        """
        need = max(self._sizes.get(name, 0), self.least(file_bytes))
        self._require(name, need)
        self._used += need
        return need, self._fit()

    @staticmethod
    def least(file_bytes: int) -> int:
        """Return the least that a model of a file is counted as."""
        return max(LEAST_BYTES, round(FILE_FACTOR * file_bytes))

    def release(self, reserved: int) -> None:
        """Free reserved room: the model could not be loaded."""
        self._used -= reserved

    def put(
        self, name: str, model: Held, reserved: int, size: int, version: int = 0
    ) -> list[float]:
        """Hold a loaded model in the room reserved for it; return the seconds of each unloading.

        Raises
        ------
        TooLargeError
            When it turns out not to fit. It is not held then.
        """
        self._used -= reserved
        self._sizes[name] = size
        if len(self._sizes) > 100 * max(1, len(self._held)) + 1000:
            self._sizes = {one: entry.size for one, entry in self._held.items()}
        self._require(name, size)
        if name in self._held:  # Of another version.
            self._drop(name)
        self._used += size
        self._held[name] = _Entry(model, size, version)
        return self._fit()

    def _require(self, name: str, need: int) -> None:
        if need > self.limit:
            raise TooLargeError(
                f'model "{name}" takes about {need >> 20:,} MiB; all models of a worker may take '
                f"{self.limit >> 20:,} (memory_limit_mb)"
            )

    def _fit(self) -> list[float]:
        """Unload what was used longest ago until the rest fits; what is reserved stays so."""
        times = []
        while self._used > self.limit and self._held:
            began = time.perf_counter()
            self._drop(next(iter(self._held)))
            times.append(time.perf_counter() - began)
        return times

    def _drop(self, name: str) -> None:
        size = self._held.pop(name).size
        self._used -= size
        self._freed += size
        if self._freed >= _GIVE_BACK_BYTES:
            self._freed = 0
            give_back()


def resident_bytes() -> int:
    """Return how much memory of its own this process has; 0 where nobody says."""
    with suppress(OSError, ValueError, IndexError):
        _, resident, shared = Path("/proc/self/statm").read_text().split()[:3]
        return (int(resident) - int(shared)) * _PAGE
    return 0


def give_back() -> None:
    """Return freed memory to the system, where its C library does that."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
