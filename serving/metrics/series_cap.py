"""Families of gauges, and how many series of one a scrape shows where users choose the names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily

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


def gauge(
    name: str, about: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    """Return a family of gauges, each with the values of its labels."""
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
