"""Where matching rows sit: the slice of one or two conditions that holds most of their excess.

Slices are ranked by the share of the excess that they hold less their share of all rows: weighted
relative accuracy, the measure of subgroup discovery, up to a factor. So a slice that leaves half of
the excess out loses to one that holds it all, and one that takes many innocent rows along loses to
a narrower one. Slices of two conditions are counted all at once by one product of matrices, and
only of conditions that could hold enough by themselves.

References
----------
Lavrac, Flach, Zupan, "Rule Evaluation Measures: A Unifying View", ILP 1999 (the measure).
Sagadeeva, Boehm, "SliceLine", SIGMOD 2021 (smallest size, pruning by the parts, linear algebra).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.predicate import Predicate
from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce

# A slice is named when it holds so much of the excess, and so much more than its share of rows.
MIN_EXCESS = 0.5
MIN_LIFT = 1.3
# Smaller ones are chance (SliceLine, section 3: the larger of 32 rows and one in a hundred).
MIN_ROWS, MIN_SHARE = 32, 0.01
# Chance that a column of noise gives a slice, over all that are tried.
FALSE_SLICE = 1e-3
# A second condition must say so much more than the first alone; a condition on a number, which may
# well be a consequence and no source, still more.
PAIR_GAIN = 0.05
NUMBER_GAIN = 0.15
# Conditions that are laid beside each other, and equally filled bins of a number.
CONDITIONS_MAX = 64
BINS = 8
LEVELS_MAX = 1000

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that meet one or two conditions."""

    conditions: tuple[Predicate, ...]
    matching_count: int
    row_count: int
    share_of_matching: float
    share_of_rows: float
    share_of_excess: float  # Of the matching rows beyond those that are expected.

    @property
    def gain(self) -> float:
        """What slices are ranked by: share of the excess less share of all rows, -1 to 1."""
        return self.share_of_excess - self.share_of_rows

    @property
    def has_number(self) -> bool:
        """Whether a condition is on a number."""
        return any(isinstance(condition.value, float) for condition in self.conditions)


@dataclass(frozen=True)
class SliceColumn:
    """One column by whose values rows are cut."""

    name: str
    codes: Ints  # Place of each value among the levels, shape (n,); the last is for none.
    # Of a number: the lower edges of its bins, from the second on.
    levels: Sequence[str] | Sequence[float]
    is_number: bool

    @cached_property
    def counts(self) -> Ints:
        """Rows by place."""
        return np.bincount(self.codes, minlength=self.size)

    @property
    def size(self) -> int:
        """How many places there are."""
        return len(self.levels) + (2 if self.is_number else 1)

    def condition(self, place: int, *, below: bool = False) -> Predicate:
        """Return the condition of one text, of none, or of one side of a number's edge."""
        if not self.is_number:
            if place == self.size - 1:
                return Predicate(self.name, "null")
            return Predicate(self.name, "eq", str(self.levels[place]))
        return Predicate(self.name, "lt" if below else "ge", float(self.levels[place]))


@dataclass(frozen=True, slots=True)
class _Condition:
    """One condition with its counts, and how to mark its rows by their codes."""

    column: SliceColumn
    place: int
    below: bool
    matching: int
    rows: int

    @property
    def predicate(self) -> Predicate:
        return self.column.condition(self.place, below=self.below)

    def mask(self, codes: Ints) -> Bools:
        if not self.column.is_number:
            return np.asarray(codes == self.place)
        if self.below:
            return np.asarray(codes <= self.place)
        return np.asarray((codes > self.place) & (codes < self.column.size - 1))


def slice_columns(
    rows: pa.Table, texts: Sequence[str], numbers: Sequence[str] = ()
) -> list[SliceColumn]:
    """Sort the values of each column into places; columns that tell nothing apart are left out."""
    found = []
    for name in dict.fromkeys((*texts, *numbers)):
        if name not in rows.column_names:
            continue
        array = rows.column(name).combine_chunks()
        column = _texts(name, array) if name in texts else _number(name, array)
        if column is not None and np.count_nonzero(column.counts) > 1:
            found.append(column)
    return found


def _texts(name: str, array: pa.Array) -> SliceColumn | None:
    coded = shortened(coerce(array, "string")[0]).dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    levels = coded.dictionary.to_pylist()
    if len(levels) > LEVELS_MAX:
        return None
    codes = pc.fill_null(coded.indices, len(levels)).to_numpy(zero_copy_only=False)
    return SliceColumn(name, codes.astype(np.int64), levels, is_number=False)


def _number(name: str, array: pa.Array) -> SliceColumn | None:
    values = coerce(array, "double")[0].to_numpy(zero_copy_only=False).astype(np.float64)
    known = np.isfinite(values)
    if not known.any():
        return None
    edges = np.unique(np.quantile(values[known], np.arange(1, BINS) / BINS, method="inverted_cdf"))
    edges = edges[edges > values[known].min()]
    if not edges.size:
        return None
    codes = np.searchsorted(edges, values, side="right").astype(np.int64)
    codes[~known] = edges.size + 1
    return SliceColumn(name, codes, edges.tolist(), is_number=True)


