"""Rows beyond the ends of the reference, which distances over the whole hardly see. Exact."""

from __future__ import annotations

import numpy as np
from scipy import stats

from driftline.baseline.predicate import number_text
from driftline.monitors.distances.curves import Curves
from driftline.monitors.distances.distance import Distance

__all__ = ["tails"]

# Shares of the reference that lie beyond the edges; 0 is its minimum and maximum.
TAIL_SHARES = (0.01, 0.001, 0.0)


def tails(curves: Curves) -> Distance:
    """Measure by how much the share of rows beyond an end of the reference has grown, 0-1.

    Ends are the reference's 1 % and 99 %, 0.1 % and 99.9 % points, minimum and maximum; the one
    with the smallest chance speaks. Given that a of the reference's n rows lie beyond, the number
    of the window's m rows there is beta-binomial with m, a + 1 and n - a; the p-value is times the
    number of ends, and with ties too large, never too small.

    References
    ----------
    Wilks, Annals of Mathematical Statistics 12, 1941 (order statistics as limits); drift-methods.md
    section 2.7.
    """
    # From above: shares at or below a point. From below the same of the points in reverse order.
    sides = {
        "above": (curves.reference, curves.window, curves.points),
        "below": (
            1.0 - np.append(curves.reference[:-1][::-1], 0.0),
            1.0 - np.append(curves.window[:-1][::-1], 0.0),
            curves.points[::-1],
        ),
    }
    n, m = round(curves.reference_rows), round(curves.window_rows)
    found = {}
    for word, (reference, window, points) in sides.items():
        for share in TAIL_SHARES:
            at = int(np.searchsorted(reference, 1.0 - share - 1e-12))
            at = min(at, points.size - 1)
            a, x = round((1.0 - reference[at]) * n), round((1.0 - window[at]) * m)
            # The (a + 1)-th of the reference from that end has x of the window beyond it if among
            # the first a + x of all at most a are the reference's.
            chance = float(stats.hypergeom.cdf(a, n + m, n, a + x)) if x else 1.0
            found[word, float(points[at])] = (chance, a / n - x / m, a, x)
    (word, edge), (chance, _, a, x) = min(found.items(), key=lambda one: one[1][:2])
    beyond, now = a / n, x / m
    interval = stats.binomtest(x, m).proportion_ci(method="wilson")
    exact = curves.error == 0.0
    words = f"{now:.3g} of the values are {word} {number_text(edge)}, {beyond:.3g} of the reference"
    return Distance(
        "tails",
        max(0.0, now - beyond),
        "share",
        p_value=min(1.0, len(found) * chance) if exact else None,
        lower=max(0.0, float(interval.low) - beyond) if exact else None,
        upper=max(0.0, float(interval.high) - beyond) if exact else None,
        note=words if exact else words + "; no p-value: these are estimated from sketches",
    )
