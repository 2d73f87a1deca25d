"""Rows beyond the ends of the reference, which distances over the whole hardly see. Exact."""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats

from driftline.stats.distances.counts import Counts
from driftline.stats.distances.curves import Curves
from driftline.stats.distances.distance import Distance
from driftline.stats.intervals import wilson

# Shares of the reference that lie beyond the edges; 0 is its minimum and maximum.
TAIL_SHARES = (0.01, 0.001, 0.0)
# An interval misses in so many cases, over all ends.
ERROR = 0.05


def tails(curves: Curves) -> Distance:
    """Measure by how much the share of rows beyond an end of the reference has grown, 0-1.

    Ends are the reference's 1% and 99%, 0.1% and 99.9% points, minimum and maximum; the one
    with the smallest chance speaks. Given that a of the reference's n rows lie beyond, the number
    of the window's m rows there is beta-binomial with m, a + 1 and n - a; the p-value is times the
    number of ends, and with ties too large, never too small. The interval is that of the growth
    beyond the end of what the reference was drawn from, which its own rows tell to some of them,
    and holds for all ends at once: it leaves 0 out only where the p-value is below 0.05.

    References
    ----------
    Zou and Donner, Statistics in Medicine 27, 2008 (interval of two estimates' sum from their own);
    Wilks, Annals of Mathematical Statistics 12, 1941 (order statistics as limits).
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
    ends = {}
    for word, (reference, window, points) in sides.items():
        for share in TAIL_SHARES:
            at = int(np.searchsorted(reference, 1.0 - share - 1e-12))
            at = min(at, points.size - 1)
            a, x = round((1.0 - reference[at]) * n), round((1.0 - window[at]) * m)
            # The (a + 1)-th of the reference from that end has x of the window beyond it if among
            # the first a + x of all at most a are the reference's.
            chance = float(stats.hypergeom.cdf(a, n + m, n, a + x)) if x else 1.0
            ends[word, float(points[at])] = (chance, a / n - x / m, a, x)
    (word, edge), (chance, _, a, x) = min(ends.items(), key=lambda end: end[1][:2])
    beyond, now = a / n, x / m
    low, high = _interval(sides[word][:2], (n, a), (m, x), 1 - ERROR / len(ends))
    exact, chance = curves.error == 0.0, min(1.0, len(ends) * chance)
    is_whole = edge == int(edge) and abs(edge) < 1e15
    shown = f"{edge:.0f}" if is_whole else f"{edge:.6g}"
    words = f"{now:.3g} of the values are {word} {shown}, {beyond:.3g} of the reference"
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
    curves: tuple[Counts, Counts],
    reference_rows: tuple[int, int],
    window_rows: tuple[int, int],
    level: float,
) -> tuple[float, float]:
    """Return the interval of the growth of the share beyond an end; negative where it shrank.

    Parameters
    ----------
    curves
        Shares at or below each point, of reference and window.
    reference_rows, window_rows
        All rows, and those beyond the end, of reference and window.
    level
        At which it is to hold, 0-1.
    """
    (reference, window), (n, a), (m, x) = curves, reference_rows, window_rows
    now = x / m
    z = float(special.ndtri((1 + level) / 2))
    own_low, own_high = wilson(x, m, z)
    if a == 0:  # Of the reference's own law some lies beyond its range, too.
        unseen = wilson(0, n, z)[1]
        return now - math.hypot(now - own_low, unseen), own_high
    # So many rows of the reference may lie beyond the end that its law has there.
    few, many = stats.binom.interval(level, n, a / n)
    at = np.searchsorted(reference, 1.0 - np.array([few, many]) / n - 1e-12)
    far, near = 1.0 - window[np.minimum(at, len(window) - 1)]
    return (
        now - math.hypot(now - own_low, now - float(far)) - a / n,
        now + math.hypot(own_high - now, float(near) - now) - a / n,
    )
