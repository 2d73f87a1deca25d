"""Rules that were laid out once for a baseline, kept for the windows to come.

What a rule learns of its reference takes some tenths of a second, and judging a window with it some
hundredths.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from driftline.monitors.drift_test.drift_test import Decider


class DeciderShelf:
    """Keeps the rules that were asked for last; safe to use from several threads.

    Parameters
    ----------
    size
        So many at most.
    """

    def __init__(self, size: int = 32) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, Decider] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Decider]) -> Decider:
        """Give the rule of a key, made when it is not there; the key says all that it rests on."""
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
                return found
        # Two threads may make the same one: that costs time, and nothing else.
        made = make()
        with self._lock:
            self._known[key] = made
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return made
