"""Turns the scans of all spans into one verdict per column.

A span of several windows may still contain a fault that has been fixed, and would alarm again after
2, 4, 8 ... windows: `without_expired` drops it. A change that no window has reported yet is
reported even when it is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.predicate import Predicate
from driftline.monitors.drift_test.detectability import breakable, reached
from driftline.monitors.drift_test.drift import ColumnDrift, LevelChange
from driftline.monitors.drift_test.layout import Indices, Layout
from driftline.monitors.drift_test.scan import Cases, SpanScan
from driftline.monitors.drift_test.significance import Numbers
from driftline.stats.changed_levels import changed_levels
from driftline.stats.intervals import wilson

# The other side of a cut, for a set that has lost rows: what gained them is what is to be shown.
OPPOSITE = {"lt": "ge", "ge": "lt"}

# The last windows must be able to tell the change from none: so many standard errors lie between.
CLEAR = 3.0


def strongest_verdicts(
    layout: Layout,
    scans: Sequence[SpanScan],
    limits: Callable[[Cases], tuple[Numbers, Numbers]] = Cases.limits,
) -> dict[str, ColumnDrift]:
    """Return each column's verdict: that of the shortest span that is a violation.

    So the window's own change is not diluted by the days before. Without a violation, the span with
    the largest ratio to its critical value speaks, of equal ones the shortest. Columns without a
    span of enough rows are missing.
    """
    if not scans or not len(layout):
        return {}
    ratios = np.stack(
        [np.where(one.judged, one.largest_ratio / one.critical_value, -1.0) for one in scans]
    )
    violated = ratios > 1.0
    best = np.where(violated.any(axis=0), violated.argmax(axis=0), ratios.argmax(axis=0))
    judged = ratios.max(axis=0) >= 0.0
    picked: list[tuple[SpanScan, _Told]] = []
    cases: list[Cases] = []
    for place, scan in enumerate(scans):
        chosen = judged & (best == place)
        columns = np.flatnonzero(chosen)
        if columns.size:
            sets = scan.strongest(layout, chosen)[columns]
            told = [
                _Told.of(layout, scan, *pair)
                for pair in zip(columns.tolist(), sets.tolist(), strict=True)
            ]
            cases.append(scan.cases(columns, np.array([one.sets[0] for one in told])))
            picked += [(scan, one) for one in told]
    if not cases:
        return {}
    distances, bounds = limits(Cases.joined(cases))
    lines = zip(picked, distances.tolist(), bounds.tolist(), strict=True)
    found = {
        layout.names[told.column]: _verdict(layout, scan, told, distance, bound)
        for (scan, told), distance, bound in lines
    }
    return {name: found[name] for name in layout.names if name in found}


def breakable_verdicts(
    layout: Layout, scans: Sequence[SpanScan], names: Collection[str]
) -> dict[str, ColumnDrift]:
    """Return the verdicts of some columns by the strongest set that could be a violation.

    The strongest set of all may have moved to a side on which not even all rows would be a
    violation, so it has no bound. Empty and unfit sets count only where no other set could be a
    violation. Columns without any such set are missing.
    """
    found: dict[str, ColumnDrift] = {}
    for others in (layout.absent, np.zeros_like(layout.absent)):
        left = np.array([name in names and name not in found for name in layout.names], np.bool_)
        if left.any():
            open_ = [left & reached(layout, scan) for scan in scans]
            pairs = zip(scans, open_, strict=True)
            narrowed = [_narrowed(layout, scan, columns, others) for scan, columns in pairs]
            found |= strongest_verdicts(layout, narrowed)
    return found


def _narrowed(
    layout: Layout, scan: SpanScan, columns: NDArray[np.bool_], others: NDArray[np.bool_]
) -> SpanScan:
    if not columns.any():
        return replace(scan, judged=columns)
    taken = layout.spread(columns) & breakable(layout, scan) & ~others
    ratios = np.where(taken, scan.ratios, -1.0)
    largest = layout.largest(ratios)
    judged = scan.judged & (largest >= 0.0)
    return replace(scan, ratios=ratios, largest_ratio=largest, judged=judged)


def _verdict(
    layout: Layout, scan: SpanScan, told: _Told, distance: float, bound: float
) -> ColumnDrift:
    column, index = told.column, told.sets[0]
    own = layout.columns[column]
    cells = own.reference.cells
    cell_range = slice(*layout.cell_starts[column : column + 2])
    set_range = slice(*layout.set_starts[column : column + 2])
    local = index - set_range.start
    predicate, known, share = _condition(layout, scan, told)
    more = scan.share[set_range] > scan.known[set_range]
    gains = np.where(more, scan.ratios[set_range], 0.0)
    rows, ratio = float(scan.rows[column]), float(scan.largest_ratio[column])
    return ColumnDrift(
        column=own.name,
        distance=distance,
        bound=bound,
        p_value=min(1.0, 2.0 * own.low.size * math.exp(-ratio)),
        likelihood_ratio=ratio,
        cell_index=local,
        cell=cells.predicates[local].phrase,
        predicate=predicate,
        share_reference=known,
        share_window=share,
        share_interval=wilson(share * rows, rows),
        critical_value=float(scan.critical_value[column]),
        design_effect=float(scan.effect[index]),
        unseen_likelihood_ratio=float(gains[own.unseen]) if own.unseen >= 0 else 0.0,
        null_likelihood_ratio=float(gains[own.null]),
        unfit_likelihood_ratio=float(gains[own.unfit]),
        window_count=len(scan.span.windows),
        since=scan.span.start,
        alpha=scan.alpha,
        reference_counts=scan.expected[cell_range] * scan.reference_rows[column],
        window_counts=scan.counts[cell_range].astype(np.float64),
        levels=told.levels(layout, scan),
        others_kept=told.others_kept,
    )


def _shares(scan: SpanScan, index: int) -> tuple[float, float]:
    """Return a set's shares of all rows, in the reference and in the span."""
    known, share = scan.known[index], scan.share[index]
    return float(known * scan.known_part[index]), float(share * scan.part[index])


