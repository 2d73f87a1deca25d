"""How surely a bias metric is known: intervals from counts alone. Pure.

Shares, differences and ratios by `driftline.stats.intervals`; the rest by the delta method, or by a
multinomial bootstrap of the counts where a metric cannot be negative.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.kinds.bias.metrics import RATES, Measured, Pair, Side
from driftline.stats.intervals import Z95, Limits, newcombe, percentile_limits, ratio_limits, wilson

REPLICATES = 2_000
# A ratio of two small counts has no normal distribution to speak of.
LEAST_ERRORS = 5
DISTRIBUTIONS = ("KL", "JS", "LP", "TVD", "KS")

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


def denominators(name: str, pair: Pair) -> tuple[float, float]:
    """Return what a metric divides by in the others (a) and in the group (d): rows it rests on."""
    a, d = pair.a, pair.d
    if name in RATES:
        return float(RATES[name].rows(a)), float(RATES[name].rows(d))
    found = {
        "DI": (a.p1, d.p1 + d.p0),
        "DCA": (a.tp + a.fp, d.tp + d.fp),
        "DCR": (a.tn + a.fn, d.tn + d.fn),
        "TE": (a.fp, d.fp),
        "GE": (a.judged, d.judged),
        "CI": (a.rows, d.rows),
        "CDDPL": (a.p1 + a.p0, d.p1 + d.p0),
    }.get(name, (a.y1 + a.y0, d.y1 + d.y0))
    return float(found[0]), float(found[1])


def interval(
    name: str, pair: Pair, measured: Measured, *, z: float = Z95, seed: int = 0
) -> Limits | None:
    """Return the limits of a metric's value, as for independent rows."""
    value = measured.value
    if value is None or math.isnan(value):
        return None
    a, d = pair.a, pair.d
    if name in RATES:
        rate = RATES[name]
        first, second = (a, d) if rate.sign > 0 else (d, a)
        shares = (rate.hits(first), rate.rows(first), rate.hits(second), rate.rows(second))
        hits1, rows1, hits2, rows2 = (float(one) for one in shares)
        return newcombe(hits1, rows1, hits2, rows2, z)
    if name == "CI":
        low, high = wilson(float(d.rows), float(a.rows + d.rows), z)
        return 1 - 2 * high, 1 - 2 * low
    if name == "DI":
        d1, a1 = float(d.p1), float(a.p1)
        return ratio_limits(d1, d1 + float(d.p0), a1, a1 + float(a.p0), z)
    if name in DISTRIBUTIONS:
        return _bootstrap(name, a, d, z, seed)
    variance = _variance(name, pair)
    if variance is None:
        return None
    half = z * math.sqrt(variance)
    return (max(0.0, value - half) if name == "GE" else value - half), value + half


def _variance(name: str, pair: Pair) -> float | None:
    """Variance by the delta method; None where it does not hold."""
    a, d = pair.a, pair.d
    if name == "DCA":
        return sum(_ratio_variance(s.tp + s.fn, s.tp + s.fp, s.tp) for s in (a, d))
    if name == "DCR":
        return sum(_ratio_variance(s.tn + s.fp, s.tn + s.fn, s.tn) for s in (a, d))
    if name == "TE":
        if min(float(one) for s in (a, d) for one in (s.fn, s.fp)) < LEAST_ERRORS:
            return None
        return sum(float((s.fn / s.fp) ** 2 * (1 / s.fn + 1 / s.fp)) for s in (a, d))
    if name == "GE":
        return _entropy_variance(a + d)
    strata = pair.counts[:, :-1].sum(axis=3 if name == "CDDL" else 2)
    return _disparity_variance(strata[:, :, 0], strata[:, :, 1])


def _ratio_variance(over: np.ndarray, under: np.ndarray, both: np.ndarray) -> float:
    """Variance of over/under, two counts of the same rows, `both` of which count in either."""
    seen = max(float(over), 0.5)  # An empty numerator has an uncertainty, too.
    relative = 1 / seen + 1 / float(under) - 2 * float(both) / (seen * float(under))
    return (seen / float(under)) ** 2 * max(0.0, relative)


def _entropy_variance(both: Side) -> float:
    rows = float(both.judged)
    f0, f2 = float(both.fn) / rows, float(both.fp) / rows
    mean, square = 1 - f0 + f2, 1 - f0 + 3 * f2
    g0 = (-1 / mean**2 + 2 * square / mean**3) / 2
    g2 = (3 / mean**2 - 2 * square / mean**3) / 2
    return max(0.0, (g0**2 * f0 + g2**2 * f2 - (g0 * f0 + g2 * f2) ** 2) / rows)


def _disparity_variance(rejected: Counts, accepted: Counts) -> float:
    """Sum over strata of squared weight times the variances of d's two shares."""
    rows = (rejected + accepted).sum(axis=0)
    total = np.zeros(rows.shape)
    for one in (rejected, accepted):
        n = one.sum(axis=0)
        share = np.divide(one[1], n, out=np.zeros(n.shape), where=n > 0)
        total += np.divide(share * (1 - share), n, out=np.zeros(n.shape), where=n > 0)
    return float((np.square(rows / rows.sum()) * total).sum())


def _bootstrap(name: str, a: Side, d: Side, z: float, seed: int) -> Limits | None:
    """Percentile limits of what two groups' shares of positive labels give."""
    shares = _drawn(int(a.y1), int(a.y1 + a.y0), int(d.y1), int(d.y1 + d.y0), seed)
    return percentile_limits(_divergence_of(name, shares[0], shares[1]), z)


@lru_cache(maxsize=8)
def _drawn(hits_a: int, rows_a: int, hits_d: int, rows_d: int, seed: int) -> list[Numbers]:
    """Draw both groups' shares again and again; five metrics look at the same draws."""
    rng = np.random.default_rng(seed)
    both = ((hits_a, rows_a), (hits_d, rows_d))
    return [rng.binomial(rows, hits / rows, REPLICATES) / rows for hits, rows in both]


def _divergence_of(name: str, qa: Numbers, qd: Numbers) -> Numbers:
    """`divergences` of many pairs of shares of a binary label at once."""
    gap: Numbers = np.abs(qa - qd)
    if name in ("TVD", "KS"):
        return gap
    if name == "LP":
        return math.sqrt(2) * gap
    if name == "KL":
        return _binary_divergence(qa, qd)
    middle = (qa + qd) / 2
    return (_binary_divergence(qa, middle) + _binary_divergence(qd, middle)) / 2


def _binary_divergence(first: Numbers, second: Numbers) -> Numbers:
    found: Numbers = special.rel_entr(first, second) + special.rel_entr(1 - first, 1 - second)
    return found
