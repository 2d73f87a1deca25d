"""Which columns a span of windows can judge: the others are reported, not passed.

A column that varies from week to week as weather does, with a reference of few weeks, may lie
wholly on one side of its median and still be within what the reference shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.drift_test.layout import Indices, Layout
from driftline.monitors.drift_test.scan import SpanScan
from driftline.monitors.drift_test.significance import MIN_ROWS

REMEDY = "a longer reference, more rows in one check, or a distance with a limit of your own"
COMPLETENESS_REMEDY = "a completeness of its own in constraints.json would judge them"
# Of a column that is emptier than this in the reference a rise takes little away.
MOSTLY_EMPTY = 0.5


def testable(layout: Layout, scan: SpanScan) -> NDArray[np.bool_]:
    """Return which columns of a span could be a violation, shape (W,).

    If 0% or 100% of the values in a column's most balanced set, such as those below the median,
    would be one. A column with too few expected values is judged by its gaps.
    """
    evenness = np.where(layout.absent, -1.0, -np.abs(scan.comparison.known - 0.5))
    middle = layout.strongest(evenness, np.zeros(evenness.size, dtype=np.bool_))
    return np.asarray(scan.judged & _reached(scan, middle, shares=(0.0, 1.0)))


def testable_gaps(layout: Layout, scan: SpanScan) -> NDArray[np.bool_]:
    """Return the columns whose empty values could be a violation in a span, or are common: (W,).

    Another check reports a first gap.
    """
    known = scan.comparison.known[layout.nulls]
    is_told = (known == 0) | (known > MOSTLY_EMPTY)
    return np.asarray(is_told | _reached(scan, layout.nulls, shares=(1.0,)))


def too_few(reference_rows: float) -> str:
    """Return what a column with too few rows needs: in the reference, or else in the window."""
    where = " in the reference" if reference_rows < MIN_ROWS else ""
    return f"at least {MIN_ROWS} rows{where}"


def _reached(scan: SpanScan, sets: Indices, *, shares: Sequence[float]) -> NDArray[np.bool_]:
    """Whether some share of one set of each column is a violation, or too few values are expected.

    Shape (W,).
    """
    is_few = scan.rows * scan.known_part[sets] < MIN_ROWS
    comparison = scan.comparison.take(sets)
    most = [comparison.ratio(np.full(sets.size, share)) for share in shares]
    return np.asarray(is_few | (np.maximum.reduce(most) > scan.critical_value))
