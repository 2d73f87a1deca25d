"""Drift tests that were made once for a baseline, kept for the windows to come.

What a test learns of its reference takes tenths of a second, testing a window hundredths. A monitor
asks for some of them in each window in the same order, such as one for each column of segments: of
those the oldest must not go before the last is made, so it is baselines that are counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class DriftTestCache:
    """The tests of the `size` baselines used last, `each` of one; for several threads."""

    def __init__(self, size: int = 32, each: int = 256) -> None:
        self._size, self._each = size, each
        self._lock = threading.Lock()
        self._baselines: OrderedDict[Hashable, OrderedDict[Hashable, Any]] = OrderedDict()

    def get(self, version: Hashable, key: Hashable, make: Callable[[], T]) -> T:
        """Return a test of a baseline's version; made where it is missing.

        The key says all that it rests on besides the baseline.
        """
        with self._lock:
            tests = self._baselines.get(version, OrderedDict())
            if key in tests:
                self._baselines.move_to_end(version)
                tests.move_to_end(key)
                kept: T = tests[key]
                return kept
        # Two threads may make the same one: that costs time, and nothing else.
        test = make()
        with self._lock:
            tests = self._baselines.setdefault(version, OrderedDict())
            self._baselines.move_to_end(version)
            tests[key] = test
            while len(tests) > self._each:
                tests.popitem(last=False)
            while len(self._baselines) > self._size:
                self._baselines.popitem(last=False)
        return test