def _condition(layout: Layout, scan: SpanScan, told: _Told) -> tuple[Predicate, float, float]:
    """Return the condition of a set with its shares; for a cut that lost rows, its other side."""
    own, index = layout.columns[told.column], told.sets[0]
    predicate = own.reference.cells.predicates[index - layout.set_starts[told.column]]
    known, share = _shares(scan, index)
    if scan.share[index] < scan.known[index] and predicate.op in OPPOSITE:
        # Every present number lies on one side of the cut or on the other.
        flipped = Predicate(predicate.column, OPPOSITE[predicate.op], predicate.value)  # type: ignore[arg-type]  # The table holds operators only.
        rest = scan.known_part[index] - known, scan.part[index] - share
        return flipped, float(rest[0]), float(rest[1])
    return predicate, known, share


@dataclass(frozen=True, slots=True)
class _Told:
    """A column's finding: its strongest set, or all levels that changed, gains first."""

    column: int
    sets: tuple[int, ...]
    others_kept: bool = False

    @classmethod
    def of(cls, layout: Layout, scan: SpanScan, column: int, strongest: int) -> _Told:
        """Separate levels that changed from those whose shares follow from theirs."""
        own = layout.columns[column]
        is_text = own.reference.cells.type in ("string", "bool")
        if not is_text or scan.largest_ratio[column] <= scan.critical_value[column]:
            return cls(column, (strongest,))
        cells = slice(*layout.cell_starts[column : column + 2])
        expected = scan.expected[cells] * scan.reference_rows[column]
        window = scan.counts[cells].astype(np.float64)
        changed, kept = changed_levels(expected, window, max(float(scan.effect[strongest]), 1.0))
        first = int(layout.set_starts[column])
        sets = [first + place for place, cell in enumerate(own.low.tolist()) if cell in changed]
        moved = {index: -np.subtract(*_shares(scan, index)) for index in sets}
        sets.sort(key=lambda index: (moved[index] <= 0, -abs(moved[index])))
        return cls(column, tuple(sets), kept) if sets else cls(column, (strongest,))

    def levels(self, layout: Layout, scan: SpanScan) -> tuple[LevelChange, ...]:
        """Return the shares of the levels that changed; of numbers, none."""
        cells, first = layout.columns[self.column].reference.cells, layout.set_starts[self.column]
        if cells.type not in ("string", "bool"):
            return ()
        predicates = cells.predicates
        return tuple(
            LevelChange(predicates[index - first].phrase, *_shares(scan, index))
            for index in self.sets
        )


def without_expired(
    layout: Layout, scans: Sequence[SpanScan], older: Callable[[int], SpanScan | None]
) -> list[SpanScan]:
    """Zero each span's ratios of columns whose strongest change is over and was reported.

    The whole column expires in the spans that hold the change: a slower change of its other values
    is reported by a later block. `scans` end with the same window, shortest first; `older` scans
    what the span at an index (from 1) holds beyond the one before it, None where windows are
    missing.
    """
    found = list(scans[:1])
    reported: list[NDArray[np.bool_]] = []
    expired = np.zeros(len(layout), np.bool_)
    for place, scan in enumerate(scans[1:], 1):
        alarming = _alarming(scan)
        columns = np.flatnonzero(alarming & ~expired)
        if columns.size:
            sets = scan.strongest(layout, alarming)[columns]
            columns = columns[_is_over(scan, scans[:place], columns, sets)]
        if columns.size:
            while len(reported) < place:
                part = older(len(reported) + 1)
                reported.append(
                    np.zeros(len(layout), np.bool_) if part is None else _alarming(part)
                )
            # A still longer span holds the same fault, too thin for the last windows to deny it.
            expired[columns[np.any(reported, axis=0)[columns]]] = True
        found.append(_without(layout, scan, expired) if (alarming & expired).any() else scan)
    return found


def _alarming(scan: SpanScan) -> NDArray[np.bool_]:
    return scan.judged & (scan.largest_ratio > scan.critical_value)


def _is_over(
    scan: SpanScan, shorter: Sequence[SpanScan], columns: Indices, sets: Indices
) -> NDArray[np.bool_]:
    """Return the columns for which some last windows lie clearly nearer to the expectation."""
    shift = scan.share[sets] - scan.known[sets]
    wide = np.maximum(
        scan.known[sets] * (1.0 - scan.known[sets]), scan.share[sets] * (1.0 - scan.share[sets])
    )
    over = np.zeros(columns.size, np.bool_)
    for recent in shorter:
        error = np.sqrt(wide * recent.effect[sets] / recent.set_rows[sets])
        left = np.sign(shift) * (recent.share[sets] - recent.known[sets])
        is_clear = recent.judged[columns] & (np.abs(shift) >= CLEAR * error)
        over |= is_clear & (left < np.abs(shift) / 2.0)
    return over


def _without(layout: Layout, scan: SpanScan, expired: NDArray[np.bool_]) -> SpanScan:
    ratios = np.where(layout.spread(expired), 0.0, scan.ratios)
    return replace(scan, ratios=ratios, largest_ratio=layout.largest(ratios))
