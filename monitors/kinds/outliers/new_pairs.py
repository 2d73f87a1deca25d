"""Whether values that each are known come together that never, or hardly ever, did.

A row with such a pair is as odd as one in as many rows as the sample has, which alone makes no
outlier. Of all rows they are judged by each pair of columns: how many a window may have follows
from the pairs that came once, and from those that only one of the reference's days had. A pair
counts as never seen where the values are frequent enough that chance would have brought them
together; otherwise a value that grows brings what was too rare to be seen. A pair that came a few
times, at most a fiftieth of what independent values would have, counts as new, too: one faulty row
of the reference hides no fault. Of pairs that came at most k times a sample as large is expected
to have as many rows as the reference has of pairs that came 1 to k + 1 times.

References
----------
Good, Biometrika 40, 1953 (unseen values, and those seen k times); docs/reference/statistics.md,
"Unseen values".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.predicate import Predicate
from driftline.baseline.sample import RowSample
from driftline.monitors.drift_test.significance import MIN_ROWS, likelihood_ratio, unseen_share
from driftline.monitors.kinds.outliers.levels import LevelTerms
from driftline.monitors.results.metric import MetricResult, too_variable
from driftline.monitors.results.unusable import BUDGET_SHARE, most_of_blocks
from driftline.monitors.results.violation import Violation, percent, plural
from driftline.stats.blocks import MINIMUM_BLOCKS

METRIC = "new_pair_share"
CHECK, ABOVE = "new_pair_check", "GreaterThanThreshold"
# Rows of the sample that a pair of independent values would have: none is unseen by chance then.
LEAST_EXPECTED = 10.0
# A pair that came so often at most, and in at most this share of those rows, hardly ever came.
FEW_ROWS, FEW_SHARE = 5, 0.02
# Of more columns the first are looked at: 496 pairs of columns.
MOST_COLUMNS = 32
# New pairs in fewer rows than these matter to nobody.
TOLERANCE = 0.005
# Without times, stretches of the rows in their order stand for days.
STRETCHES = 50
DAY = timedelta(days=1)
NAMED = 3
BISECTIONS = 40


@dataclass(frozen=True, eq=False)
class PairTable:
    """Two columns of a reference's sample, and which of their values hardly ever came together."""

    first: LevelTerms
    second: LevelTerms
    is_new: NDArray[np.bool_]  # By cell of the one and the other, shape (cells, cells).
    rows: int
    seen: dict[int, int]  # Rows with a pair that is new all the same, by its place, if any.
    expected: int  # Rows with new pairs to be expected among as many others.
    # Rows of each block, and those with pairs that would be new beside the other blocks alone.
    blocks: Sequence[tuple[int, int]]

    @property
    def columns(self) -> tuple[str, str]:
        """The two columns."""
        return self.first.column, self.second.column

    @property
    def name(self) -> str:
        """The columns in words."""
        return f"{self.first.column} & {self.second.column}"

    def predicate(self, place: int) -> Predicate:
        """Return the condition that rows with a pair of values meet."""
        first, second = divmod(place, self.is_new.shape[1])
        within = Predicate(self.second.column, "eq", self.second.cells.levels[second])
        return Predicate(self.first.column, "eq", self.first.cells.levels[first], within=within)


@dataclass(slots=True)
class NewPairs:
    """Counts over some rows; grows by `update`, adds up by `merge`."""

    tables: Sequence[PairTable] = ()
    # By the two columns, whose names may hold anything: rows where both came.
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    # By the two columns, and place in their table: rows with that pair, which is new.
    counts: dict[tuple[str, str], Counter[int]] = field(default_factory=dict)

    def update(self, batch: pa.RecordBatch) -> None:
        """Look at rows."""
        codes: dict[str, NDArray[np.int64]] = {}
        for one in self.tables:
            for side in (one.first, one.second):
                if side.column in batch.schema.names and side.column not in codes:
                    codes[side.column] = side.codes(batch)
            if one.first.column not in codes or one.second.column not in codes:
                continue
            flat = codes[one.first.column] * one.is_new.shape[1] + codes[one.second.column]
            found, counts = np.unique(flat[one.is_new.ravel()[flat]], return_counts=True)
            self.rows[one.columns] += batch.num_rows
            new = dict(zip(found.tolist(), counts.tolist(), strict=True))
            self.counts.setdefault(one.columns, Counter()).update(new)

    def merge(self, other: NewPairs) -> NewPairs:
        """Return what is known of the rows of both."""
        names = {**self.counts, **other.counts}
        counts = {
            name: self.counts.get(name, Counter()) + other.counts.get(name, Counter())
            for name in names
        }
        return NewPairs(self.tables, self.rows + other.rows, counts)


