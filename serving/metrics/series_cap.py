"""How many series of one family a scrape shows, where users choose the names."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


class SeriesCap:
    """Takes of each family as many series as allowed, and counts what it leaves out.

    One for each scrape: two may run at once.
    """

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self.left_out = 0

    def take(self, found: Iterable[T], series_each: int = 1) -> list[T]:
        """Take from the front; each thing makes ``series_each`` series."""
        everything = iter(found)
        taken = list(islice(everything, self._max_series // series_each))
        self.left_out += series_each * sum(1 for _ in everything)
        return taken

    def room(self, series_each: int = 1) -> int:
        """Return how many things of a family fit, for those who need not read the others."""
        return self._max_series // series_each

    def leave_out(self, series: int) -> None:
        """Count series that were never read."""
        self.left_out += max(series, 0)
