"""Counts rows exactly at a column's smallest and largest value by week: sensors saturate there.

Shapes: D days, M columns, W weeks. Side 0 is the smallest value, negated so that both sides are
largest values; side 1 is the largest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.lengths import no_counts
from driftline.baseline.times import run_starts
from driftline.baseline.value_runs import TimeOrder
from driftline.formats.coercion import coerce
from driftline.stats.blocks import DAY_US, MINIMUM_BLOCKS, PARTIAL_SHARE

WEEK_DAYS = 7
# Fewer weeks do not tell how many rows the edge may hold by nature (docs/why/drift-test.md).
LEAST_WEEKS = 12
SIGNS = (-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class EdgeShares:
    """The largest shares of numbers at an edge of a column in a week of the reference, 0-1.

    Each share comes with that of the same numbers without the day that has most of them.
    """

    column: str
    is_largest: bool  # Whether the edge is a week's largest value; else its smallest.
    value: float  # The edge of all weeks.
    weeks: int
    reaching: tuple[float, float]  # Of weeks that reach that value.
    others: tuple[float, float]  # Of weeks that do not; of all, where these are few.


@dataclass(slots=True, eq=False)
class EdgeCounter:
    """Counts numbers at the edges by day; parts add up exactly."""

    columns: tuple[str, ...]
    event_time: str | None  # Without it nothing is counted.
    days: np.ndarray = field(default_factory=no_counts)  # int64, since 1970, ascending, shape (D,).
    numbers: NDArray[np.int64] = field(init=False)  # Shape (D, M).
    edges: NDArray[np.float64] = field(init=False)  # By side, shape (D, 2, M).
    at_edge: NDArray[np.int64] = field(init=False)  # Numbers that lie there, shape (D, 2, M).

    def __post_init__(self) -> None:
        shape = len(self.days), len(self.columns)
        self.numbers = np.zeros(shape, np.int64)
        self.edges = np.full((shape[0], 2, shape[1]), -np.inf)
        self.at_edge = np.zeros((shape[0], 2, shape[1]), np.int64)

    def update(self, batch: pa.RecordBatch, order: TimeOrder | None = None) -> None:
        """Add rows, optionally with their order in time."""
        if self.event_time is None or not self.columns:
            return
        order = order or TimeOrder.of(batch.column(self.event_time))
        if not len(order.times_us):
            return
        days = order.times_us // DAY_US
        starts = run_starts(days)
        part = EdgeCounter(self.columns, self.event_time, days[starts])
        lengths = np.diff(np.append(starts, len(days)))
        for at, name in enumerate(self.columns):
            values = order.ordered(coerce(batch.column(name), "double")[0])
            known = np.isfinite(values)
            part.numbers[:, at] = np.add.reduceat(known, starts, dtype=np.int64)
            for side, sign in enumerate(SIGNS):
                turned = np.where(known, sign * values, -np.inf)
                edge = np.maximum.reduceat(turned, starts)
                is_there = known & (turned == np.repeat(edge, lengths))
                part.edges[:, side, at] = edge
                part.at_edge[:, side, at] = np.add.reduceat(is_there, starts, dtype=np.int64)
        self._add(part)

    def merge(self, other: EdgeCounter) -> EdgeCounter:
        """Return the counts of the rows of both; neither input changes."""
        merged = EdgeCounter(self.columns, self.event_time)
        merged._add(self)
        merged._add(other)
        return merged

    def _add(self, part: EdgeCounter) -> None:
        new = np.setdiff1d(part.days, self.days)
        if len(new):
            places = np.searchsorted(self.days, new)
            self.days = np.insert(self.days, places, new)
            self.numbers = np.insert(self.numbers, places, 0, axis=0)
            self.edges = np.insert(self.edges, places, -np.inf, axis=0)
            self.at_edge = np.insert(self.at_edge, places, 0, axis=0)
        at = np.searchsorted(self.days, part.days)
        known, found = self.edges[at], part.edges
        self.at_edge[at] = np.where(known >= found, self.at_edge[at], 0) + np.where(
            found >= known, part.at_edge, 0
        )
        self.edges[at] = np.maximum(known, found)
        self.numbers[at] += part.numbers

    def shares(self) -> tuple[EdgeShares, ...]:
        """Return the largest shares of each column's edges; none of a short reference."""
        if not len(self.days):
            return ()
        week = (self.days - self.days[0]) // WEEK_DAYS
        whole = week < (self.days[-1] - self.days[0] + 1) // WEEK_DAYS
        starts = run_starts(week[whole])
        if not whole.any() or len(starts) < LEAST_WEEKS:
            return ()
        edge, share, beside, numbers = self._blocks(whole, starts)
        kept = numbers >= np.maximum(PARTIAL_SHARE * np.median(numbers, axis=0), 1)
        found = []
        for at, name in enumerate(self.columns):
            weeks = kept[:, at]
            if np.count_nonzero(weeks) < LEAST_WEEKS:
                continue
            for side in (0, 1):
                edges = edge[weeks, side, at]
                pairs = np.stack([share[weeks, side, at], beside[weeks, side, at]])
                reaches = edges == edges.max()
                is_rare = np.count_nonzero(~reaches) < MINIMUM_BLOCKS
                found.append(
                    EdgeShares(
                        name,
                        bool(side),
                        float(SIGNS[side] * edges.max()),
                        len(edges),
                        _largest(pairs[:, reaches]),
                        _largest(pairs if is_rare else pairs[:, ~reaches]),
                    )
                )
        return tuple(found)

    def _blocks(
        self, chosen: NDArray[np.bool_], starts: NDArray[np.int64]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Merge days to B blocks: edge, share there, share without its fullest day, numbers.

        The first three have the shape (B, 2, M), the numbers (B, M).
        """
        edges, numbers = self.edges[chosen], self.numbers[chosen]
        edge = np.maximum.reduceat(edges, starts, axis=0)
        lengths = np.diff(np.append(starts, len(edges)))
        there = np.where(edges == np.repeat(edge, lengths, axis=0), self.at_edge[chosen], 0)
        total = np.add.reduceat(there, starts, axis=0)
        beside = total - np.maximum.reduceat(there, starts, axis=0)
        count = np.add.reduceat(numbers, starts, axis=0)
        of_all = np.maximum(count, 1)[:, None]
        return edge, total / of_all, beside / of_all, count

    def whole(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return edge, share there, and share without its fullest day, of all rows: (2, M)."""
        edge, share, beside, _ = self._blocks(np.ones(len(self.days), bool), np.zeros(1, np.int64))
        return edge[0], share[0], beside[0]


def _largest(pairs: np.ndarray) -> tuple[float, float]:
    share, beside = pairs.max(axis=1).tolist()
    return share, beside