def pair_tables(
    sample: RowSample, levels: Sequence[LevelTerms], length: timedelta | None
) -> tuple[PairTable, ...]:
    """Learn which values hardly ever come together; of columns where that says anything."""
    block, order = _blocks(sample, length)
    columns = [one for one in levels if len(one.cells.levels) > 1][:MOST_COLUMNS]
    codes = {one.column: sample.codes[one.column][order].astype(np.int64) for one in columns}
    sizes = np.bincount(block).tolist()
    found = []
    for first, second in combinations(columns, 2):
        shape = first.cells.size, second.cells.size
        flat = codes[first.column] * shape[1] + codes[second.column]
        counts = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
        expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / len(flat)
        expected[len(first.cells.levels) :] = 0.0
        expected[:, len(second.cells.levels) :] = 0.0
        usual = np.flatnonzero(expected >= LEAST_EXPECTED)
        few = np.minimum(FEW_ROWS, expected.ravel()[usual] * FEW_SHARE).astype(int)
        held = counts.ravel()[usual]
        new = usual[held <= few]
        if not len(new):
            continue
        is_new = np.zeros(counts.size, np.bool_)
        is_new[new] = True
        # Of a pair that is new beside the other blocks, all but a few rows are in one.
        near = held <= few + max(sizes)
        at = np.full(counts.size, -1)
        at[usual[near]] = np.arange(np.count_nonzero(near))
        known = at[flat] >= 0
        places = at[flat[known]] * len(sizes) + block[known]
        own = np.bincount(places, minlength=np.count_nonzero(near) * len(sizes))
        own = own.reshape(-1, len(sizes))
        is_single = held[near, None] - own <= few[near, None]
        single = np.where(is_single, own, 0).sum(axis=0).tolist()
        seen = {place: count for place in new.tolist() if (count := int(counts.flat[place]))}
        rows = int(held[held <= few + 1].sum())
        blocks = list(zip(sizes, single, strict=True))
        found.append(PairTable(first, second, is_new.reshape(shape), len(flat), seen, rows, blocks))
    return tuple(found)


def _blocks(
    sample: RowSample, length: timedelta | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the block of each row in order of the blocks, and the rows in that order."""
    rows, hours = len(sample), sample.hours
    if hours is not None and (hours != UNKNOWN_HOUR).all():
        long = round(max(length or DAY, DAY) / timedelta(hours=1))
        order = np.argsort(hours, kind="stable")
        _, block = np.unique(hours[order] // long, return_inverse=True)
        if block[-1] + 1 >= MINIMUM_BLOCKS:
            return block, order
    return np.arange(rows) * STRETCHES // rows, np.arange(rows)


def judge_pairs(
    found: NewPairs, alpha: float, cluster: float
) -> tuple[MetricResult, Violation | None] | None:
    """Judge the pair of columns whose new pairs say most; None where nothing can be judged.

    Next to nothing of a window's budget is spent, shared by all pairs of columns. Rows that come in
    groups count as so many fewer, on both sides.
    """
    judged = [one for one in found.tables if found.rows[one.columns] >= MIN_ROWS]
    if not judged:
        return None
    level = alpha * BUDGET_SHARE / len(judged)
    needed = math.log(2.0 / level)
    told = [_Told(one, found, level, cluster) for one in judged]
    most = max(told, key=lambda one: (one.nats, one.share))
    violation = None
    if most.nats > needed:
        others = sum(one.nats > needed for one in told) - 1
        violation = _violation(most, found.counts[most.table.columns], needed, others)
    result = MetricResult(
        name=METRIC,
        value=most.share,
        reference=most.table.expected / most.table.rows,
        label=most.table.name if most.count else "",
        bound=most.bound(needed),
        operator=ABOVE,
        p_value=min(1.0, 2.0 * math.exp(-most.nats)),
        count=most.rows,
        severity="ticket" if violation is not None else None,
    )
    if most.weigh(1.0) <= needed:  # Nothing could be a violation.
        note = too_variable(most.rows, lambda more: most.weigh(1.0, more) > needed)
        result = replace(result, bound=None, operator="", p_value=None, note=note)
    return result, violation


class _Told:
    """What a window says of one pair of columns."""

    def __init__(self, table: PairTable, found: NewPairs, level: float, cluster: float) -> None:
        self.table, self.cluster = table, cluster
        self.rows = found.rows[table.columns]
        self.count = found.counts[table.columns].total()
        self.share = self.count / self.rows
        usual = max(
            float(unseen_share(table.expected, table.rows)), most_of_blocks(table.blocks, level)
        )
        self.usual = min(usual, 1.0)
        self.nats = self.weigh(self.share)

    def weigh(self, share: float, more: float = 1.0) -> float:
        """Return the evidence that such a share of `more` times the rows would be, in nats."""
        if share <= self.usual:
            return 0.0
        known, rows = self.table.rows / self.cluster, self.rows * more / self.cluster
        usual, own = np.array([self.usual]), np.array([share])
        return float(likelihood_ratio(usual, known, own, rows, tolerance=TOLERANCE)[0])

    def bound(self, needed: float) -> float:
        """Return the share at which a violation begins."""
        return least_share(self.weigh, self.usual, needed)


def least_share(weigh: Callable[[float], float], low: float, needed: float) -> float:
    """Find the share at which the evidence is what a violation needs, where all rows are enough."""
    high = 1.0
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if weigh(middle) > needed else (middle, high)
    return low


def _violation(told: _Told, counts: Counter[int], needed: float, others: int) -> Violation:
    """Name the pairs of values, and find the rows of the most frequent one."""
    table, bound = told.table, told.bound(needed)
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    there = {place: f", {count}x in the reference" for place, count in table.seen.items()}
    named = ", ".join(
        f"{table.predicate(place)} ({count:,}x{there.get(place, '')})"
        for place, count in ranked[:NAMED]
    )
    ever = "hardly ever" if table.seen.keys() & counts.keys() else "never"
    more = f" and {len(ranked) - NAMED} more" * (len(ranked) > NAMED)
    also = f"; also in {plural(others, 'more pair')} of columns" * bool(others)
    return Violation(
        feature_name=table.name,
        constraint_check_type=CHECK,
        description=f"Share of new pairs {told.share!r} exceeds threshold {round(bound, 6)!r}",
        severity="ticket",
        ratio=told.share / bound,
        predicate=table.predicate(ranked[0][0]),
        row_count=ranked[0][1],
        cause=f"{percent(told.share)} of rows hold known values that {ever} came together in "
        f"{table.rows:,} rows of the reference: {named}{more}{also}",
    )
