"""Finds a feature that is constant in one segment while it varies elsewhere.

A station or client may repeat its last value for good. Rows of one time still hold several values,
so no run shows it (docs/why/drift-test.md). Shapes: n rows, M columns of numbers, L levels, D days
or hours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US, event_times
from driftline.baseline.cells import Cells
from driftline.baseline.lengths import no_counts
from driftline.baseline.predicate import Predicate, number_text
from driftline.baseline.sample import RowSample
from driftline.baseline.times import run_starts
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.results.violation import Draft, percent

# Of so many sampled rows, fewer of wide tables, levels of at least so many are looked at, of so
# many columns.
SAMPLED_ROWS, SAMPLED_CELLS, FEWEST_ROWS = 8_192, 1 << 20, 1_024
LEAST_ROWS = 30
MOST_LEVELS, MOST_COLUMNS = 64, 32
# In no block of the reference, of which there are so many, with so many sampled rows of the level
# each, lay more than this share of them in one cell.
LEAST_BLOCKS, LEAST_SAMPLED = 8, 5
USUAL_SHARE = 0.5
# Of the level's columns that vary in the reference at most this share may stand still: where more
# do, its rows are few and of one time.
FROZEN_SHARE = 0.25
# The level's rows lie in so many of the window's days that have rows, or hours if it has one day.
LIVE_SHARE = 0.5
DAY_H = 24


@dataclass(frozen=True, slots=True)
class Frozen:
    """A column that has one value in all rows of a level."""

    column: str
    segment: Predicate
    value: float
    usual: float  # The largest share of the level's rows in one cell in a block, 0-1.


def frozen_drafts(
    sample: pa.Table,
    context: CheckContext,
    event_time: str,
    span_h: float,
    skip: Collection[str],
    *,
    seasoned: Collection[str],
) -> list[Draft]:
    """Return a draft for each column that is constant in a segment; at most one segment a column.

    Suspects of the sample are counted in a second reading. Columns that are not seasoned may stay
    at an end of their range for a season, as heating does in summer.
    """
    known, cells = context.baseline.sample, context.baseline.cells
    if known is None or known.hours is None:
        return []
    limit = min(SAMPLED_ROWS, max(SAMPLED_CELLS // max(sample.num_columns, 1), FEWEST_ROWS))
    stride = max(-(-sample.num_rows // limit), 1)
    rows = sample.take(pa.array(np.arange(0, sample.num_rows, stride)))
    suspects = [
        one
        for one in _suspects(rows, cells, known, span_h, skip)
        if one.column in seasoned or not _is_end(one.value, cells[one.column])
    ]
    if not suspects:
        return []
    read = {event_time, *(name for one in suspects for name in (one.column, one.segment.column))}
    counters = context.rows.gather(
        partial(LevelCounters.start, suspects, event_time), sorted(read)
    ).counters
    drafts: dict[str, tuple[int, Draft]] = {}
    for one, found in zip(suspects, counters, strict=True):
        if found.is_frozen and found.numbers > drafts.get(one.column, (0,))[0]:
            drafts[one.column] = (found.numbers, _draft(one, found.numbers))
    return [draft for _, draft in drafts.values()]


def _is_end(value: float, cells: Cells) -> bool:
    return value in (cells.minimum, cells.maximum)


def _suspects(
    rows: pa.Table,
    cells: Mapping[str, Cells],
    known: RowSample,
    span_h: float,
    skip: Collection[str],
) -> Iterator[Frozen]:
    names = [
        name
        for name in rows.column_names
        if name in cells and cells[name].is_number and name in known.codes and name not in skip
    ]
    texts = [
        name
        for name in rows.column_names
        if name in cells and name in known.codes and 2 <= len(cells[name].levels) <= MOST_LEVELS
    ]
    if not names or not rows.num_rows or known.hours is None:
        return
    numbers = (coerce(rows.column(name), "double")[0] for name in names)
    matrix = np.stack([one.to_numpy(zero_copy_only=False) for one in numbers], axis=1)
    blocks = known.hours // max(round(span_h), 1)
    is_alive = np.fmin.reduce(matrix, axis=0) < np.fmax.reduce(matrix, axis=0)
    for text in texts[:MOST_COLUMNS]:
        for level, lows, highs in _by_level(cells[text].assign(_whole(rows, text)), matrix):
            if level >= len(cells[text].levels):
                continue
            still = np.flatnonzero((lows == highs) & is_alive)
            if not len(still):
                continue
            inside = np.flatnonzero(known.codes[text] == level)
            frozen = {}
            for at in still:
                usual = _usual(known.codes[names[at]][inside], blocks[inside])
                if usual <= USUAL_SHARE:
                    frozen[at] = usual
            if not frozen:
                continue
            shares = (_usual(known.codes[name][inside], blocks[inside]) for name in names)
            lively = sum(share <= USUAL_SHARE for share in shares)
            # Of two or three columns one may, while another one lives on.
            if len(frozen) <= max(FROZEN_SHARE * lively, min(lively - 1, 1)):
                segment = Predicate(text, "eq", cells[text].levels[level])
                for at, usual in frozen.items():
                    yield Frozen(names[at], segment, float(lows[at]), usual)


def _whole(rows: pa.Table, name: str) -> pa.Array:
    return rows.column(name).combine_chunks()


def _by_level(
    codes: NDArray[np.int64], matrix: NDArray[np.float64]
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Return each frequent level with the smallest and largest number of each column, (M,) each."""
    order = np.argsort(codes, kind="stable")
    starts = run_starts(codes[order])
    counts = np.diff(np.append(starts, len(order)))
    ordered = matrix[order]
    lows = np.fmin.reduceat(ordered, starts, axis=0)
    highs = np.fmax.reduceat(ordered, starts, axis=0)
    for at in np.flatnonzero(counts >= LEAST_ROWS):
        yield int(codes[order][starts[at]]), lows[at], highs[at]


