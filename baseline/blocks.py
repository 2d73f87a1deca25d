"""The reference's own cell counts hour by hour: how much a window differs without any drift."""

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
# Three years of hours; older ones are let go so that the file stays small.
HOUR_LIMIT = 3 * 366 * 24
HOURS_OF_DAY, HOURS_OF_WEEK = 24, 168
# A reference of more days than a quarter has keeps the hours of so many, six of each weekday,
# unless those of all days take no more than so many bytes a column.
DAYS_WITH_HOURS = 92
HOURS_ROOM = 24 * 1024
DAYS_KEPT = 42
# A block with fewer rows than this share of the usual is a ragged end, not a window.
PARTIAL_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class LetGo:
    """What is kept of days whose hours were let go, of a long reference."""

    # int64: every hour of the reference that has rows, also of the days that keep theirs, and how
    # many, shape (hours,).
    hours: np.ndarray
    rows: np.ndarray
    days: np.ndarray  # int64, shape (days,), ascending, since 1970-01-01.
    counts: Mapping[str, np.ndarray]  # By column: int32, shape (days, cells).
    # By column: the same rows by the hour of the week, from a Thursday's first on: int64, shape
    # (168, cells).
    weeks: Mapping[str, np.ndarray]

    @cached_property
    def week_rows(self) -> np.ndarray:
        """Rows by the hour of the week, int64, shape (168,)."""
        return np.asarray(next(iter(self.weeks.values())).sum(axis=1))

    def without(self, names: Collection[str]) -> LetGo:
        """Return the same without some columns."""
        counts, weeks = (
            {name: one for name, one in each.items() if name not in names}
            for each in (self.counts, self.weeks)
        )
        return replace(self, counts=counts, weeks=weeks)


