"""The reference's cell counts by hour: they show how much windows vary without any drift."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.stats.calendar_regression import SEASON_DAYS, YEAR_DAYS

HOUR_US = 3_600_000_000
# Three years of hours; older ones are dropped so that the file stays small.
HOUR_LIMIT = 3 * 366 * 24
# So many counts of newly read rows are held before they are added up.
HELD_COUNTS = 1 << 20
# A block with fewer rows than this share of the usual is a ragged end, not a window.
PARTIAL_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class BlockCounts:
    """Cell counts of every hour that has rows."""

    hours: np.ndarray  # int64, shape (hours,), ascending: hours since 1970-01-01T00:00Z.
    # By column: int32, shape (hours, cells), in the order of Cells.count.
    counts: Mapping[str, np.ndarray]
    # Columns that were counted over other hours, since they were made anew.
    apart: tuple[BlockCounts, ...] = ()

    def of(self, name: str) -> BlockCounts | None:
        """Return the hours and counts that a column belongs to; None when it has none."""
        return next((one for one in (self, *self.apart) if name in one.counts), None)

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows of each hour, int64: those of the first column, since all have the same."""
        if not self.counts:
            return np.zeros(0, np.int64)
        return np.asarray(next(iter(self.counts.values())).sum(axis=1, dtype=np.int64))

    @property
    def span_days(self) -> float:
        """Days from the first hour to the last; where most have no rows, the days that have some.

        A stray time, of 1970 or 9999, must not lengthen the span.
        """
        hours = self.hours
        if not len(hours):
            return 0.0
        span = float(hours[-1] - hours[0] + 1) / 24
        held = len(np.unique(hours // 24))
        return span if 2 * held >= span else float(held)

    @property
    def days(self) -> dict[str, float]:
        """Number of days of each column's reference."""
        return {name: part.span_days for part in (*self.apart, self) for name in part.counts}

    def spanning(self, days: float) -> frozenset[str]:
        """Return the columns whose reference spans at least this many days."""
        return frozenset(name for name, own in self.days.items() if own >= days)

    def season(self, name: str, hours: np.ndarray, reach_days: float) -> np.ndarray | None:
        """Count a column's cells over one season in all years, and `reach_days` before and after.

        The season runs from the first to the last of `hours` (ascending, since 1970-01-01T00:00Z).
        """
        own = self.of(name)
        if own is None or not len(hours):
            return None
        year_h, middle = YEAR_DAYS * 24, (hours[0] + hours[-1]) / 2
        reach_h = (hours[-1] - hours[0]) / 2 + reach_days * 24
        apart = np.abs((own.hours - middle + year_h / 2) % year_h - year_h / 2)
        return np.asarray(own.counts[name][apart <= reach_h].sum(axis=0, dtype=np.int64))

    def replaced(self, names: Collection[str], other: BlockCounts) -> BlockCounts:
        """Return the counts with those of some columns taken from another time."""
        taken = other.without(other.counts.keys() - {*names})
        kept = [one.without(names) for one in (self, *self.apart)]
        parts = [one for one in (*kept, taken) if one.counts]
        return replace(parts[0], apart=tuple(parts[1:]))

    def without(self, names: Collection[str]) -> BlockCounts:
        """Leave out some columns."""
        left = {name: one for name, one in self.counts.items() if name not in names}
        return BlockCounts(self.hours, left)

    def blocks(self, length: timedelta) -> dict[str, np.ndarray]:
        """Merge the hours into blocks of `length`, a whole number of hours; a day is a UTC day.

        Returns counts by column, int64, shape (blocks, cells), in time order, without blocks that
        have less than a tenth of the median block's rows.
        """
        hours, rest = divmod(length, timedelta(hours=1))
        if rest or hours < 1:
            raise InputError(f"block length {length}; expected a whole number of hours")
        found, first = np.unique(self.hours // hours, return_index=True)
        merged = {
            name: np.add.reduceat(counts.astype(np.int64), first, axis=0)
            if len(found)
            else counts.astype(np.int64)
            for name, counts in self.counts.items()
        }
        if not merged or not len(found):
            return merged
        rows = next(iter(merged.values())).sum(axis=1)
        keep = rows >= PARTIAL_SHARE * np.median(rows)
        return {name: counts[keep] for name, counts in merged.items()}


def seasoned(blocks: BlockCounts | None) -> frozenset[str]:
    """Return the columns whose reference has seen all seasons; none without times."""
    return frozenset() if blocks is None else blocks.spanning(SEASON_DAYS)


class BlockCounter:
    """Collects `BlockCounts` while the reference is read, by blocks of `step` hours."""

    def __init__(self, sizes: Mapping[str, int], step: int = 1) -> None:
        self._sizes, self.step = dict(sizes), step
        self._total = _no_rows(self._sizes)
        self._parts: list[BlockCounts] = []

    @classmethod
    def of(cls, counts: BlockCounts, step: int) -> BlockCounter:
        """Take over counts."""
        found = cls({name: one.shape[1] for name, one in counts.counts.items()}, step)
        found._total = counts
        return found

    def update(self, time_us: np.ndarray, codes: Mapping[str, np.ndarray]) -> None:
        """Add rows: times in microseconds since 1970 (UTC), and each row's cell by column."""
        hours = time_us // (HOUR_US * self.step) * self.step
        hours, inverse = np.unique(hours, return_inverse=True)
        if not len(hours):
            return
        counts = {
            name: _tabulate(inverse, codes[name], len(hours), size)
            for name, size in self._sizes.items()
        }
        self._parts.append(BlockCounts(hours.astype(np.int64), counts))
        # Adding up only now and then keeps both the copying and the memory small.
        held = sum(len(part.hours) for part in self._parts)
        if held > len(self._total.hours) and held * sum(self._sizes.values()) > HELD_COUNTS:
            self._fold()

    def _fold(self) -> None:
        parts = [self._total, *self._parts]
        hours = np.unique(np.concatenate([part.hours for part in parts]))[-HOUR_LIMIT:]
        summed = {
            name: np.zeros((len(hours), size), np.int32) for name, size in self._sizes.items()
        }
        for part in parts:
            kept = np.isin(part.hours, hours)
            at = np.searchsorted(hours, part.hours[kept])
            for name, total in summed.items():
                total[at] += part.counts[name][kept]
        self._total, self._parts = BlockCounts(hours, summed), []

    def merge(self, other: BlockCounter) -> BlockCounter:
        """Return the counter of the rows of both; neither input changes."""
        merged = BlockCounter(self._sizes, self.step)
        merged._total = self._total
        merged._parts = [*self._parts, other._total, *other._parts]
        merged._fold()
        return merged

    def result(self) -> BlockCounts:
        """Return the counts of all rows added."""
        if self._parts:
            self._fold()
        return self._total


def event_times(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have a time, shape (rows,), and those times in microseconds since 1970."""
    times, _ = coerce(array, "timestamp")
    known = times.is_valid().to_numpy(zero_copy_only=False)
    return known, pc.cast(times.drop_null(), pa.int64()).to_numpy(zero_copy_only=False)


def _no_rows(sizes: Mapping[str, int]) -> BlockCounts:
    counts = {name: np.zeros((0, size), np.int32) for name, size in sizes.items()}
    return BlockCounts(np.empty(0, np.int64), counts)


def _tabulate(hours: np.ndarray, codes: np.ndarray, hour_count: int, size: int) -> np.ndarray:
    flat = np.bincount(hours * size + codes, minlength=hour_count * size)
    return flat.reshape(hour_count, size).astype(np.int32)
