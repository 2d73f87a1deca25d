"""Turns the scans of all spans into one verdict per column.

A span of several windows may still contain a fault that has been fixed, and would alarm again after
4, 16 ... windows: `without_expired` drops it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.predicate import Predicate
from driftline.monitors.drift_test.drift import ColumnDrift, LevelChange
from driftline.monitors.drift_test.layout import ROUNDING, Indices, Layout
from driftline.monitors.drift_test.scan import SpanScan
from driftline.monitors.drift_test.significance import Comparison, Numbers
from driftline.stats.changed_levels import changed_levels
from driftline.stats.intervals import wilson

# The other side of a cut, for a set that has lost rows: what gained them is what is to be shown.
OPPOSITE = {"lt": "ge", "ge": "lt"}

# The last windows must be able to tell the change from none: so many standard errors lie between.
CLEAR = 3.0


def strongest_verdicts(
    layout: Layout, scans: Sequence[SpanScan], *, all_bounds: bool
) -> dict[str, ColumnDrift]:
    """Return each column's verdict: that of the shortest span that is a violation.

    So the window's own change is not diluted by the days before. Without a violation, the span with
    the largest ratio to its critical value speaks, of equal ones the shortest. Columns without a
    span of enough rows are missing. Bounds are most of the cost of judging few columns: unless
    `all_bounds`, that of a column without a violation is its distance.
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
    for place, scan in enumerate(scans):
        chosen = judged & (best == place)
        columns = np.flatnonzero(chosen)
        if columns.size:
            sets = scan.strongest(layout, chosen)[columns]
            pairs = zip(columns.tolist(), sets.tolist(), strict=True)
            picked += [(scan, _Told.of(layout, scan, *pair)) for pair in pairs]
    if not picked:
        return {}
    distances, bounds = _limits(picked, all_bounds=all_bounds)
    lines = zip(picked, distances.tolist(), bounds.tolist(), strict=True)
    found = {
        layout.names[told.column]: _verdict(layout, scan, told, distance, bound)
        for (scan, told), distance, bound in lines
    }
    return {name: found[name] for name in layout.names if name in found}


def _limits(
    picked: Sequence[tuple[SpanScan, _Told]], *, all_bounds: bool
) -> tuple[Numbers, Numbers]:
    """Return distances and bounds, (K,): ``distance > bound`` iff the ratio is critical.

    A bound that nothing could exceed is 1.
    """
    share = np.array([scan.share[told.sets[0]] for scan, told in picked])
    sets = [scan.comparison.take(np.array([told.sets[0]])) for scan, told in picked]
    target = np.array([scan.critical_value[told.column] for scan, told in picked])
    broken = np.array([scan.violated[told.column] for scan, told in picked])
    comparison = Comparison.joined(sets)
    distance = np.abs(share - comparison.known)
    distance = np.where(distance < ROUNDING, 0.0, distance)
    found, asked = distance.copy(), broken | all_bounds
    if asked.any():
        above = share >= comparison.known
        limits = comparison.take(asked).bounds(above[asked], target[asked])
        found[asked] = np.minimum(limits, 1.0)
    # Rounding of the bisection must not part the two forms of the same decision.
    below, above = np.nextafter(distance, 0.0), np.maximum(found, distance)
    return distance, np.where(broken, np.minimum(found, below), above)


