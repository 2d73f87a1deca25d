"""Waiting for what happens in other processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait"]

T = TypeVar("T")


def wait(look: Callable[[], T | None], *, within_s: float = 60.0, every_s: float = 0.1) -> T:
    """Look again and again until something true is found, and return it.

    A look that takes long, such as a command or the rows of a table, is made less often: it takes
    an eighth of the time, or a quarter where it is long, and leaves the rest to others.
    """
    pause, end = threading.Event(), time.monotonic() + within_s
    while True:
        began = time.monotonic()
        if found := look():
            return found
        took = time.monotonic() - began
        assert began < end, f"{look} found nothing within {within_s} s"
        pause.wait(max(every_s, 3 * took, min(7 * took, 1.0)))
