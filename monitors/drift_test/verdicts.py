"""From the scans of all spans to one verdict for each column."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from driftline.baseline.predicate import Predicate
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.layout import Layout
from driftline.monitors.drift_test.scan import Cases, SpanScan
from driftline.monitors.drift_test.significance import wilson_interval

# The other side of a cut, for a set that has lost rows: what gained them is what is to be shown.
OPPOSITE = {"lt": "ge", "ge": "lt"}


def strongest_verdicts(layout: Layout, scans: Sequence[SpanScan]) -> dict[str, ColumnDrift]:
    """Give, by column, the verdict of the shortest span that is a violation.

    What the window itself shows is told of it, and not thinned by the days before. Where no span is
    one, that with the most evidence over what it needs speaks, of equal ones the shortest. Columns
    that no span has rows enough of are missing.
    """
    if not scans or not len(layout):
        return {}
    ratios = np.stack([np.where(one.judged, one.top / one.needed, -1.0) for one in scans])
    violated = ratios > 1.0
    best = np.where(violated.any(axis=0), violated.argmax(axis=0), ratios.argmax(axis=0))
    judged = ratios.max(axis=0) >= 0.0
    picked: list[tuple[SpanScan, int, int]] = []
    cases: list[Cases] = []
    for place, scan in enumerate(scans):
        chosen = judged & (best == place)
        columns = np.flatnonzero(chosen)
        if columns.size:
            sets = scan.strongest(layout, chosen)[columns]
            cases.append(scan.cases(columns, sets))
            picked += [(scan, *pair) for pair in zip(columns.tolist(), sets.tolist(), strict=True)]
    if not cases:
        return {}
    distances, bounds = Cases.joined(cases).limits()
    lines = zip(picked, distances.tolist(), bounds.tolist(), strict=True)
    found = {
        layout.names[column]: _verdict(layout, scan, column, index, distance, bound)
        for (scan, column, index), distance, bound in lines
    }
    return {name: found[name] for name in layout.names if name in found}


def _verdict(
    layout: Layout, scan: SpanScan, column: int, index: int, distance: float, bound: float
) -> ColumnDrift:
    own = layout.columns[column]
    cells = own.reference.cells
    cell_range = slice(*layout.cell_starts[column : column + 2])
    set_range = slice(*layout.set_starts[column : column + 2])
    local = index - set_range.start
    predicate, known, share = _what_gained(layout, scan, column, local)
    more = scan.share[set_range] > scan.known[set_range]
    gains = np.where(more, scan.weighed[set_range], 0.0)
    rows, evidence = float(scan.rows[column]), float(scan.top[column])
    return ColumnDrift(
        column=own.name,
        distance=distance,
        bound=bound,
        p_value=min(1.0, 2.0 * own.low.size * math.exp(-evidence)),
        evidence=evidence,
        cell_index=local,
        cell=cells.predicate(local).phrase,
        predicate=predicate,
        share_reference=known,
        share_window=share,
        share_interval=wilson_interval(share * rows, rows),
        needed=float(scan.needed[column]),
        design_effect=float(scan.effect[index]),
        unseen_evidence=float(gains[own.unseen]) if own.unseen >= 0 else 0.0,
        null_evidence=float(gains[own.null]),
        window_count=len(scan.span.windows),
        since=scan.span.start,
        alpha=scan.alpha,
        reference_counts=scan.expected[cell_range] * scan.reference_rows[column],
        window_counts=scan.counts[cell_range].astype(np.float64),
    )


def _what_gained(
    layout: Layout, scan: SpanScan, column: int, index: int
) -> tuple[Predicate, float, float]:
    """Give the set that gained rows, with its shares in the reference and in the span.

    A set that lost rows has no rows to show: the other side of its cut has, or, for a level, the
    set with the strongest gain.
    """
    own = layout.columns[column]
    cells = own.reference.cells
    places = slice(*layout.set_starts[column : column + 2])
    known, share = scan.known[places], scan.share[places]
    known_part, part = scan.known_part[places], scan.part[places]
    strongest = cells.predicate(index)
    if share[index] >= known[index]:
        return (
            strongest,
            float(known[index] * known_part[index]),
            float(share[index] * part[index]),
        )
    if strongest.op in OPPOSITE:
        # Every present number lies on one side of the cut or on the other.
        flipped = Predicate(strongest.column, OPPOSITE[strongest.op], strongest.value)  # type: ignore[arg-type]  # The table holds operators only.
        return (
            flipped,
            float((1.0 - known[index]) * known_part[index]),
            float((1.0 - share[index]) * part[index]),
        )
    gain = np.where(share > known, scan.weighed[places], -1.0)
    best = int(np.lexsort((share - known, gain))[-1])
    if gain[best] < 0:  # What came instead is no scanned set, as where nothing was ever there.
        best = index
    return (
        cells.predicate(best),
        float(known[best] * known_part[best]),
        float(share[best] * part[best]),
    )
