"""Exchanged columns: each has the values of the other in the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import BlockCounts, seasoned
from driftline.baseline.cells import Cells
from driftline.baseline.texts import counted_texts
from driftline.monitors.results.violation import Fault, Segment
from driftline.monitors.root_cause.faults.context import MIN_VALUES, FaultContext
from driftline.monitors.root_cause.segment_counts import reference_rows

KIND = "columns_exchanged"
# More columns are not laid beside each other.
COLUMNS_MAX = 40
# Days before and after a window that are the same season in other years.
REACH_DAYS = 15.0
VALUES = "each has the values that the other had"
# The other column's distribution must fit so many times better (total variation), both ways.
BETTER = 0.6
# Of numbers that are one turned round, such as a share and its rest, either may have moved.
MIRRORED = -0.9
# Levels of a flag.
FLAG = 2
# Of texts of one pair of columns, read the other way round: chance of a false name.
FALSE_NAME = 1e-5
LEAST_NATS = 12.0
# Turned over, texts fit so well beside how the reference's own would; of two levels, of which only
# shares are seen, nearly as well.
FITS, FLAGS_FIT = 0.5, 0.8


def exchanged(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Test pairs of violated columns, texts also row by row."""
    for is_number in (True, False):
        names = context.broken(is_number=is_number)[:COLUMNS_MAX]
        # Two shares of a flag are too little to tell a column by.
        able = [name for name in names if is_number or len(context.cells(name).levels) > FLAG]
        values = {name: _Values.of(context, name) for name in able}
        apart = {name: _distance(context, values[name], name) for name in able}
        for one, other in combinations(able, 2):
            if _fit_each_other(context, values, apart, (one, other)) and not (
                is_number and _is_mirrored(context, one, other)
            ):
                yield from _pair(one, other, VALUES)
        if not is_number and context.sample is not None:
            yield from _row_by_row(context, names)


def exchanged_order(
    context: FaultContext, pair: Sequence[str], blocks: BlockCounts | None, hours: np.ndarray
) -> Fault | None:
    """Test two numeric columns in reversed order for an exchange, violated or not.

    Over a year, dew points reach a winter's temperatures. So where the reference has seen all
    seasons, its same hours are the comparison.
    """
    one, other = sorted(pair)
    if not {one, other} <= set(context.known(is_number=True)):
        return None
    for name in pair if set(pair) <= seasoned(blocks) else ():
        assert blocks is not None
        counts = blocks.season(name, hours, REACH_DAYS)
        if counts is not None and counts.any():
            usual = replace(context.references[name], counts=counts.astype(np.float64))
            context = replace(context, references={**context.references, name: usual})
    values = {name: _Values.of(context, name) for name in pair}
    apart = {name: _distance(context, values[name], name) for name in pair}
    if not _fit_each_other(context, values, apart, (one, other)):
        return None
    return next(fault for _, fault in _pair(one, other, VALUES))


def are_exchanged_beside(context: FaultContext, pair: Sequence[str], segment: Segment) -> bool:
    """Whether two columns look exchanged beside a segment, too.

    Values from another column may all lie where they came from.
    """
    masks = [reference_rows(one, context.all_cells, context.sample) for one in segment.conditions]
    known = [one for one in masks if one is not None]
    if context.sample is None or len(known) < len(masks):
        return False
    inside = [one.mask(context.rows).to_numpy(zero_copy_only=False) for one in segment.conditions]
    rows = context.rows.filter(pa.array(~np.logical_and.reduce(inside)))
    sample = context.sample.take(np.flatnonzero(~np.logical_and.reduce(known)))
    if not {*pair} <= {*rows.column_names} & {*sample.codes}:
        return False
    references = dict(context.references)
    for name in pair:
        counts = np.bincount(sample.codes[name], minlength=context.cells(name).size)
        references[name] = replace(references[name], counts=counts.astype(np.float64))
    part = replace(context, rows=rows, sample=sample, references=references, _places={})
    values = {name: _Values.of(part, name) for name in pair}
    apart = {name: _distance(part, values[name], name) for name in pair}
    one, other = pair
    return (
        _fit_each_other(part, values, apart, (one, other))
        or _turned_over(part, one, other) > LEAST_NATS
    )


