"""Rows beyond the ends of the reference, which distances over the whole hardly see. Exact."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from driftline.baseline.predicate import number_text
from driftline.monitors.distances.counts import Counts
from driftline.monitors.distances.curves import Curves
from driftline.monitors.distances.distance import Distance

# Shares of the reference that lie beyond the edges; 0 is its minimum and maximum.
TAIL_SHARES = (0.01, 0.001, 0.0)
# An interval misses in so many cases, over all ends.
ERROR = 0.05


def tails(curves: Curves) -> Distance:
    """Measure by how much the share of rows beyond an end of the reference has grown, 0-1.

    Ends are the reference's 1 % and 99 %, 0.1 % and 99.9 % points, minimum and maximum; the one
    with the smallest chance speaks. Given that a of the reference's n rows lie beyond, the number
    of the window's m rows there is beta-binomial with m, a + 1 and n - a; the p-value is times the
    number of ends, and with ties too large, never too small. The interval is that of the growth
    beyond the end of what the reference was drawn from, which its own rows tell to some of them,
    and holds for all ends at once: it leaves 0 out only where the p-value is below 0.05.

    References
    ----------
    Zou and Donner, Statistics in Medicine 27, 2008 (interval of two estimates' sum from their own);
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
    low, high = _interval(sides[word][:2], (n, a), (m, x), 1 - ERROR / len(found))
    exact, chance = curves.error == 0.0, min(1.0, len(found) * chance)
    words = f"{now:.3g} of the values are {word} {number_text(edge)}, {beyond:.3g} of the reference"
    return Distance(
        "tails",
        max(0.0, now - beyond),
        "share",
        p_value=chance if exact else None,
        # What the exact law does not exclude is in the interval, too.
        lower=(max(0.0, low) if chance < ERROR else 0.0) if exact else None,
        upper=max(0.0, high) if exact else None,
        note=words if exact else words + "; no p-value: these are estimated from sketches",
    )


def _interval(
    curves: tuple[Counts, Counts], known: tuple[int, int], found: tuple[int, int], level: float
) -> tuple[float, float]:
    """Give the interval of the growth of the share beyond an end; negative where it shrank.

    Parameters
    ----------
    curves
        Shares at or below each point, of reference and window.
    known, found
        All rows, and those beyond the end, of reference and window.
    level
        At which it is to hold, 0-1.
    """
    (reference, window), (n, a), (m, x) = curves, known, found
    now = x / m
    own = stats.binomtest(x, m).proportion_ci(level, method="wilson")
    if a == 0:  # Of the reference's own law some lies beyond its range, too.
        unseen = float(stats.binomtest(0, n).proportion_ci(level, method="wilson").high)
        return now - math.hypot(now - float(own.low), unseen), float(own.high)
    # So many rows of the reference may lie beyond the end that its law has there.
    few, many = stats.binom.interval(level, n, a / n)
    at = np.searchsorted(reference, 1.0 - np.array([few, many]) / n - 1e-12)
    far, near = 1.0 - window[np.minimum(at, len(window) - 1)]
    return (
        now - math.hypot(now - float(own.low), now - float(far)) - a / n,
        now + math.hypot(float(own.high) - now, float(near) - now) - a / n,
    )
