"""Compares selected rows with the others: every column ranked, and the segment that holds them.

Any rows may be selected. The search for root causes finds the segment, with the other rows in the
reference's place.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.predicate import Predicate
from driftline.baseline.sample import RowSample
from driftline.baseline.store import Baseline
from driftline.monitors.report.comparison import Comparison, compare
from driftline.monitors.root_cause.contributors import Target
from driftline.monitors.root_cause.row_sample import (
    CodedColumn,
    CodedRows,
    SegmentColumn,
    WindowSample,
)
from driftline.monitors.root_cause.segments import SegmentFinding, find_segments
from driftline.stats.association import associate
from driftline.stats.multiple_testing import holm_levels

# Of all columns together, the chance that one is said to differ that does not, rows independent.
FALSE_ALARM = 0.01
ROWS_LISTED = 50
LEVELS_DRAWN = 12
ABSENT = 2  # The last places of a column: what is empty, and what is unfit.
_SELECTION = Predicate("\0selected", "eq", 1.0)

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """One column of the selected rows compared with the others.

    ``effect`` is the corrected Cramér's V, 0-1; ``differs``: by more than chance, by Holm's steps
    over all columns. Shares have shape (labels,), 0-1. ``is_selecting``: the rows were selected by
    this column, so it differs anyway, as does an output that ``follows`` from another.
    """

    column: str
    effect: float
    p_value: float
    labels: tuple[str, ...]
    selected: np.ndarray
    others: np.ndarray
    is_number: bool
    is_selecting: bool
    differs: bool = False
    follows: bool = False

    @property
    def apart(self) -> float:
        """The largest difference of a share, by which non-significant columns are ranked."""
        return float(np.abs(self.selected - self.others).max(initial=0.0))


@dataclass(frozen=True, slots=True)
class Explained:
    """What tells selected rows from the others.

    Counts are of the rows read; ``compared`` of them are compared. ``is_cut``: time ran out first.
    ``listed`` holds the first of the selected rows.
    """

    selected_count: int
    row_count: int
    compared: int
    is_cut: bool
    columns: tuple[ColumnDifference, ...]
    place: SegmentFinding
    listed: pa.Table


def explain(
    parts: Iterable[tuple[bool, Iterable[pa.RecordBatch]]],
    where: Sequence[Predicate],
    baseline: Baseline,
    *,
    within_s: float,
) -> Explained:
    """Compare rows that meet all conditions with the others, for at most about `within_s` seconds.

    Each part says whether the selected rows are among its rows; else all its rows are others.
    Without conditions, all rows of such parts are selected.
    """
    columns = [
        SegmentColumn(column.name, baseline.cells[column.name])
        for column in baseline.signature.columns
        if column.name in baseline.cells
    ]
    sample, end = WindowSample.start(columns, (), None), time.monotonic() + within_s
    selected, total, is_cut = 0, 0, False
    listed: list[pa.Table] = []
    for is_theirs, batches in parts:
        for batch in batches:
            if is_cut := time.monotonic() > end:
                break
            mask = np.full(batch.num_rows, is_theirs)
            for condition in where if is_theirs else ():
                mask &= condition.mask(batch).to_numpy(zero_copy_only=False)
            if selected < ROWS_LISTED and mask.any():
                rows = pa.Table.from_batches([batch]).filter(pa.array(mask))
                listed.append(rows.slice(0, ROWS_LISTED - selected))
            selected, total = selected + int(mask.sum()), total + batch.num_rows
            sample.update(batch, [mask])
        if is_cut:
            break
    table = pa.concat_tables(listed, promote_options="permissive") if listed else pa.table({})
    if not 0 < selected < total:
        return Explained(selected, total, 0, is_cut, (), SegmentFinding(), table)
    profiles = baseline.profile.columns if baseline.profile is not None else {}
    coded = sample.coded(baseline.sample, profiles)
    (mask,) = coded.matching
    chosen = {name for condition in where for name in condition.columns}
    differences = _differences(coded.columns, mask, baseline, chosen)
    inputs = {one.name for one in baseline.signature.inputs} - chosen
    place = _place([one for one in coded.columns if one.name in inputs], mask)
    return Explained(selected, total, coded.row_count, is_cut, differences, place, table)


def _differences(
    columns: Sequence[CodedColumn], mask: Bools, baseline: Baseline, chosen: set[str]
) -> tuple[ColumnDifference, ...]:
    """Rank the columns, the most different first; selecting ones last."""
    # A prediction is made of the probability: whoever selects by one selects by the other.
    outputs = {one.name for one in baseline.signature.outputs}
    following = outputs - chosen if outputs & chosen else set[str]()
    found = []
    for column in columns:
        counts = [
            np.bincount(column.codes[side], minlength=column.home.size) for side in (mask, ~mask)
        ]
        ordered = column.home.size - ABSENT if column.is_number else 0
        tested = associate(*counts, ordered=ordered)
        labels, selected, others = _drawn(column, counts, baseline)
        found.append(
            ColumnDifference(
                column.name, tested.effect, tested.p_value, labels, selected, others,
                column.is_number, column.name in chosen, follows=column.name in following,
            )
        )  # fmt: skip
    ranked = [one for one in found if not (one.is_selecting or one.follows)]
    levels = holm_levels([one.p_value for one in ranked], FALSE_ALARM)
    ranked = [
        replace(one, differs=one.p_value < level) for one, level in zip(ranked, levels, strict=True)
    ]
    ranked.sort(key=lambda one: (not one.differs, -one.effect, -one.apart, one.column))
    return (*ranked, *(one for one in found if one.is_selecting or one.follows))


def _drawn(
    column: CodedColumn, counts: Sequence[Ints], baseline: Baseline
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return labels and shares of both sides, joined into few bars."""
    selected, others = counts
    if column.is_number:
        found: Comparison = compare(baseline.cells[column.name], others, selected)
        return found.labels, found.window, found.reference
    names = {int(low): one for low, one in zip(column.low, column.conditions, strict=True)}
    shares = [side / max(1, side.sum()) for side in counts]
    order = np.argsort(-np.maximum(*shares), kind="stable")
    kept = [at for at in order.tolist() if at in names and selected[at] + others[at]]
    kept = kept[:LEVELS_DRAWN]
    labels = [str(names[at].value) if names[at].op == "eq" else names[at].phrase for at in kept]
    sides = [side[kept] for side in shares]
    rest = [1.0 - float(side.sum()) for side in sides]
    if max(rest) > 1e-9:
        labels.append("others")
        sides = [np.append(side, max(0.0, left)) for side, left in zip(sides, rest, strict=True)]
    return tuple(labels), sides[0], sides[1]


def _place(columns: Sequence[CodedColumn], mask: Bools) -> SegmentFinding:
    """Find the segment with most of the selected rows, compared with the others."""
    # Each place is a cell of its own, since the others are coded by the same places.
    against = [
        replace(
            column,
            reference=column.codes[~mask],
            home=np.arange(column.home.size),
            shares=np.full((column.home.size, 2), np.nan),
        )
        for column in columns
    ]
    others = RowSample({"\0": np.zeros(int((~mask).sum()), np.uint8)}, None, int((~mask).sum()))
    rows = CodedRows(against, mask.size, [mask], {})
    (named,) = find_segments(rows, [Target(_SELECTION, 0.0)], {}, others)
    return named
