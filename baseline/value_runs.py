"""The longest runs of equal values in a column of numbers, in order of time.

A run is counted in times, not rows: rows of one time have no order. A time with several values ends
every run. Missing and infinite values are left out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US, event_times
from driftline.baseline.distinct import no_counts
from driftline.baseline.times import run_starts

# So many values are kept, those with the longest runs: more than a column has atoms.
VALUE_CAP = 64


@dataclass(slots=True, eq=False)
class ValueRuns:
    """The longest run of each value, and the first and the last run of all.

    Parts that follow each other in time add up exactly, unless both hold rows of one time, which
    then counts twice. Of parts whose times overlap nothing is known.

    Parameters
    ----------
    values, lengths
        The values with the longest runs, ascending, and the length of each, shape (values,); runs
        of one time are not listed.
    time_count, hour_count
        Different times, and hours that hold any.
    start_us, end_us
        The first and the last time, in microseconds since 1970-01-01T00:00Z.
    first_value, first_length, last_value, last_length
        The runs at both ends; the value is NaN at a time of several values.
    is_ordered
        False once parts overlapped; lengths mean nothing then.
    least_rows
        Each time has so many rows or more.
    """

    values: np.ndarray = field(default_factory=partial(np.empty, 0))
    lengths: np.ndarray = field(default_factory=no_counts)
    time_count: int = 0
    hour_count: int = 0
    start_us: int = 0
    end_us: int = 0
    first_value: float = np.nan
    first_length: int = 0
    last_value: float = np.nan
    last_length: int = 0
    is_ordered: bool = True
    least_rows: int = 1

    @classmethod
    def of(cls, times_us: NDArray[np.int64], numbers: NDArray[np.float64]) -> ValueRuns:
        """Find the runs of numbers, shape (rows,), whose times ascend."""
        known = np.isfinite(numbers)
        if not known.all():
            times_us, numbers = times_us[known], numbers[known]
        if not len(numbers):
            return cls()
        begins = run_starts(times_us)
        least_rows = int(np.diff(begins, append=len(times_us)).min())
        if len(begins) < len(times_us):
            low, high = (each.reduceat(numbers, begins) for each in (np.minimum, np.maximum))
            numbers, times_us = np.where(low == high, low, np.nan), times_us[begins]
        begins = run_starts(numbers)
        found, lengths = numbers[begins], np.diff(np.append(begins, len(numbers)))
        values, longest = _longest(found, lengths)
        return cls(
            values,
            longest,
            time_count=len(numbers),
            hour_count=len(run_starts(times_us // HOUR_US)),
            start_us=int(times_us[0]),
            end_us=int(times_us[-1]),
            first_value=float(found[0]),
            first_length=int(lengths[0]),
            last_value=float(found[-1]),
            last_length=int(lengths[-1]),
            least_rows=least_rows,
        )

    @property
    def times_per_hour(self) -> float:
        """Distinct times in an hour that has any; 0 without times."""
        return self.time_count / max(self.hour_count, 1)

    @property
    def is_one(self) -> bool:
        """Whether all times are one run."""
        return self.first_length == self.time_count

    def longest(self, value: float) -> int:
        """Return the longest run of a value; of an unlisted one, an upper bound."""
        listed = self.lengths[self.values == value]
        return int(listed[0]) if len(listed) else self._unlisted

    def longest_of_others(self, values: Collection[float]) -> int:
        """Return the longest run of all but some values."""
        others = self.lengths[~np.isin(self.values, list(values))]
        return max(int(others.max(initial=0)), self._unlisted)

    @property
    def _unlisted(self) -> int:
        return 1 if len(self.values) < VALUE_CAP else int(self.lengths.min())

    def merge(self, other: ValueRuns) -> ValueRuns:
        """Return the runs of the rows of both; neither input changes."""
        if not self.time_count or not other.time_count:
            return self if self.time_count else other
        first, last = sorted((self, other), key=lambda part: (part.start_us, part.end_us))
        times = first.time_count + last.time_count
        start_us, end_us = first.start_us, max(first.end_us, last.end_us)
        if not (first.is_ordered and last.is_ordered) or first.end_us > last.start_us:
            return ValueRuns(time_count=times, start_us=start_us, end_us=end_us, is_ordered=False)
        is_joined = first.last_value == last.first_value
        joined = first.last_length + last.first_length if is_joined else 0
        values, lengths = _longest(
            np.concatenate([first.values, last.values, [first.last_value]]),
            np.concatenate([first.lengths, last.lengths, [joined]]),
        )
        shared_hour = first.end_us // HOUR_US == last.start_us // HOUR_US
        return ValueRuns(
            values,
            lengths,
            time_count=times,
            hour_count=first.hour_count + last.hour_count - shared_hour,
            start_us=start_us,
            end_us=end_us,
            first_value=first.first_value,
            first_length=joined if is_joined and first.is_one else first.first_length,
            last_value=last.last_value,
            last_length=joined if is_joined and last.is_one else last.last_length,
            least_rows=min(first.least_rows, last.least_rows),
        )


@dataclass(frozen=True, slots=True)
class TimeOrder:
    """The rows of a batch with a time, ordered by it."""

    times_us: NDArray[np.int64]  # Ascending, shape (rows,).
    places: NDArray[np.int64] | None  # Of these rows in the batch; None: as they are.

    @classmethod
    def of(cls, times: pa.Array) -> TimeOrder:
        """Order the rows by a column of times."""
        known, times_us = event_times(times)
        is_sorted = bool((times_us[1:] >= times_us[:-1]).all())
        if is_sorted and known.all():
            return cls(times_us, None)
        places = np.flatnonzero(known)
        if not is_sorted:
            order = np.argsort(times_us, kind="stable")
            times_us, places = times_us[order], places[order]
        return cls(times_us, places)

    def runs(self, values: pa.Array) -> ValueRuns:
        """Find the runs of a numeric column, which may have gaps."""
        return ValueRuns.of(self.times_us, self.ordered(values))

    def ordered(self, values: pa.Array) -> NDArray[np.float64]:
        """Return a column of numbers in order of time, NaN where one is missing."""
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        return numbers if self.places is None else np.asarray(numbers[self.places])


def _longest(
    values: NDArray[np.float64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the longest run of each value, of those with the longest runs."""
    long = (lengths > 1) & ~np.isnan(values)
    values, lengths = values[long] + 0.0, lengths[long]  # The one zero for both.
    if not len(values):
        return values, lengths
    order = np.argsort(values)
    first = run_starts(values[order])
    values, lengths = values[order][first], np.maximum.reduceat(lengths[order], first)
    if len(values) > VALUE_CAP:
        kept = np.sort(np.lexsort((values, -lengths))[:VALUE_CAP])
        values, lengths = values[kept], lengths[kept]
    return values, lengths
