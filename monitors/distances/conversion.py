"""A change of unit as a distance: what of the difference a known conversion would undo."""

from __future__ import annotations

import numpy as np

from driftline.monitors.distances.counts import Counts
from driftline.monitors.distances.curves import Curves
from driftline.monitors.distances.distance import Distance
from driftline.monitors.distances.units import (
    MIN_VALUES,
    UnitChange,
    restoring_unit,
    suspect_unit,
)

# Values that stand for a side: enough for curves that are apart or together.
POINTS = 400


def unit_change(curves: Curves) -> Distance:
    """Measure what part of the largest difference of the curves a known conversion undoes, 0-1.

    Powers of ten, the opposite sign, temperatures, times, lengths and weights are tried; the note
    names the one that fits best. 0 when none brings the window back to the reference: to 0.15, or
    to 0.45 by a factor of 50 or an offset of 200, which no season has.
    """
    if min(curves.reference_rows, curves.window_rows) < MIN_VALUES:
        return Distance("unit_change", None, "share", note=f"fewer than {MIN_VALUES} values")
    found = _unit_of(curves)
    if found is None:
        return Distance("unit_change", 0.0, "share", note="no known conversion fits")
    undone = max(0.0, found.distance_before - found.distance_after)
    return Distance("unit_change", undone, "share", note=f"looks like {found.name}")


def _unit_of(curves: Curves) -> UnitChange | None:
    """Say which conversion would bring the window back to the reference; None when none fits.

    One that a season can imitate must leave hardly any difference.
    """
    first = _points(curves, curves.reference, curves.reference_rows)
    second = _points(curves, curves.window, curves.window_rows)
    far = suspect_unit(second, first, far_only=True)
    near = restoring_unit(second, np.ones(second.size, bool), first, np.ones(first.size))
    found = [one for one in (near, far) if one is not None]
    return min(found, key=lambda one: one.distance_after, default=None)


def _points(curves: Curves, share: Counts, rows: float) -> Counts:
    """Give values that lie as the side's do, as many as its rows and at most 400."""
    count = int(min(POINTS, rows))
    at = np.searchsorted(share, (np.arange(count) + 0.5) / count - 1e-12)
    return np.asarray(curves.points[np.minimum(at, curves.points.size - 1)])
