"""Pairs of numeric columns that keep an order, such as a part and its total.

Candidates come from a sample; how often each holds is counted on all rows, by day, so that the
worst days and weeks are known. Shapes: n rows, C columns, P pairs, D days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.blocks import event_times
from driftline.baseline.spacing import SpacedRows
from driftline.formats.coercion import coerce

# So often a pair keeps its order in the reference, and so long the reference is: in a shorter one
# any two columns of one season keep an order (docs/why/drift-test.md).
HOLDS_SHARE = 0.995
LEAST_DAYS = 330
# Fewer rows of a day or week have no share worth keeping, and a window of fewer is not judged.
LEAST_ROWS = 20
# Candidates hold in so many of the sampled rows, and in half of them one column is truly above.
CANDIDATE_SHARE = 0.99
ABOVE_SHARE = 0.5
# A column of which fewer sampled rows hold a number is in no pair.
KNOWN_SHARE = 0.5
# Sampled rows: a few that each pair of columns is laid beside, and those that passed beside all.
FIRST_ROWS = 64
SAMPLE_ROWS = 1024
# Pairs kept, those whose ranges overlap most: what a check costs stays bounded in any table.
PAIR_CAP = 64
# Pairs that are laid beside all sampled rows at once.
PAIRS_AT_ONCE = 4096
TAILS = (0.05, 0.95)
DAY_US = 86_400_000_000
WEEK_DAYS = 7

Pair = tuple[str, str]  # The column that is at least the other, then that other.
Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ColumnOrder:
    """Two columns of which the first is hardly ever below the second."""

    upper: str
    lower: str
    row_count: int  # Rows of the reference in which both hold a number.
    broken_count: int  # Of these, rows in which the order is reversed.
    # The largest share of reversed rows in a day and in a week of the reference, 0-1.
    worst_day: float
    worst_week: float

    @property
    def pair(self) -> Pair:
        """Both names."""
        return self.upper, self.lower


class NumberSample:
    """Some rows of columns of numbers, evenly spread."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._rows = SpacedRows(SAMPLE_ROWS)

    def update(self, batch: pa.RecordBatch) -> None:
        """Keep every n-th row of a batch."""
        if len(self.columns) < 2:
            return
        chosen = batch.select(self.columns).take(pa.array(self._rows.turn(batch.num_rows)))
        numbers = {name: coerce(chosen.column(name), "double")[0] for name in self.columns}
        self._rows.add(pa.table(numbers), batch.num_rows)

    def merge(self, other: NumberSample) -> NumberSample:
        """Return the sample of the rows of both, the other's after these."""
        merged = NumberSample(self.columns)
        merged._rows = self._rows.merge(other._rows)
        return merged

    def table(self) -> pa.Table:
        """Return the rows kept."""
        return self._rows.table()