@dataclass(frozen=True, eq=False)
class BlockCounts:
    """Cell counts of every hour that has rows; of a long reference of the hours of some days."""

    hours: np.ndarray  # int64, shape (hours,), ascending: hours since 1970-01-01T00:00Z.
    # By column: int32, shape (hours, cells), in the order of Cells.count.
    counts: Mapping[str, np.ndarray]
    # Columns that were counted over other hours, since they were made anew.
    apart: tuple[BlockCounts, ...] = ()
    let_go: LetGo | None = None  # What the other days held.

    def of(self, name: str) -> BlockCounts | None:
        """Return the hours and counts that a column belongs to; None when it has none."""
        return next((one for one in (self, *self.apart) if name in one.counts), None)

    @property
    def is_thinned(self) -> bool:
        """Whether hours of any column were let go."""
        return any(one.let_go is not None for one in (self, *self.apart))

    @property
    def all_hours(self) -> np.ndarray:
        """Every hour that has rows, also of days whose hours were let go."""
        return self.hours if self.let_go is None else self.let_go.hours

    @cached_property
    def all_rows(self) -> np.ndarray:
        """Rows of `all_hours`, int64; those of its first column, as all have the same."""
        if self.let_go is not None:
            return self.let_go.rows
        if not self.counts:
            return np.zeros(0, np.int64)
        return np.asarray(next(iter(self.counts.values())).sum(axis=1, dtype=np.int64))

    @cached_property
    def finest(self) -> BlockCounts:
        """The hours that are kept, and each other day as if it were its first hour."""
        gone = self.let_go
        if gone is None:
            return self
        hours = np.concatenate([self.hours, gone.days * HOURS_OF_DAY])
        order = np.argsort(hours, kind="stable")
        counts = {
            name: np.concatenate([counts, gone.counts[name]])[order]
            for name, counts in self.counts.items()
        }
        return BlockCounts(hours[order], counts)

    @cached_property
    def of_seasons(self) -> BlockCounts:
        """The hours that are kept, then the rows of all others as if of the week of 1970-01-01."""
        gone = self.let_go
        if gone is None:
            return self
        counts = {
            name: np.concatenate([counts, gone.weeks[name]]) for name, counts in self.counts.items()
        }
        return BlockCounts(np.concatenate([self.hours, np.arange(HOURS_OF_WEEK)]), counts)

    @cached_property
    def by_day(self) -> BlockCounts:
        """Every day that has rows, as if it were its first hour."""
        finest = self.finest
        days, first = np.unique(finest.hours // HOURS_OF_DAY, return_index=True)
        counts = {
            name: np.add.reduceat(counts, first, axis=0) if len(days) else counts
            for name, counts in finest.counts.items()
        }
        return BlockCounts(days * HOURS_OF_DAY, counts)

    def known_length(self, length_h: int) -> int:
        """Return the next length of blocks from this on, in hours, that the counts tell of.

        Once hours were let go, whole days, or parts that fill one. Longer blocks vary more: a
        shorter length would take too little for what a span varies by.
        """
        if self.let_go is None:
            return length_h
        if length_h > HOURS_OF_DAY:
            return -(-length_h // HOURS_OF_DAY) * HOURS_OF_DAY
        return next(one for one in range(length_h, HOURS_OF_DAY + 1) if HOURS_OF_DAY % one == 0)

    def of_length(self, length_h: int) -> BlockCounts:
        """Return the counts that blocks of a known length are made of."""
        return self if self.let_go is None or length_h < HOURS_OF_DAY else self.by_day

    def thinned(self) -> BlockCounts:
        """Let the hours of most days go, if there are many and they take much room.

        Those that keep theirs lie evenly over the reference, and over the days of the week.
        """
        parts = [_thinned(one) for one in (replace(self, apart=()), *self.apart)]
        return replace(parts[0], apart=tuple(parts[1:]))

    @property
    def span_days(self) -> float:
        """Days from the first hour to the last; where most have no rows, those that have some.

        One stray time, of 1970 or 9999, is no span that was seen.
        """
        hours = self.all_hours
        if not len(hours):
            return 0.0
        span = float(hours[-1] - hours[0] + 1) / 24
        held = len(np.unique(hours // 24))
        return span if 2 * held >= span else float(held)

    @property
    def days(self) -> dict[str, float]:
        """Days that the reference of each column spans."""
        return {name: part.span_days for part in (*self.apart, self) for name in part.counts}

    def spanning(self, days: float) -> frozenset[str]:
        """Return the columns whose reference spans so many days."""
        return frozenset(name for name, own in self.days.items() if own >= days)

    def season(self, name: str, hours: np.ndarray, reach_days: float) -> np.ndarray | None:
        """Count a column's cells over the same season of all years, and some days before and after.

        Parameters
        ----------
        hours
            int64, ascending, since 1970-01-01T00:00Z: from the first to the last is the season.
        """
        own = self.of(name)
        if own is None or not len(hours):
            return None
        own = own.finest
        year_h, middle = YEAR_DAYS * 24, (hours[0] + hours[-1]) / 2
        reach_h = (hours[-1] - hours[0]) / 2 + reach_days * 24
        apart = np.abs((own.hours - middle + year_h / 2) % year_h - year_h / 2)
        return np.asarray(own.counts[name][apart <= reach_h].sum(axis=0, dtype=np.int64))

    def replaced(self, names: Collection[str], other: BlockCounts) -> BlockCounts:
        """Return the counts with those of some columns taken from another time."""
        taken = other._without(other.counts.keys() - {*names})
        kept = [one._without(names) for one in (self, *self.apart)]
        parts = [one for one in (*kept, taken) if one.counts]
        return replace(parts[0], apart=tuple(parts[1:]))

    def _without(self, names: Collection[str]) -> BlockCounts:
        left = {name: one for name, one in self.counts.items() if name not in names}
        let_go = None if self.let_go is None else self.let_go.without(names)
        return BlockCounts(self.hours, left, let_go=let_go)

    def blocks(self, length: timedelta) -> dict[str, np.ndarray]:
        """Merge the hours to blocks of a window's length.

        Parameters
        ----------
        length
            A whole number of hours, or the next `known_length`; blocks start at multiples of it
            since 1970-01-01T00:00Z, so days are UTC days.

        Returns
        -------
        dict of str to np.ndarray
            By column: int64, shape (blocks, cells), in time order; blocks with less than a tenth
            of the median block's rows are left out.

        Raises
        ------
        InputError
            When the length is not a whole number of hours.
        """
        hours, rest = divmod(length, timedelta(hours=1))
        if rest or hours < 1:
            raise InputError(f"block length {length}; expected a whole number of hours")
        hours = self.known_length(hours)
        own = self.of_length(hours)
        found, first = np.unique(own.hours // hours, return_index=True)
        merged = {
            name: np.add.reduceat(counts.astype(np.int64), first, axis=0)
            if len(found)
            else counts.astype(np.int64)
            for name, counts in own.counts.items()
        }
        if not merged or not len(found):
            return merged
        rows = next(iter(merged.values())).sum(axis=1)
        keep = rows >= PARTIAL_SHARE * np.median(rows)
        return {name: counts[keep] for name, counts in merged.items()}


def seasoned(blocks: BlockCounts | None) -> frozenset[str]:
    """Return the columns whose reference has seen all seasons; none without times."""
    return frozenset() if blocks is None else blocks.spanning(SEASON_DAYS)


def _thinned(whole: BlockCounts) -> BlockCounts:
    day_of = whole.hours // HOURS_OF_DAY
    days = np.unique(day_of)
    if whole.let_go is not None or len(days) <= DAYS_WITH_HOURS or not whole.counts:
        return whole
    if np.mean([_room(counts) for counts in whole.counts.values()]) <= HOURS_ROOM:
        return whole
    is_kept = np.isin(day_of, _days_kept(days))
    gone = BlockCounts(
        whole.hours[~is_kept], {name: one[~is_kept] for name, one in whole.counts.items()}
    )
    by_day, week = gone.by_day, gone.hours % HOURS_OF_WEEK
    weeks = {}
    for name, counts in gone.counts.items():
        weeks[name] = np.zeros((HOURS_OF_WEEK, counts.shape[1]), np.int64)
        np.add.at(weeks[name], week, counts)
    days = by_day.hours // HOURS_OF_DAY
    let_go = LetGo(whole.hours, whole.all_rows, days, by_day.counts, weeks)
    kept = {name: one[is_kept] for name, one in whole.counts.items()}
    return BlockCounts(whole.hours[is_kept], kept, let_go=let_go)


def _room(counts: np.ndarray) -> float:
    """Estimate what the counts of hours take, in bytes: the entropy of Poisson's law, nearly."""
    bits = 0.5 * np.log2(1.0 + 2.0 * np.pi * np.e * counts.mean(axis=0))
    return float(len(counts) * bits.sum() / 8.0)


def _days_kept(days: np.ndarray) -> np.ndarray:
    """Choose days of some: one weekday after the other, each the nearest to its even place."""
    is_left, found = np.ones(len(days), np.bool_), []
    for number, place in enumerate(np.linspace(0.0, len(days) - 1.0, DAYS_KEPT)):
        is_other = days % 7 != (days[0] + number) % 7
        away = np.abs(np.arange(len(days)) - place) + 7.0 * is_other
        found.append(int(np.argmin(np.where(is_left, away, np.inf))))
        is_left[found[-1]] = False
    return np.asarray(days[np.sort(found)])


class BlockCounter:
    """Collects `BlockCounts` while the reference is read."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = dict(sizes)
        self._total = _no_rows(self._sizes)
        self._parts: list[BlockCounts] = []

    def update(self, time_us: np.ndarray, codes: Mapping[str, np.ndarray]) -> None:
        """Add rows.

        Parameters
        ----------
        time_us
            int64, shape (rows,): microseconds since 1970-01-01T00:00Z.
        codes
            By column: each row's cell, shape (rows,), as `Cells.assign` gives it.
        """
        hours, inverse = np.unique(time_us // HOUR_US, return_inverse=True)
        if not len(hours):
            return
        counts = {
            name: _tabulate(inverse, codes[name], len(hours), size)
            for name, size in self._sizes.items()
        }
        self._parts.append(BlockCounts(hours.astype(np.int64), counts))
        # Adding up only now and then keeps both the copying and the memory small.
        if sum(len(part.hours) for part in self._parts) > max(1000, len(self._total.hours)):
            self._fold()

    def _fold(self) -> None:
        parts = [self._total, *self._parts]
        hours = np.unique(np.concatenate([part.hours for part in parts]))[-HOUR_LIMIT:]
        summed = {
            name: np.zeros((len(hours), size), np.int32) for name, size in self._sizes.items()
        }
        for part in parts:
            kept = part.hours >= hours[0]
            at = np.searchsorted(hours, part.hours[kept])
            for name, total in summed.items():
                total[at] += part.counts[name][kept]
        self._total, self._parts = BlockCounts(hours, summed), []

    def merge(self, other: BlockCounter) -> BlockCounter:
        """Return the counter of the rows of both; neither input changes."""
        merged = BlockCounter(self._sizes)
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
