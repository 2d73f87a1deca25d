"""Columns that no window of this size could violate: they are reported as undecided, not as passed.

A column that varies from week to week as weather does, with a reference of few weeks, may lie
wholly on one side of its median and still be within what the reference shows. Shapes: W columns, S
scanned sets of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.layout import Indices, Layout
from driftline.monitors.drift_test.scan import SpanScan
from driftline.monitors.drift_test.significance import MIN_ROWS, clustered_likelihood_ratio
from driftline.stats.calendar_regression import SEASON_DAYS

UNDECIDABLE = "undecidable"
UNDECIDABLE_GAPS = "undecidable_gaps"
"""Of a column whose values are judged: no rise of its empty ones could be a violation."""
BY_DAYS = "judged_by_days"
"""Of a column that varies too much for the distance of a span, but whose days are judged in it."""
DEFERRED = "longer spans of windows judge it, when they end"
"""What helps a column of a monitor whose windows are judged together, too."""
NO_REMEDY = "a distance with a limit of your own would judge it"
"""What helps where neither more reference nor more rows are known to (docs/distances.md)."""

COMPLETENESS_REMEDY = "a completeness of its own in constraints.json would judge them"
# Of a column that is emptier than this in the reference a rise takes little away.
MOSTLY_EMPTY = 0.5

# What is tried as a mend: the rows times these, shape (F, 1).
FACTORS = np.array([[1.25], [1.5], [2.0], [3.0], [4.0], [6.0], [8.0]])
# Over fewer days nothing is known of a column's own variation, whatever is tested of it.
LEAST_DAYS = 27.0
# The shortest span whose days are tested (docs/why/drift-test.md).
SPAN_DAYS = 4
DAY_H = 24


def undecidable(
    layout: Layout,
    scans: Sequence[SpanScan],
    drifts: Mapping[str, ColumnDrift],
    *,
    by_gaps: bool = False,
) -> list[str]:
    """Return the columns whose values could not be a violation in any of these spans.

    A column is undecidable if even 0% or 100% of the span's values in its most balanced set (such
    as those below the median) would be no violation. Extreme values may be found all the same, so
    drifted columns are not among them; nor are columns with too few expected values: their gaps are
    judged. With `by_gaps`, return the columns whose empty values could not be a violation at any
    share.
    """
    beyond = np.ones(len(layout), dtype=np.bool_)
    for scan in reversed(scans):  # Mostly the longest span tells of all.
        if beyond.any():
            beyond &= ~(gaps_reached if by_gaps else reached)(layout, scan)
    return [
        name
        for name, out in zip(layout.names, beyond.tolist(), strict=True)
        if out and name in drifts and not drifts[name].drifted
    ]


def reached(layout: Layout, scan: SpanScan) -> NDArray[np.bool_]:
    """Return the columns of a span that are judged and could be a violation, shape (W,)."""
    return np.asarray(scan.judged & _reached(scan, np.arange(len(layout)), _middle(layout, scan)))


def breakable(layout: Layout, scan: SpanScan) -> NDArray[np.bool_]:
    """Return which sets could be a violation if they moved on to the same side, shape (S,).

    A share of 80% can rise by 20 points at most, and fall by 80.
    """
    sets = np.arange(scan.share.size)
    fallen, risen = (_beyond(scan, layout.column_of_set, sets, shares=(end,)) for end in (0.0, 1.0))
    return np.where(scan.share >= scan.known, risen, fallen)


def gaps_reached(layout: Layout, scan: SpanScan) -> NDArray[np.bool_]:
    """Return columns whose empty values could be a violation in a span, or are common: (W,).

    Another check reports a first gap.
    """
    sets = layout.nulls
    told = (scan.known[sets] == 0) | (scan.known[sets] > MOSTLY_EMPTY)
    return np.asarray(told | _reached(scan, np.arange(len(layout)), sets, shares=(1.0,)))


def remedies(
    layout: Layout,
    scan: SpanScan,
    blocks: BlockCounts | None,
    names: Sequence[str],
    *,
    is_alone: bool = False,
) -> dict[str, str]:
    """Return what would make each undecidable column decidable: ``11 more days of reference``.

    A reference of fewer than `LEAST_DAYS` days says too little about a column's own variation; from
    `SEASON_DAYS` on the season's part is known; with a longer one the column varies too much for
    this number of rows. More rows help where they are nearly independent, because common variation
    does not average out. With `is_alone`, rows are judged without their neighbours in time, and the
    test of days needs `SPAN_DAYS` of them at once.
    """
    if not names:
        return {}
    places = np.array([layout.names.index(name) for name in names])
    more = _more_rows(scan, places, _middle(layout, scan)[places])
    found = {}
    for at, name in enumerate(names):
        days = None if blocks is None else _days(blocks.of(name))
        if more[at]:
            found[name] = more[at]
            continue
        parts = []
        if days is not None and days < LEAST_DAYS:
            parts.append(_more_days(LEAST_DAYS - days))
        share = scan.rows[places[at]] / max(layout.reference_rows[places[at]], 1.0)
        if days is not None and is_alone and round(days * share) < SPAN_DAYS:
            parts.append(f"{SPAN_DAYS} days in one check")
        if days is not None and LEAST_DAYS <= days < SEASON_DAYS:
            # Of fewer days at once nobody has seen yet whether the rest of the season is needed.
            parts.append(_more_days(SEASON_DAYS - days) + " if it is seasonal" * bool(parts))
        found[name] = " and ".join(parts) or NO_REMEDY
    return found


def gap_remedies(
    layout: Layout, scan: SpanScan, blocks: BlockCounts | None, names: Sequence[str]
) -> dict[str, str]:
    """Return what would make the empty values of each of these columns decidable."""
    if not names:
        return {}
    places = np.array([layout.names.index(name) for name in names])
    more = _more_rows(scan, places, layout.nulls[places], shares=(1.0,))
    found = {}
    for name, rows in zip(names, more, strict=True):
        days = None if blocks is None else _days(blocks.of(name))
        is_short = days is not None and days < LEAST_DAYS
        short = _more_days(LEAST_DAYS - days) if days is not None and is_short else ""
        found[name] = rows or short or COMPLETENESS_REMEDY
    return found


def _more_rows(
    scan: SpanScan, places: Indices, sets: Indices, *, shares: Sequence[float] = (0.0, 1.0)
) -> list[str]:
    """Return how many rows each column needs; "" where no tried number is enough."""
    own = scan.effect[sets]
    effect = (1.0 + (own - 1.0) * FACTORS) / own
    more = _reached(scan, places, sets, shares=shares, rows=FACTORS, effect=effect)
    first = np.where(np.any(more, axis=0), FACTORS[more.argmax(axis=0), 0], 0.0)
    counts = np.ceil(first * scan.rows[places]).astype(np.int64)
    return [f"{count:,} rows in one check" if count else "" for count in counts.tolist()]


def _more_days(days: float) -> str:
    left = math.ceil(days)
    return f"{left} more day{'s' * (left != 1)} of reference"


def too_few(reference_rows: float) -> str:
    """Return what a column with too few rows needs: in the reference, or else in the window."""
    where = " in the reference" if reference_rows < MIN_ROWS else ""
    return f"at least {MIN_ROWS} rows{where}"


def _days(own: BlockCounts | None) -> float | None:
    """Return the reference's days from first to last hour; None where it has no times."""
    if own is None or not own.hours.size:
        return None
    return float(own.hours[-1] - own.hours[0] + 1) / DAY_H