def _verdict(
    layout: Layout, scan: SpanScan, told: _Told, distance: float, bound: float
) -> ColumnDrift:
    column, index = told.column, told.sets[0]
    own = layout.columns[column]
    cell_range = slice(*layout.cell_starts[column : column + 2])
    set_range = slice(*layout.set_starts[column : column + 2])
    predicate, known, share = _condition(layout, scan, told)
    more = scan.share[set_range] > scan.comparison.known[set_range]
    gains = np.where(more, scan.ratios[set_range], 0.0)
    rows, ratio = float(scan.rows[column]), float(scan.largest_ratio[column])
    return ColumnDrift(
        column=own.name,
        distance=distance,
        bound=bound,
        p_value=min(1.0, 2.0 * own.low.size * math.exp(-ratio)),
        likelihood_ratio=ratio,
        cell_index=index - set_range.start,
        predicate=predicate,
        share_reference=known,
        share_window=share,
        share_interval=wilson(share * rows, rows),
        critical_value=float(scan.critical_value[column]),
        design_effect=float(scan.comparison.effect[index]),
        unseen_likelihood_ratio=float(gains[own.kinds == "unseen"].max(initial=0.0)),
        null_likelihood_ratio=float(gains[own.kinds == "null"].max(initial=0.0)),
        unfit_likelihood_ratio=float(gains[own.kinds == "unfit"].max(initial=0.0)),
        window_count=len(scan.span.windows),
        since=scan.span.start,
        reference_counts=scan.expected[cell_range] * scan.reference_rows[column],
        window_counts=scan.counts[cell_range].astype(np.float64),
        levels=told.levels(layout, scan),
        others_kept=told.others_kept,
    )


def _shares(scan: SpanScan, index: int) -> tuple[float, float]:
    """Return a set's shares of all rows, in the reference and in the span."""
    known, share = scan.comparison.known[index], scan.share[index]
    return float(known * scan.known_part[index]), float(share * scan.part[index])


def _condition(layout: Layout, scan: SpanScan, told: _Told) -> tuple[Predicate, float, float]:
    """Return the condition of a set with its shares; for a cut that lost rows, its other side."""
    own, index = layout.columns[told.column], told.sets[0]
    predicate = own.reference.cells.predicates[index - layout.set_starts[told.column]]
    known, share = _shares(scan, index)
    if scan.share[index] < scan.comparison.known[index] and predicate.op in OPPOSITE:
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
        changed, kept = changed_levels(
            expected, window, max(float(scan.comparison.effect[strongest]), 1.0)
        )
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


def without_expired(layout: Layout, scans: Sequence[SpanScan]) -> list[SpanScan]:
    """Zero each span's ratios of columns whose strongest change is over.

    The whole column expires in the spans that hold the change: a slower change of its other values
    is reported by a later block. `scans` end with the same window, shortest first.
    """
    found = list(scans[:1])
    expired = np.zeros(len(layout), np.bool_)
    for place, scan in enumerate(scans[1:], 1):
        columns = np.flatnonzero(scan.violated & ~expired)
        if columns.size:
            sets = scan.strongest(layout, scan.violated)[columns]
            # A still longer span holds the same fault, too thin for the last windows to deny it.
            expired[columns[_is_over(scan, scans[:place], columns, sets)]] = True
        found.append(_without(layout, scan, expired) if (scan.violated & expired).any() else scan)
    return found


def _is_over(
    scan: SpanScan, shorter: Sequence[SpanScan], columns: Indices, sets: Indices
) -> NDArray[np.bool_]:
    """Return the columns for which some last windows lie clearly nearer to the expectation."""
    own = scan.comparison.take(sets)
    shift = scan.share[sets] - own.known
    wide = np.maximum(own.known * (1.0 - own.known), scan.share[sets] * (1.0 - scan.share[sets]))
    over = np.zeros(columns.size, np.bool_)
    for recent in shorter:
        other = recent.comparison.take(sets)
        error = np.sqrt(wide * other.effect / other.rows)
        left = np.sign(shift) * (recent.share[sets] - other.known)
        is_clear = recent.judged[columns] & (np.abs(shift) >= CLEAR * error)
        over |= is_clear & (left < np.abs(shift) / 2.0)
    return over


def _without(layout: Layout, scan: SpanScan, expired: NDArray[np.bool_]) -> SpanScan:
    ratios = np.where(layout.spread(expired), 0.0, scan.ratios)
    return replace(scan, ratios=ratios, largest_ratio=layout.largest(ratios))
