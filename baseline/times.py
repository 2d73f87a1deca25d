"""Times of a column, as the intervals that hold any."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.baseline.distinct import no_counts

SECOND = 1_000_000
DAY = 86_400 * SECOND
# Each width is a multiple of the one before; at the last, all that 64 bits can hold are 2,136
# stretches, fewer than the cap.
WIDTHS_US = (
    SECOND, 10 * SECOND, 60 * SECOND, 600 * SECOND, 3600 * SECOND, 6 * 3600 * SECOND,
    DAY, 10 * DAY, 100 * DAY, 1000 * DAY, 10_000 * DAY, 100_000 * DAY,
)  # fmt: skip
STRETCH_CAP = 4096
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True, eq=False)
class TimeSummary:
    """Times, kept as the intervals that hold any: the first, the last and the number of each.

    An interval is one second while at most 4,096 of them hold a time, else ten seconds, and so on.
    The width follows from the times alone, so merging is exactly associative and commutative.

    Parameters
    ----------
    width_us
        Length of an interval; intervals start at multiples of it since 1970-01-01T00:00Z.
    first, last, counts
        int64, shape (intervals,), ascending: microseconds since 1970-01-01T00:00Z, and rows.
    """

    width_us: int = WIDTHS_US[0]
    first: np.ndarray = field(default_factory=no_counts)
    last: np.ndarray = field(default_factory=no_counts)
    counts: np.ndarray = field(default_factory=no_counts)

    @property
    def count(self) -> int:
        """Number of times."""
        return int(self.counts.sum())

    @property
    def span(self) -> timedelta:
        """Duration from the first time to the last; 0 without any."""
        found = int(self.last[-1]) - int(self.first[0]) if len(self.first) else 0
        return timedelta(microseconds=found)

    def update(self, times_us: np.ndarray) -> None:
        """Add times, int64, shape (times,), in any order."""
        if not len(times_us):
            return
        ordered = times_us
        if (ordered[1:] < ordered[:-1]).any():
            ordered = np.sort(ordered)
        starts = run_starts(ordered // self.width_us)
        ends = np.append(starts[1:], len(ordered))
        part = TimeSummary(self.width_us, ordered[starts], ordered[ends - 1], ends - starts)
        self._take(self.merge(part) if len(self.first) else part._fitted())

    def merge(self, other: TimeSummary) -> TimeSummary:
        """Return the summary of both; neither input changes."""
        width = max(self.width_us, other.width_us)
        first = np.concatenate([self.first, other.first])
        # Stretches of one side do not overlap, so their order is that of their first times.
        order = np.argsort(first, kind="stable")
        merged = TimeSummary(
            width,
            first[order],
            np.concatenate([self.last, other.last])[order],
            np.concatenate([self.counts, other.counts])[order],
        )
        return merged._grouped(width)._fitted()

    def _fitted(self) -> TimeSummary:
        found = self
        while len(found.first) > STRETCH_CAP:
            found = found._grouped(WIDTHS_US[WIDTHS_US.index(found.width_us) + 1])
        return found

    def _grouped(self, width_us: int) -> TimeSummary:
        """Join intervals to ones of that width."""
        if not len(self.first):
            return TimeSummary(width_us)
        starts = run_starts(self.first // width_us)
        return TimeSummary(
            width_us,
            self.first[starts],
            np.maximum.reduceat(self.last, starts),
            np.add.reduceat(self.counts, starts),
        )

    def _take(self, other: TimeSummary) -> None:
        self.width_us, self.first, self.last = other.width_us, other.first, other.last
        self.counts = other.counts


def run_starts(keys: np.ndarray) -> np.ndarray:
    """Return where each run of equal keys starts; NaN equals nothing."""
    return np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
