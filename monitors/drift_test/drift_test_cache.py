"""Drift tests, cached per version of a baseline.

To learn a test takes tenths of a second, to apply it hundredths. A window needs several tests in
the same order, such as one per segment column, so the cache evicts whole baselines, not tests.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from driftline.baseline.store import Baseline

T = TypeVar("T")


class DriftTestCache:
    """Tests of the `size` last used baselines, up to `each` of one; thread-safe.

    Those of a baseline from which rows were erased since are dropped.
    """

    def __init__(self, size: int = 32, each: int = 256) -> None:
        self._size, self._each = size, each
        self._lock = threading.Lock()
        # By version: how many sampled rows the baseline had, and its tests.
        self._baselines: OrderedDict[str, tuple[int, OrderedDict[Hashable, Any]]] = OrderedDict()

    def get(self, baseline: Baseline, key: Hashable, make: Callable[[], T]) -> T:
        """Return a test of a baseline, made if missing; the key is its other inputs."""
        version = baseline.version
        with self._lock:
            tests = self._tests_of(baseline)
            if key in tests:
                self._baselines.move_to_end(version)
                tests.move_to_end(key)
                kept: T = tests[key]
                return kept
        # Two threads may make the same one: that costs time, and nothing else.
        test = make()
        with self._lock:
            tests = self._tests_of(baseline)
            self._baselines[version] = baseline.sampled_count, tests
            self._baselines.move_to_end(version)
            tests[key] = test
            while len(tests) > self._each:
                tests.popitem(last=False)
            while len(self._baselines) > self._size:
                self._baselines.popitem(last=False)
        return test

    def _tests_of(self, baseline: Baseline) -> OrderedDict[Hashable, Any]:
        count, tests = self._baselines.get(baseline.version, (0, OrderedDict()))
        return tests if count == baseline.sampled_count else OrderedDict()