def _usual(codes: NDArray[np.unsignedinteger], blocks: NDArray[np.int64]) -> float:
    """Return the largest share of a block's rows in one cell; 1 for few blocks."""
    if not len(codes) or codes.min() == codes.max():
        return 1.0
    _, places, rows = np.unique(blocks, return_inverse=True, return_counts=True)
    enough = rows >= LEAST_SAMPLED
    if np.count_nonzero(enough) < LEAST_BLOCKS:
        return 1.0
    size = int(codes.max()) + 1
    table = np.bincount(places * size + codes, minlength=len(rows) * size).reshape(-1, size)
    return float((table.max(axis=1) / rows)[enough].max())


@dataclass(slots=True, eq=False)
class LevelCounters:
    """A counter for each suspect."""

    counters: list[LevelCounter]

    @classmethod
    def start(cls, suspects: Sequence[Frozen], event_time: str) -> LevelCounters:
        """Begin without rows."""
        return cls([LevelCounter(one.column, one.segment, event_time) for one in suspects])

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        for one in self.counters:
            one.update(batch)

    def merge(self, other: LevelCounters) -> LevelCounters:
        """Return the counters of the rows of both; neither input changes."""
        pairs = zip(self.counters, other.counters, strict=True)
        return LevelCounters([one.merge(two) for one, two in pairs])


@dataclass(slots=True, eq=False)
class LevelCounter:
    """Values of a column in a segment, and the times of the segment's rows."""

    column: str
    segment: Predicate
    event_time: str
    numbers: int = 0
    low: float = np.inf
    high: float = -np.inf
    hours: np.ndarray = field(default_factory=no_counts)  # Since 1970, with rows of the segment.
    all_hours: np.ndarray = field(default_factory=no_counts)  # With rows of any.

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        _, times_us = event_times(batch.column(self.event_time))
        inside = batch.filter(self.segment.mask(batch))
        numbers = coerce(inside.column(self.column), "double")[0].drop_null().to_numpy()
        numbers = numbers[np.isfinite(numbers)]
        part = replace(
            self,
            numbers=len(numbers),
            low=float(numbers.min(initial=np.inf)),
            high=float(numbers.max(initial=-np.inf)),
            hours=np.unique(event_times(inside.column(self.event_time))[1] // HOUR_US),
            all_hours=np.unique(times_us // HOUR_US),
        )
        merged = self.merge(part)
        self.numbers, self.low, self.high = merged.numbers, merged.low, merged.high
        self.hours, self.all_hours = merged.hours, merged.all_hours

    def merge(self, other: LevelCounter) -> LevelCounter:
        """Return the counter of the rows of both; neither input changes."""
        return replace(
            self,
            numbers=self.numbers + other.numbers,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            hours=np.union1d(self.hours, other.hours),
            all_hours=np.union1d(self.all_hours, other.all_hours),
        )

    @property
    def is_frozen(self) -> bool:
        """Whether the segment's rows have one value, over most of the window."""
        days, all_days = np.unique(self.hours // DAY_H), np.unique(self.all_hours // DAY_H)
        if len(all_days) < 2:
            days, all_days = self.hours, self.all_hours
        return (
            self.numbers >= LEAST_ROWS
            and self.low == self.high
            and len(days) >= LIVE_SHARE * len(all_days)
        )


def _draft(one: Frozen, count: int) -> Draft:
    what = (
        f"always {number_text(one.value)} in {count:,} rows where {one.segment} "
        f"(reference: at most {percent(one.usual)} of them alike)"
    )
    return Draft(
        feature=one.column,
        check="constant_check",
        description=f"Values stand still in a segment: {what}.",
        what=what,
        predicate=replace(Predicate(one.column, "eq", one.value), within=one.segment),
        severity="ticket",
    )
