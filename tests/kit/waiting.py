"""Waiting for what happens in other processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait"]

T = TypeVar("T")


def wait(look: Callable[[], T | None], *, within_s: float = 60.0, every_s: float = 0.1) -> T:
    """Look again and again until something true is found, and return it."""
    pause, end = threading.Event(), time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, f"{look} found nothing within {within_s} s"
        pause.wait(every_s)
    return found