def candidate_pairs(sample: pa.Table) -> tuple[Pair, ...]:
    """Find the pairs whose sampled rows keep an order, and whose ranges overlap.

    C squared pairs are compared on 64 rows; only those that pass are compared on all rows.
    """
    names = sample.column_names
    if sample.num_rows < FIRST_ROWS or len(names) < 2:
        return ()
    rows = np.column_stack([sample.column(name).to_numpy() for name in names])
    rows = np.where(np.isfinite(rows), rows, np.nan)
    # Where half is missing, hardly a pair has rows enough, and all of them would be candidates.
    has_numbers = np.isfinite(rows).mean(axis=0) >= KNOWN_SHARE
    rows, names = rows[:, has_numbers], [*compress(names, has_numbers)]
    if len(names) < 2:
        return ()
    low, high = np.nanquantile(rows, TAILS, axis=0)
    uppers, lowers = _first_pairs(rows[:: len(rows) // FIRST_ROWS][:FIRST_ROWS], low, high)
    cuts = range(PAIRS_AT_ONCE, len(uppers), PAIRS_AT_ONCE)
    parts = zip(np.split(uppers, cuts), np.split(lowers, cuts), strict=True)
    kept = np.concatenate([_holds(rows, *part) for part in parts])
    uppers, lowers = uppers[kept], lowers[kept]
    # The share of the upper column's range that the lower one reaches into.
    overlap = (high[lowers] - low[uppers]) / np.maximum(high[uppers] - low[uppers], 1e-300)
    best = np.sort(np.argsort(-overlap, kind="stable")[:PAIR_CAP])
    return tuple((names[uppers[at]], names[lowers[at]]) for at in best)


def _first_pairs(rows: Numbers, low: Numbers, high: Numbers) -> tuple[Counts, Counts]:
    """Return the pairs, by column, with overlapping ranges and hardly a reversed row."""
    allowed = (1.0 - CANDIDATE_SHARE) * 2.0 * len(rows) + 1.0
    uppers, lowers = [], []
    for upper in range(rows.shape[1]):
        others = np.flatnonzero((low[upper] < high) & (low < high[upper]))
        others = others[others != upper]
        reversed_count = (rows[:, upper, None] < rows[:, others]).sum(axis=0)
        found = others[reversed_count <= allowed]
        uppers.append(np.full(len(found), upper))
        lowers.append(found)
    return np.concatenate(uppers), np.concatenate(lowers)


def _holds(rows: Numbers, uppers: Counts, lowers: Counts) -> NDArray[np.bool_]:
    """Return which pairs keep their order in the sampled rows, shape (P,)."""
    gaps = rows[:, uppers] - rows[:, lowers]
    known = np.isfinite(gaps).sum(axis=0)
    reversed_count, above = (gaps < 0).sum(axis=0), (gaps > 0).sum(axis=0)
    is_kept = reversed_count <= (1.0 - CANDIDATE_SHARE) * known
    return np.asarray((known >= FIRST_ROWS) & is_kept & (above >= ABOVE_SHARE * known))


@dataclass(slots=True, eq=False)
class OrderCounter:
    """Counts the rows in which pairs of columns are in reversed order; parts add up exactly.

    Parameters
    ----------
    pairs
        The P pairs.
    event_time
        Column by whose days the counts are kept apart; None: one count of all rows.
    days
        Days since 1970-01-01 that have rows, ascending, shape (D,); a single 0 without times.
    known, broken
        Rows in which both columns hold a number, and those in reversed order, shape (D, P).
    """

    pairs: tuple[Pair, ...]
    event_time: str | None
    days: Counts
    known: Counts
    broken: Counts

    @classmethod
    def start(cls, pairs: Sequence[Pair], event_time: str | None = None) -> OrderCounter:
        """Begin without rows."""
        none = np.zeros((0, len(pairs)), np.int64)
        return cls(tuple(pairs), event_time, np.zeros(0, np.int64), none, none)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows; a pair with a missing column has none."""
        if not self.pairs:
            return
        present = set(batch.schema.names)
        numbers = {
            name: _numbers(batch.column(name))
            for name in {name for pair in self.pairs for name in pair} & present
        }
        days, places = self._places(batch)
        known = np.zeros((len(days), len(self.pairs)), np.int64)
        broken = known.copy()
        for at, (upper, lower) in enumerate(self.pairs):
            if upper in numbers and lower in numbers:
                with np.errstate(invalid="ignore"):  # Infinite both: of no known order.
                    gaps = numbers[upper] - numbers[lower]
                known[:, at] = _by_place(~np.isnan(gaps), places, len(days))
                broken[:, at] = _by_place(gaps < 0, places, len(days))
        self._take(OrderCounter(self.pairs, self.event_time, days, known, broken))

    def _places(self, batch: pa.RecordBatch) -> tuple[Counts, Counts | None]:
        """Return the batch's days, and each row's index among them; None: one day for all."""
        if self.event_time is None:
            return np.zeros(1, np.int64), None
        is_timed, times_us = event_times(batch.column(self.event_time))
        days, inverse = np.unique(times_us // DAY_US, return_inverse=True)
        places = np.full(batch.num_rows, len(days))
        places[is_timed] = inverse
        return days, places

    def merge(self, other: OrderCounter) -> OrderCounter:
        """Return the counts of the rows of both; neither input changes."""
        merged = replace(self)
        merged._take(other)
        return merged

    def _take(self, other: OrderCounter) -> None:
        days = np.union1d(self.days, other.days)
        known = np.zeros((len(days), len(self.pairs)), np.int64)
        broken = known.copy()
        for part in (self, other):
            at = np.searchsorted(days, part.days)
            known[at] += part.known
            broken[at] += part.broken
        self.days, self.known, self.broken = days, known, broken

    def totals(self) -> Mapping[Pair, tuple[int, int]]:
        """Return by pair the rows in which both hold a number, and the reversed ones."""
        known, broken = self.known.sum(axis=0).tolist(), self.broken.sum(axis=0).tolist()
        return dict(zip(self.pairs, zip(known, broken, strict=True), strict=True))

    def orders(self) -> tuple[ColumnOrder, ...]:
        """Return the pairs that keep their order, with the worst of their days and weeks."""
        if not len(self.days):
            return ()
        weeks = np.unique(self.days // WEEK_DAYS, return_index=True)[1]
        by_day = _worst(self.known, self.broken)
        by_week = _worst(np.add.reduceat(self.known, weeks), np.add.reduceat(self.broken, weeks))
        return tuple(
            ColumnOrder(*pair, known, broken, float(by_day[at]), float(by_week[at]))
            for at, (pair, (known, broken)) in enumerate(self.totals().items())
            if known >= LEAST_ROWS and broken <= (1.0 - HOLDS_SHARE) * known
        )


def _numbers(array: pa.Array) -> Numbers:
    found = coerce(array, "double")[0].to_numpy(zero_copy_only=False)
    return np.asarray(found, np.float64)


def _by_place(mask: NDArray[np.bool_], places: Counts | None, size: int) -> Counts | int:
    """Count marked rows by index; those beyond the last are left out."""
    if places is None:
        return int(np.count_nonzero(mask))
    return np.bincount(places[mask], minlength=size + 1)[:size]


def _worst(known: Counts, broken: Counts) -> Numbers:
    """Return each pair's largest share of reversed rows in a block, shape (P,)."""
    shares = np.where(known >= LEAST_ROWS, broken / np.maximum(known, 1), 0.0)
    return np.asarray(shares.max(axis=0))
