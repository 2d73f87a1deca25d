"""Caches loaded baselines between windows: to load one takes as long as to judge a few rows."""

from __future__ import annotations

import threading
from collections import OrderedDict

from driftline.baseline import store
from driftline.baseline.store import Baseline

# Of stored files; loaded, they take up to three times as much memory (40 columns, with times).
LIMIT_BYTES = 64 << 20


class BaselineCache:
    """The most recently used baselines; safe to use from several threads.

    The last one stays however large it is, because the next window needs it again.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str | None], Baseline] = OrderedDict()

    def get(self, root: str, name: str, version: str | None = None) -> Baseline:
        """Return a baseline as `store.get` does; versions are content digests, so never stale."""
        key = root, name, version or store.newest(root, name)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        # Two threads may load the same one: that costs time, and nothing else.
        found = store.get(*key)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > 1 and self._size_bytes() > self._limit_bytes:
                self._kept.popitem(last=False)
        return found

    def _size_bytes(self) -> int:
        return sum(one.size_bytes for one in self._kept.values())
