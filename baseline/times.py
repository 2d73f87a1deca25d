"""Times of a column: first, last, and the longest gap."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.baseline.lengths import no_counts

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


@dataclass(frozen=True, slots=True)
class Gap:
    """The longest interval without a time."""

    # start_us, end_us: The times on its two ends, in microseconds since 1970-01-01T00:00Z.
    start_us: int
    end_us: int
    resolution_us: int  # A gap shorter than this may have been overlooked.

    @property
    def length(self) -> timedelta:
        """Its duration."""
        return timedelta(microseconds=self.end_us - self.start_us)

    @property
    def is_exact(self) -> bool:
        """Whether no longer gap can have been overlooked."""
        return self.end_us - self.start_us >= self.resolution_us - 1


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
    def minimum(self) -> datetime | None:
        """The first time; None without any, or outside of the calendar."""
        return _moment(int(self.first[0])) if len(self.first) else None

    @property
    def maximum(self) -> datetime | None:
        """The last time; None without any, or outside of the calendar."""
        return _moment(int(self.last[-1])) if len(self.last) else None

    @property
    def span(self) -> timedelta:
        """Duration from the first time to the last; 0 without any."""
        found = int(self.last[-1]) - int(self.first[0]) if len(self.first) else 0
        return timedelta(microseconds=found)

    @property
    def gap(self) -> Gap | None:
        """The longest interval without a time; None with fewer than two."""
        if len(self.first) < 2:
            return None
        at = int(np.argmax(self.first[1:].astype(np.float64) - self.last[:-1]))
        return Gap(int(self.last[at]), int(self.first[at + 1]), self.width_us)

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


def _moment(time_us: int) -> datetime | None:
    try:
        return EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return None