def _fit_each_other(
    context: FaultContext,
    values: Mapping[str, _Values],
    apart: Mapping[str, float],
    pair: tuple[str, str],
) -> bool:
    """Whether each column lies far nearer to the other's reference than to its own."""
    return all(
        _distance(context, values[name], place) < BETTER * apart[name]
        for name, place in (pair, pair[::-1])
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """A column's values, sorted or counted once."""

    numbers: np.ndarray
    texts: pa.Array
    often: np.ndarray

    @classmethod
    def of(cls, context: FaultContext, name: str) -> _Values:
        if context.cells(name).is_number:
            # Whatever the column's type: fractions among whole numbers are the other one's.
            numbers = np.sort(context.numbers(name))
            return cls(numbers, pa.array([], pa.string()), np.zeros(0))
        return cls(np.zeros(0), *counted_texts(context.texts(name)))


def _pair(one: str, other: str, why: str) -> Iterator[tuple[str, Fault]]:
    """Yield the fault for both columns, each naming the other."""
    text = "{} and {} look exchanged: {} in the reference"
    for name in (one, other):
        yield name, Fault(KIND, text.format(one, other, why), (one, other))


def _distance(context: FaultContext, values: _Values, place: str) -> float:
    """Return the total variation of values from a column's reference, by cell; 1 for too few."""
    reference = context.references[place]
    cells, known = reference.cells, reference.counts[:-2]
    if cells.is_number:
        counts = cells.count_sorted(values.numbers, values.numbers.size, 0)[:-2]
    else:
        counts = cells.count_texts(values.texts, values.often, int(values.often.sum()), 0)[:-2]
    if counts.sum() < MIN_VALUES or known.sum() < MIN_VALUES:
        return 1.0
    return float(0.5 * np.abs(counts / counts.sum() - known / known.sum()).sum())


def _is_mirrored(context: FaultContext, one: str, other: str) -> bool:
    """Whether the higher one column's cell is in the reference, the lower is the other's."""
    codes = {} if context.sample is None else context.sample.codes
    if one not in codes or other not in codes:
        return False
    known = (codes[one] < context.cells(one).size - 2) & (
        codes[other] < context.cells(other).size - 2
    )
    first, second = (codes[name][known].astype(np.float64) for name in (one, other))
    if len(first) < MIN_VALUES or not (np.ptp(first) and np.ptp(second)):
        return False
    return bool(np.corrcoef(first, second)[0, 1] < MIRRORED)


def _row_by_row(context: FaultContext, broken: list[str]) -> Iterator[tuple[str, Fault]]:
    """Test pairs of texts for an exchange by a likelihood ratio over the window's rows.

    Two columns with the same levels in the same shares look alike in total, but not row by row.
    """
    assert context.sample is not None
    codes = context.sample.codes
    texts = [name for name in context.known(is_number=False) if name in codes][:COLUMNS_MAX]
    pairs = [
        (one, other) for one, other in combinations(texts, 2) if one in broken or other in broken
    ]
    for one, other in pairs:
        nats = _turned_over(context, one, other) / context.effect(one, other)
        if nats > max(LEAST_NATS, math.log(len(pairs) / FALSE_NAME)):
            yield from _pair(one, other, "row by row, each has what the other had")


def _turned_over(context: FaultContext, one: str, other: str) -> float:
    """Return how many nats better the window's pairs fit the transposed reference table."""
    assert context.sample is not None
    first, second = context.cells(one), context.cells(other)
    common = [level for level in first.levels if level in second.levels]
    if len(common) < 2 or len(context.rows) < MIN_VALUES:
        return 0.0
    size = len(common) + 1
    places = [_places(cells, common) for cells in (first, second)]
    codes = context.sample.codes
    known = np.full((size, size), 0.5)
    np.add.at(known, (places[0][codes[one]], places[1][codes[other]]), 1)
    window = np.zeros((size, size))
    found = [where[context.places(name)] for name, where in zip((one, other), places, strict=True)]
    np.add.at(window, tuple(found), 1)
    ratio = np.log(known.T) - np.log(known)
    # What is in either column alone says nothing of the order.
    ratio[-1, :] = ratio[:, -1] = 0.0
    inside, before = window[:-1, :-1], known[:-1, :-1] / known[:-1, :-1].sum()
    nats = float((window * ratio).sum())
    full = inside.sum() * float((before.T * ratio[:-1, :-1]).sum())
    fits = FITS if len(common) > FLAG else FLAGS_FIT
    return nats if nats >= fits * full else 0.0  # They must fit well, not only better.


def _places(cells: Cells, common: list[str]) -> np.ndarray:
    """Return the place of each cell among the common levels, the last for all others."""
    place = {level: at for at, level in enumerate(common)}
    others = [len(common)] * (cells.size - len(cells.levels))
    return np.array([*(place.get(level, len(common)) for level in cells.levels), *others])
