"""What a longer span shows only because of something that is over, and was told while it lasted.

Blocks of windows end long after a fault in them may have been mended: without this it would ring
again after 2, 4, 8 ... windows. A change that no window has told yet is told even when it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.drift_test.layout import Indices, Layout
from driftline.monitors.drift_test.scan import SpanScan

# The last windows must be able to tell the change from none: so many standard errors lie between.
CLEAR = 3.0


def without_what_is_over(
    layout: Layout, scans: Sequence[SpanScan], older: Callable[[int], SpanScan | None]
) -> list[SpanScan]:
    """Take from each span the evidence of columns whose strongest change is over and was told.

    The whole column is silent then in the spans that hold it: a slower change of its other values
    is told by a later block.

    Parameters
    ----------
    scans
        Of spans that end with the same window, the shortest first.
    older
        Scans by itself what a span, by its place from 1, holds beyond the one before it; None
        where it holds no more windows, since some are missing.

    Returns
    -------
    list of SpanScan
        The same, with no evidence (0) for such columns.
    """
    found = list(scans[:1])
    told: list[NDArray[np.bool_]] = []
    silent = np.zeros(len(layout), np.bool_)
    for place, scan in enumerate(scans[1:], 1):
        loud = _loud(scan)
        columns = np.flatnonzero(loud & ~silent)
        if columns.size:
            sets = scan.strongest(layout, loud)[columns]
            columns = columns[_is_over(scan, scans[:place], columns, sets)]
        if columns.size:
            while len(told) < place:
                part = older(len(told) + 1)
                told.append(np.zeros(len(layout), np.bool_) if part is None else _loud(part))
            # A still longer span holds the same fault, too thin for the last windows to deny it.
            silent[columns[np.any(told, axis=0)[columns]]] = True
        found.append(_silenced(layout, scan, silent) if (loud & silent).any() else scan)
    return found


def _loud(scan: SpanScan) -> NDArray[np.bool_]:
    return scan.judged & (scan.top > scan.needed)


def _is_over(
    scan: SpanScan, shorter: Sequence[SpanScan], columns: Indices, sets: Indices
) -> NDArray[np.bool_]:
    """Say of which columns some of the last windows lie clearly nearer to what was expected."""
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


def _silenced(layout: Layout, scan: SpanScan, silent: NDArray[np.bool_]) -> SpanScan:
    weighed = np.where(layout.spread(silent), 0.0, scan.weighed)
    return replace(scan, weighed=weighed, top=layout.largest(weighed))
