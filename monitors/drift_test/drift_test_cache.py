"""Drift tests that were made once for a baseline, kept for the windows to come.

What a test learns of its reference takes tenths of a second, testing a window hundredths.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class DriftTestCache:
    """The tests that were used last, `size` at most; safe to use from several threads."""

    def __init__(self, size: int = 32) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._tests: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the test of a key, which says all that it rests on; made where it is missing."""
        with self._lock:
            if key in self._tests:
                self._tests.move_to_end(key)
                kept: T = self._tests[key]
                return kept
        # Two threads may make the same one: that costs time, and nothing else.
        test = make()
        with self._lock:
            self._tests[key] = test
            while len(self._tests) > self._size:
                self._tests.popitem(last=False)
        return test
