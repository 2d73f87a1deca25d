"""One byte per hour and column, by which a copy of the day before is recognised.

The byte is the least hash of the values at the hour's first time, so sources that send at one time
share it, and no value can be read from it. Shapes: H hours, M columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US
from driftline.baseline.times import run_starts
from driftline.baseline.value_runs import TimeOrder
from driftline.formats.coercion import coerce
from driftline.formats.hashing import hash_numbers

Marks = NDArray[np.uint8]

DAY_H = 24
# Of so many rows of one time the least hash says little, and costs.
MOST_ROWS = 256
NO_HASH = np.iinfo(np.uint64).max
# The mark of an hour without a value; the others are 1 to 255.
NO_MARK = 0
# Of 24 hours so many must have a value, as those a day before have, and the value move so often.
LEAST_HOURS, LEAST_CHANGES = 16, 6
# Columns whose hours are those of the day before more often than this, or in nearly all hours of
# some day, repeat it by nature (docs/why/drift-test.md).
USUAL_SHARE, MOST_SHARE = 0.25, 0.9
LEAST_DAYS = 27
# Thirty years: one stray time of 1970 or 9999 is no span.
HOURS_LIMIT = 30 * 366 * DAY_H


@dataclass(frozen=True, slots=True)
class Copies:
    """How many hours of a reference's column repeat the value of the day before."""

    column: str
    hours: int  # That have a value, as the hour a day before has.
    share: float  # Of these, with the same value, 0-1.
    most: float  # The largest such share of 24 hours in which the value moves, 0-1.


@dataclass(frozen=True, slots=True, eq=False)
class Trailing:
    """Counts over the 24 hours that end with each hour, shape (H,) each."""

    known: NDArray[np.int64]  # Hours with a value, as the hour a day before has.
    equal: NDArray[np.int64]  # Of these, hours with the same value.
    changes: NDArray[np.int64]  # Of these, hours whose value is another than the hour's before.

    @classmethod
    def of(cls, marks: Marks) -> Trailing:
        """Compare consecutive hours with those a day before; the first have none."""
        found = np.zeros((3, len(marks)), np.int64)
        if len(marks) > DAY_H:
            now, before, last = marks[DAY_H:], marks[:-DAY_H], marks[DAY_H - 1 : -1]
            known = (now != NO_MARK) & (before != NO_MARK)
            equal = known & (now == before)
            found[:, DAY_H:] = known, equal, equal & (last != NO_MARK) & (now != last)
        summed = np.cumsum(found, axis=1)
        summed[:, DAY_H:] -= summed[:, :-DAY_H].copy()
        return cls(*summed)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Shares of equal hours, 0-1; 0 where too few are known, or the value hardly moves."""
        enough = (self.known >= LEAST_HOURS) & (self.changes >= LEAST_CHANGES)
        return np.where(enough, self.equal / np.maximum(self.known, 1), 0.0)


@dataclass(slots=True, eq=False)
class HourMarker:
    """Finds the mark of each hour while rows are read; parts add up exactly."""

    columns: tuple[str, ...] = ()
    _parts: list[_Part] = field(default_factory=list)

    def update(self, batch: pa.RecordBatch, order: TimeOrder) -> None:
        """Add rows, given their order in time."""
        times = order.times_us
        if not self.columns or not len(times):
            return
        starts = run_starts(times // HOUR_US)
        lengths = np.diff(np.append(starts, len(times)))
        is_first = times == np.repeat(times[starts], lengths)
        rows = np.add.reduceat(is_first, starts, dtype=np.int64)
        hashed = rows <= MOST_ROWS
        hashes = np.full((len(starts), len(self.columns)), NO_HASH, np.uint64)
        chosen = np.flatnonzero(is_first & np.repeat(hashed, lengths))
        if len(chosen):
            places = chosen if order.places is None else order.places[chosen]
            present = {*batch.schema.names}
            taken = batch.select([name for name in self.columns if name in present])
            taken = taken.take(pa.array(places))
            begins = np.cumsum(rows[hashed]) - rows[hashed]
            for at, name in enumerate(self.columns):
                if name in present:
                    own = _hashes(taken.column(name))
                    hashes[hashed, at] = np.minimum.reduceat(own, begins)
        self._parts.append(_Part(times[starts], rows, hashes))
        largest = max(len(one.rows) for one in self._parts)
        if sum(len(one.rows) for one in self._parts) > 1000 + 2 * largest:
            self._parts = [_Part.joined(self._parts)]

    def merge(self, other: HourMarker) -> HourMarker:
        """Return the marks of the rows of both; neither input changes."""
        parts = [*self._parts, *other._parts]
        return HourMarker(self.columns, [_Part.joined(parts)] if parts else [])

    def marks(self, span: tuple[int, int]) -> dict[str, Marks]:
        """Return the marks of a half-open span of hours since 1970 by column, shape (H,)."""
        if not self._parts:
            return {}
        first, end = span
        whole = _Part.joined(self._parts)
        hours = whole.first_us // HOUR_US
        inside = (hours >= first) & (hours < end) & (whole.rows <= MOST_ROWS)
        hashes = whole.hashes[inside]
        found = np.full((len(self.columns), end - first), NO_MARK, np.uint8)
        found[:, hours[inside] - first] = np.where(hashes == NO_HASH, 0, hashes % 255 + 1).T
        return dict(zip(self.columns, found, strict=True))

    def copies(self) -> tuple[Copies, ...]:
        """Return how often days repeat the day before, except for columns that always do."""
        found = []
        for name, marks in self.marks(self.span).items():
            trailing = Trailing.of(marks)
            # Each hour counts in the 24 spans that hold it.
            hours, equal = int(trailing.known.sum()), int(trailing.equal.sum())
            if hours < LEAST_DAYS * LEAST_HOURS * DAY_H:
                continue
            most = float(trailing.shares.max())
            if equal <= USUAL_SHARE * hours and most < MOST_SHARE:
                found.append(Copies(name, hours // DAY_H, equal / hours, most))
        return tuple(found)

    @property
    def span(self) -> tuple[int, int]:
        """The hours since 1970 with rows; none where a stray time makes them too many."""
        if not self._parts:
            return 0, 0
        first = min(int(one.first_us[0]) for one in self._parts) // HOUR_US
        end = max(int(one.first_us[-1]) for one in self._parts) // HOUR_US + 1
        return (first, end) if end - first < HOURS_LIMIT else (0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """By hour: its first time, its rows, and the least hash of their values."""

    first_us: NDArray[np.int64]  # Microseconds since 1970-01-01T00:00Z, ascending, shape (H,).
    rows: NDArray[np.int64]  # Shape (H,).
    hashes: NDArray[np.uint64]  # Shape (H, M).

    @classmethod
    def joined(cls, parts: list[_Part]) -> _Part:
        """Join parts, one at least, which may share hours."""
        if len(parts) == 1:
            return parts[0]
        times = np.concatenate([one.first_us for one in parts])
        order = np.argsort(times, kind="stable")
        times = times[order]
        begins = run_starts(times)
        rows = np.add.reduceat(np.concatenate([one.rows for one in parts])[order], begins)
        hashes = np.concatenate([one.hashes for one in parts])[order]
        hashes, times = np.minimum.reduceat(hashes, begins, axis=0), times[begins]
        kept = run_starts(times // HOUR_US)
        return cls(times[kept], rows[kept], hashes[kept])


def _hashes(values: pa.Array) -> NDArray[np.uint64]:
    numbers = coerce(values, "double")[0].to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), hash_numbers(numbers), NO_HASH)