def best_slice(
    columns: Sequence[SliceColumn],
    matching: Bools,
    expected: float,
    *,
    leave_out: Sequence[str] = (),
) -> Slice | None:
    """Find the slice that explains where matching rows sit."""
    asked = [one for one in columns if one.name not in leave_out]
    count, total = matching.size, int(matching.sum())
    if not asked or total - expected * count <= 0:
        return None
    excess = total - expected * count
    single = [
        condition
        for column in asked
        for condition in _conditions(
            column, np.bincount(column.codes[matching], minlength=column.size)
        )
        if condition.matching >= MIN_EXCESS * excess and condition.rows < count
    ]
    single.sort(key=lambda one: one.rows / count - one.matching / total)
    single = single[:CONDITIONS_MAX]
    judge = _Judge(count, total, expected, _tried(asked))
    ones = [judge.slice((one.predicate,), one.matching, one.rows) for one in single]
    twos = _pairs(single, matching, judge) if len(single) > 1 else []
    best: Slice | None = None
    for found, more in (
        ([one for one in ones if not one.has_number], 0.0),
        ([two for two in twos if not two.has_number], PAIR_GAIN),
        ([one for one in ones if one.has_number], NUMBER_GAIN),
        ([two for two in twos if two.has_number], NUMBER_GAIN),
    ):
        top = max(
            (one for one in found if judge.stands_out(one)), key=lambda one: one.gain, default=None
        )
        if top is not None and (best is None or top.gain >= best.gain + more):
            best = top
    return best


@dataclass(frozen=True, slots=True)
class _Judge:
    """Knows the whole, and so what a part of it is worth."""

    count: int
    total: int
    expected: float
    tried: int

    def slice(self, conditions: tuple[Predicate, ...], matching: int, rows: int) -> Slice:
        shares = measured(matching, rows, self.total, self.count, self.expected)
        return Slice(conditions, matching, rows, *shares)

    def stands_out(self, one: Slice) -> bool:
        """Whether a slice is large enough, holds enough, and cannot be chance."""
        if one.row_count < max(MIN_ROWS, MIN_SHARE * self.count):
            return False
        if one.share_of_excess < MIN_EXCESS:
            return False
        if one.share_of_matching < MIN_LIFT * one.share_of_rows:
            return False
        return self.is_news(one.matching_count, one.row_count, self.total, self.count)

    def is_news(self, matching: int, rows: int, total: int, count: int) -> bool:
        """Whether so many of the whole's matching rows in a part of this size cannot be chance."""
        # Chernoff's bound on that chance.
        evidence = total * _divergence(matching / total, rows / count)
        return evidence >= math.log(self.tried / FALSE_SLICE)


def measured(
    matching: int, rows: int, total: int, count: int, expected: float
) -> tuple[float, float, float]:
    """Return a slice's shares of the matching rows, of all rows and of the excess, each 0-1.

    Parameters
    ----------
    matching, rows
        Matching rows in the slice, and all.
    total, count
        The same of the whole, in which more rows are matching than expected.
    expected
        Share that would be matching without a fault.
    """
    excess = (matching - expected * rows) / (total - expected * count)
    return matching / total, rows / count, min(max(excess, 0.0), 1.0)


def _divergence(found: float, expected: float) -> float:
    """Kullback-Leibler divergence of two shares in nats; `expected` lies between 0 and 1."""
    held = found * math.log(found / expected) if found else 0.0
    left = (1 - found) * math.log((1 - found) / (1 - expected)) if found < 1 else 0.0
    return held + left


def _tried(columns: Sequence[SliceColumn]) -> int:
    """Count the slices of one and two conditions that there are."""
    sizes = [2 * len(column.levels) if column.is_number else column.size for column in columns]
    whole = sum(sizes)
    return whole + (whole**2 - sum(size**2 for size in sizes)) // 2


def _conditions(column: SliceColumn, matching: Ints) -> Iterator[_Condition]:
    """Return all conditions on one column, with their counts."""
    counts = column.counts
    if not column.is_number:
        for place in np.flatnonzero(matching).tolist():
            yield _Condition(
                column, place, below=False, matching=int(matching[place]), rows=int(counts[place])
            )
        return
    below, all_below = np.cumsum(matching[:-1]), np.cumsum(counts[:-1])
    for place in range(len(column.levels)):
        held, rows = int(below[place]), int(all_below[place])
        yield _Condition(column, place, below=True, matching=held, rows=rows)
        yield _Condition(
            column,
            place,
            below=False,
            matching=int(below[-1]) - held,
            rows=int(all_below[-1]) - rows,
        )


def _pairs(single: Sequence[_Condition], matching: Bools, judge: _Judge) -> list[Slice]:
    """Count every two conditions at once."""
    masks = np.stack([one.mask(one.column.codes) for one in single]).astype(np.float32)
    held = masks[:, matching]
    # Whole numbers below 2**24 are exact in this type.
    rows, bad = masks @ masks.T, held @ held.T
    least = MIN_EXCESS * (judge.total - judge.expected * judge.count)
    found = []
    for first, second in zip(*np.nonzero(np.triu(bad >= max(least, 1), 1)), strict=True):
        one, two = single[first], single[second]
        count, held_count = int(rows[first, second]), int(bad[first, second])
        if count in (one.rows, two.rows):  # One of them says it all.
            continue
        # Each must say something of the other's matching rows.
        if not all(
            judge.is_news(held_count, count, part.matching, part.rows) for part in (one, two)
        ):
            continue
        ordered = sorted((one, two), key=lambda each: (each.column.is_number, each.column.name))
        conditions = tuple(each.predicate for each in ordered)
        found.append(judge.slice(conditions, held_count, count))
    return found