def _middle(layout: Layout, scan: SpanScan) -> Indices:
    """Return the most balanced set of each column, shape (W,)."""
    evenness = np.where(layout.absent, -1.0, -np.abs(scan.known - 0.5))
    return layout.strongest(evenness, np.zeros(evenness.size, dtype=np.bool_))


def _reached(
    scan: SpanScan,
    columns: Indices,
    sets: Indices,
    *,
    shares: Sequence[float] = (0.0, 1.0),
    rows: NDArray[np.float64] | float = 1.0,
    effect: NDArray[np.float64] | float = 1.0,
) -> NDArray[np.bool_]:
    """Whether one set of each of K columns can be a violation, or has too few expected values."""
    few = rows * (scan.rows[columns] * scan.known_part[sets]) < MIN_ROWS
    return np.asarray(few | _beyond(scan, columns, sets, shares=shares, rows=rows, effect=effect))


def _beyond(
    scan: SpanScan,
    columns: Indices,
    sets: Indices,
    *,
    shares: Sequence[float],
    rows: NDArray[np.float64] | float = 1.0,
    effect: NDArray[np.float64] | float = 1.0,
) -> NDArray[np.bool_]:
    """Whether any of some shares of one set of each of K columns is a violation, (F, K).

    Rows are multiplied by `rows`, (F, 1), and design effects by `effect`, (F, K), to at least 1;
    with plain numbers the shape is (K,).
    """
    most = [
        clustered_likelihood_ratio(
            scan.known[sets],
            scan.known_rows[sets],
            np.full(sets.size, share),
            rows * scan.set_rows[sets],
            tolerance=scan.tolerance[sets],
            effect=np.maximum(effect * scan.effect[sets], 1.0),
            cluster_effect=np.maximum(effect * scan.cluster_effect[sets], 1.0),
            shift_effect=effect * scan.shift_effect[sets],
            middle=scan.middle[sets],
        )
        for share in shares
    ]
    return np.asarray(np.maximum.reduce(most) > scan.critical_value[columns])
