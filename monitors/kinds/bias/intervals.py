"""The interval shown beside a bias metric, from counts alone. Pure.

What judges is `change.py`; the interval of the flip test (FT) is in `flip_test.py`.
Every metric is a function of a few shares; Wilson's limits of these give its own (MOVER), by
`driftline.stats.intervals`. docs/measured.md shows how often they hold the truth.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.kinds.bias.metrics import RATES, Measured, Pair, Side
from driftline.stats.intervals import (
    Z95,
    Limits,
    difference_limits,
    limits_over_shares,
    paired_ratio_limits,
    ratio_limits,
    weighted_share_limits,
    wilson,
)

DISTRIBUTIONS = ("KL", "JS", "LP", "TVD", "KS")

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


def denominators(name: str, pair: Pair) -> tuple[float, float]:
    """Return a metric's denominators in the others (a) and in the group (d)."""
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


def interval(name: str, pair: Pair, measured: Measured, *, z: float = Z95) -> Limits | None:
    """Return the limits of a metric's value, for independent rows."""
    value = measured.value
    if value is None or math.isnan(value):
        return None
    a, d = pair.a, pair.d
    if name in RATES:
        rate = RATES[name]
        first, second = (a, d) if rate.sign > 0 else (d, a)
        hits = np.array([rate.hits(first), rate.hits(second)])
        rows = np.array([rate.rows(first), rate.rows(second)])
        return weighted_share_limits(np.array([1.0, -1.0]), hits, rows, z)
    if name == "CI":
        low, high = wilson(float(d.rows), float(a.rows + d.rows), z)
        return 1 - 2 * high, 1 - 2 * low
    if name == "DI":
        d1, a1 = float(d.p1), float(a.p1)
        return ratio_limits(d1, d1 + float(d.p0), a1, a1 + float(a.p0), z)
    if name in DISTRIBUTIONS:
        return _divergence_limits(name, a, d, z)
    if name in ("DCA", "DCR"):
        first, second = (a, d) if name == "DCA" else (d, a)
        return _acceptance_limits(first, second, z, of_positives=name == "DCA")
    if name == "TE":
        return difference_limits(*_odds(d.fn, d.fp, z), *_odds(a.fn, a.fp, z))
    if name == "GE":
        return _entropy_limits(a + d, z)
    strata = pair.counts[:, :-1].sum(axis=3 if name == "CDDL" else 2)
    return _disparity_limits(strata[:, :, 0], strata[:, :, 1], value, z)


def _divergence_limits(name: str, a: Side, d: Side, z: float) -> Limits:
    """Return the limits of a divergence of two groups' shares of positive labels.

    They are those of its root with the sign of DPL, folded: the divergence may be 0 where DPL may
    be, which an interval around its value, above 0 by chance alone, would never include.
    """
    of_a, of_d = ((float(side.y1), float(side.y1 + side.y0)) for side in (a, d))
    low, high = limits_over_shares(partial(_signed_root, name), of_a, of_d, z)
    if low <= 0 <= high:
        return 0.0, max(-low, high) ** 2
    return min(low**2, high**2), max(low**2, high**2)


def _signed_root(name: str, qa: Numbers, qd: Numbers) -> Numbers:
    """Return the root of `divergences` of a binary label's shares, with the sign of DPL."""
    gap = qa - qd
    if name in ("TVD", "KS", "LP"):
        value = np.abs(gap) * (math.sqrt(2) if name == "LP" else 1.0)
    elif name == "KL":
        value = _binary_divergence(qa, qd)
    else:
        middle = (qa + qd) / 2
        value = (_binary_divergence(qa, middle) + _binary_divergence(qd, middle)) / 2
    # Rounding leaves shares that are nearly equal a divergence below 0.
    return np.asarray(np.copysign(np.sqrt(np.maximum(value, 0.0)), gap))


def _binary_divergence(first: Numbers, second: Numbers) -> Numbers:
    found: Numbers = special.rel_entr(first, second) + special.rel_entr(1 - first, 1 - second)
    return found


def _acceptance_limits(first: Side, second: Side, z: float, *, of_positives: bool) -> Limits:
    """Return the limits of observed over predicted positives (or negatives), first less second."""
    found: list[tuple[float, Limits]] = []
    for side in (first, second):
        both, observed, predicted = (
            (side.tp, side.fn, side.fp) if of_positives else (side.tn, side.fp, side.fn)
        )
        limits = paired_ratio_limits(float(both), float(observed), float(predicted), z)
        found.append((float((both + observed) / (both + predicted)), limits))
    return difference_limits(*found[0], *found[1])


def _odds(over: Numbers, under: Numbers, z: float) -> tuple[float, Limits]:
    """Return one count over another of different rows, and its limits."""
    low, high = wilson(float(over), float(over + under), z)
    return float(over / under), (low / (1 - low), high / (1 - high))


def _entropy_limits(both: Side, z: float) -> Limits:
    """Return the limits by the share of errors, and of missed positives among the errors."""
    errors = float(both.fn + both.fp)

    def entropy(wrong: Numbers, missed: Numbers) -> Numbers:
        low, high = wrong * missed, wrong * (1 - missed)
        with np.errstate(divide="ignore"):
            return np.asarray(((1 - low + 3 * high) / (1 - low + high) ** 2 - 1) / 2)

    return limits_over_shares(entropy, (errors, float(both.judged)), (float(both.fn), errors), z)


def _disparity_limits(rejected: Counts, accepted: Counts, value: float, z: float) -> Limits:
    """Return the limits of a mean over strata of differences of d's two shares (MOVER).

    A share of no rows is unknown; the value takes it as 0.
    """
    rows = (rejected + accepted).sum(axis=0).astype(np.float64)
    weights = rows / rows.sum()
    counts = np.concatenate([rejected, accepted], axis=1).astype(np.float64)
    shares = np.divide(counts[1], counts.sum(axis=0), out=np.zeros(counts.shape[1]),
                       where=counts.sum(axis=0) > 0)  # fmt: skip
    gaps = shares[: len(rows)] - shares[len(rows) :]
    # The strata's own shares of the rows are those of a sample, too.
    mix = float(weights @ (gaps - value) ** 2) / float(rows.sum())
    signed = np.concatenate([weights, -weights])
    low, high = weighted_share_limits(signed, counts[1], counts.sum(axis=0), z, variance=mix)
    return max(low, -1.0), min(high, 1.0)
