"""Things that tests do at the same moment, each in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")


def together(*works: Callable[[], Given]) -> list[Given]:
    """Do some things at the same time, and return what they give; the first error is the test's."""
    start = threading.Barrier(len(works))

    def do(work: Callable[[], Given]) -> Given:
        start.wait(60)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(do, works))
