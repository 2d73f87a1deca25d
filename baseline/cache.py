"""Caches loaded baselines between windows: to load one takes as long as to judge a few rows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from driftline.baseline import store, versions
from driftline.baseline.store import Baseline

# Of stored files; loaded, they take up to three times as much memory (40 columns, with times).
LIMIT_BYTES = 64 << 20


class BaselineCache:
    """The most recently used baselines; safe to use from several threads.

    The last one stays however large it is, because the next window needs it again. A baseline whose
    files have changed since, because rows were erased from its sample, is read again.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        # With what its files were when it was read.
        self._kept: OrderedDict[tuple[object, ...], tuple[versions.FileState, Baseline]] = (
            OrderedDict()
        )

    def get(
        self, root: str, name: str, version: str | None = None,
        parts: Sequence[str] = store.DOCUMENTS,
    ) -> Baseline:  # fmt: skip
        """Return a baseline as `versions.get` does."""
        version = version or versions.newest(root, name)
        key, state = (root, name, version, parts), versions.file_state(root, name, version)
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known[0] == state:
                self._kept.move_to_end(key)
                return known[1]
        # Two threads may load the same one: that costs time, and nothing else.
        found = versions.get(root, name, version, parts)
        with self._lock:
            self._kept[key] = state, found
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and self._size_bytes() > self._limit_bytes:
                self._kept.popitem(last=False)
        return found

    def _size_bytes(self) -> int:
        return sum(one.size_bytes for _, one in self._kept.values())
