"""Which columns no window of so many rows could ever violate: they are not judged, and not calm.

A column that varies from week to week as weather does, in a reference of a few such weeks, may lie
wholly on one side of its median and still be within what the reference shows.
Shapes: W columns, S scanned sets of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.layout import Layout
from driftline.monitors.drift_test.scan import SpanScan
from driftline.monitors.drift_test.significance import MIN_ROWS, clustered_likelihood_ratio

UNDECIDABLE = "undecidable"


def undecidable(
    layout: Layout, scans: Sequence[SpanScan], drifts: Mapping[str, ColumnDrift]
) -> list[str]:
    """Name the columns whose values could not be a violation in any of these spans.

    A column is undecidable if even 0% or 100% of the span's values in its most balanced set (such
    as those below the median) would be no violation. Extreme values may be found all the same, so
    columns that have drifted are not among them; nor are columns of which too few values were to be
    expected: their gaps are judged.

    Parameters
    ----------
    layout, scans
        All columns, and the spans that were judged.
    drifts
        The verdicts.
    """
    beyond = np.ones(len(layout), dtype=np.bool_)
    for scan in scans:
        beyond &= ~scan.judged | ~_reached(layout, scan)
    return [
        name
        for name, out in zip(layout.names, beyond.tolist(), strict=True)
        if out and name in drifts and not drifts[name].drifted
    ]


def _reached(layout: Layout, scan: SpanScan) -> NDArray[np.bool_]:
    """Return whether each column's most even set can be a violation, shape (W,)."""
    evenness = np.where(layout.absent, -1.0, -np.abs(scan.known - 0.5))
    middle = layout.strongest(evenness, np.zeros(evenness.size, dtype=np.bool_))
    few = scan.rows * scan.known_part[middle] < MIN_ROWS
    most = [
        clustered_likelihood_ratio(
            scan.known[middle],
            scan.known_rows[middle],
            np.full(middle.size, share),
            scan.set_rows[middle],
            tolerance=scan.tolerance[middle],
            effect=scan.effect[middle],
            cluster_effect=scan.cluster_effect[middle],
            shift_effect=scan.shift_effect[middle],
        )
        for share in (0.0, 1.0)
    ]
    return np.asarray(few | (np.maximum(*most) > scan.critical_value))
