"""The test of one share against the reference: its likelihood ratio and critical value.

A column is cut into sets of rows (below a quantile, equal to a level, empty, never seen ...) whose
shares are compared with the reference's. The window's share is first moved towards the reference's
by a tolerance, so that what is tested is an effect beyond the tolerance, never "exactly equal".

Pure functions of counts; they take arrays of any shapes that broadcast against each other.

References
----------
Berk and Jones, Zeitschrift fuer Wahrscheinlichkeitstheorie 47, 1979 (the scan).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.roots import first_beyond

# Fewer rows than this are not judged: a share of them has no meaningful tolerance.
MIN_ROWS = 30

# How far a bound may lie from where its ratio reaches the critical value, in share.
BOUND_ERROR = 1e-8

# From here on exp(x) - 1 is as good as exp(x).
SURE_TILT = 3.0

# Values that come once foretell unseen ones; upper limit as in
# docs/reference/statistics.md.
ONCE_SPREAD = 2.42

# Shifts of a column, in standard deviations, of which an interval may tell.
SHIFTS = np.linspace(0.125, 4.0, 32)

TINY = float(np.finfo(np.float64).tiny)
LOG_TINY = math.log(TINY)

Numbers = NDArray[np.float64]


def critical_value(alpha: float, set_count: Numbers) -> Numbers:
    """Return the log-likelihood ratio, in nats, at which the strongest set has a p-value alpha."""
    return np.asarray(np.log(2.0 * set_count / alpha))


def likelihood_ratio(
    reference_share: Numbers,
    reference_rows: float | Numbers,
    window_share: Numbers,
    window_rows: float | Numbers,
    *,
    tolerance: Numbers | float,
) -> Numbers:
    """Weigh each set's difference beyond a tolerance: log-likelihood ratio of two binomials.

    Parameters
    ----------
    reference_share, window_share
        Shares in [0, 1]; shapes that broadcast against each other.
    reference_rows, window_rows
        Rows behind them, above 0.
    tolerance
        How far the window's share may lie from the reference's at no cost, in share.

    Returns
    -------
    numpy.ndarray
        G >= 0 in nats, 0 within the tolerance, rising with the difference on either side.
        Without drift P(G >= g) is at most about 2 exp(-g).

    References
    ----------
    docs/reference/statistics.md: p' = (pn + 1/2)/(n + 1), a = (mq + np')/(m + n),
    G = m kl(q, a) + n kl(p', a).
    """
    p, n, m = reference_share, reference_rows, window_rows
    gap = window_share - p
    moved = p + np.sign(gap) * np.maximum(np.abs(gap) - tolerance, 0.0)
    smoothed = (p * n + 0.5) / (n + 1.0)
    # Between p and its smoothed self there is nothing to tell: without this, G would first fall.
    moved = np.where(gap > 0, np.maximum(moved, smoothed), np.minimum(moved, smoothed))
    middle = (m * moved + n * smoothed) / (m + n)
    found = m * _divergence(moved, middle) + n * _divergence(smoothed, middle)
    return np.where(np.abs(gap) <= tolerance, 0.0, np.maximum(found, 0.0))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the shares of sets are compared with; arrays that broadcast against each other."""

    known: Numbers  # Shares of the reference, 0-1.
    known_rows: Numbers  # Rows that they rest on, above 0.
    rows: Numbers  # Rows of the window, above 0.
    tolerance: Numbers  # How far a share may move at no cost.
    # Design effects >= 1: the one to divide by, and the one that tells the size of clusters.
    effect: Numbers
    cluster_effect: Numbers
    # Of far cuts and intervals the design effect of the middle of the column, >= 1; 0 of others.
    shift_effect: Numbers
    middle: Numbers  # Normal score of the middle of an interval; NaN of other sets.

    def take(self, sets: NDArray[np.integer] | NDArray[np.bool_]) -> Comparison:
        """Return the comparison of some sets."""
        return Comparison(*(getattr(self, one.name)[sets] for one in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Comparison]) -> Comparison:
        """Concatenate comparisons."""
        names = [one.name for one in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def ratio(self, share: Numbers) -> Numbers:
        """Weigh differences of rows that hang together.

        Near the reference's share, rows that come in clusters tell as much as fewer independent
        ones: the ratio is divided by the design effect. Far above it that is too much: one large
        cluster in a set that usually has no rows at all is one surprise, not many. There the ratio
        is at most that against so many rows in clusters of random size. And what moves the middle
        of a column moves its far ends by far more: a far cut's ratio is at most that of the shift
        it would take, and so is an interval's, but for rows that no shift can bring into it.

        Parameters
        ----------
        share
            Of the window, in [0, 1].

        Returns
        -------
        numpy.ndarray
            In nats, >= 0, rising with the difference on either side.

        References
        ----------
        Polya-Aeppli law, a Poisson number of clusters of geometric size: Johnson, Kemp and Kotz,
        Univariate Discrete Distributions, 2005, section 9.7.
        """
        n, m = self.known_rows, self.rows
        whole = likelihood_ratio(self.known, n, share, m, tolerance=self.tolerance)
        smoothed = (self.known * n + 0.5) / (n + 1.0)
        excess = share - self.known - self.tolerance
        count, usual = m * np.maximum(self.known + excess, smoothed), m * smoothed
        # How much less a count says of clusters than of single rows; a share is no Poisson count.
        single = np.maximum(count * np.log(count / usual) - count + usual, TINY)
        bounded = m * _divergence(count / m, smoothed)
        bounded *= _cluster_rate(count, usual, self.cluster_effect)
        most = np.where((excess > 0) & (count > usual * (1.0 + 1e-6)), bounded / single, np.inf)
        found = np.minimum(whole / self.effect, most)
        # No shift that is tried costs less than the least of them.
        least = np.minimum(np.abs(self.middle), SHIFTS[0]) ** 2 * m / 2.0
        for limit, asked in (
            (_shift, np.isnan(self.middle)),
            (_shift_and_rest, found * self.shift_effect > least),
        ):
            far = np.broadcast_to((self.shift_effect > 0) & asked, found.shape)
            if far.any():
                given = (
                    smoothed, share, self.tolerance, m, self.shift_effect, self.middle, self.effect
                )  # fmt: skip
                own = (np.broadcast_to(one, found.shape)[far] for one in given)
                found[far] = np.minimum(found[far], limit(*own))
        return found

    def bounds(self, above: NDArray[np.bool_], target: Numbers) -> Numbers:
        """Find the distance at which the ratio reaches a target, in nats, per set.

        Parameters
        ----------
        above
            Whether the window's share lies above the reference's.

        Returns
        -------
        numpy.ndarray
            Distances in (0, 1]; infinite where not even a share of 0 or 1 would do.
        """
        room = np.where(above, 1.0 - self.known, self.known)
        side = np.where(above, 1.0, -1.0)

        def beyond(distance: Numbers) -> Numbers:
            return self.ratio(self.known + side * distance) - target

        found = first_beyond(beyond, np.minimum(self.tolerance, room), room, error=BOUND_ERROR)
        return np.where(np.isnan(found), np.inf, np.maximum(found, TINY))


def _shift(
    p: Numbers, q: Numbers, tolerance: Numbers, m: Numbers, effect: Numbers, *_: Numbers
) -> Numbers:
    """Weigh the shift of a normal variable that moves a share from p to q: m s^2 / 2, in nats."""
    gap = special.ndtri(_moved(p, q, tolerance, m)) - special.ndtri(p)
    return np.asarray(m * gap**2 / (2.0 * effect))


def _shift_and_rest(
    p: Numbers,
    q: Numbers,
    tolerance: Numbers,
    m: Numbers,
    effect: Numbers,
    middle: Numbers,
    rest_effect: Numbers,
) -> Numbers:
    """Weigh what an interval's share says of a shift, and of what this leaves, in nats.

    A narrow interval around z holds p exp(s z - s^2 / 2) after a shift by s. Of all shifts the one
    by which the two come to least: where no shift fills the interval, the rest is all.
    """
    moved = _moved(p, q, tolerance, m)[..., None]
    gains, far = moved > p[..., None], np.abs(middle)[..., None]
    shift = np.where(gains, np.minimum(SHIFTS, far), SHIFTS)
    usual = np.log(p)[..., None] + np.where(gains, shift, -shift) * far - shift**2 / 2.0
    usual = np.clip(usual, LOG_TINY, -1e-9)
    left = 1.0 - moved
    rest = moved * (np.log(moved) - usual) + left * (np.log(left) - np.log(-np.expm1(usual)))
    beyond = np.where(gains, np.log(moved) > usual, np.log(moved) < usual)
    rest = np.where(beyond, rest, 0.0) / rest_effect[..., None]
    found = m[..., None] * (shift**2 / (2.0 * effect[..., None]) + rest)
    return np.asarray(found.min(axis=-1))


def _moved(p: Numbers, q: Numbers, tolerance: Numbers, m: Numbers) -> Numbers:
    """Return the window's share moved by the tolerance; 0 and 1 are known to half a row."""
    moved = q - np.sign(q - p) * np.minimum(tolerance, np.abs(q - p))
    return np.asarray(np.clip(moved, 0.5 / (m + 1.0), 1.0 - 0.5 / (m + 1.0)))


def _cluster_rate(count: Numbers, usual: Numbers, effect: Numbers) -> Numbers:
    """Bound the chance of at least so many rows in clusters: its negative logarithm, in nats.

    A design effect of phi is that of clusters of geometric size with mean 1 / p = (phi + 1) / 2,
    so that with q = 1 - p and l = p u clusters the count C has E y^C = exp(K) with
    K = l (y - 1) / (1 - q y). For each y in (1, 1/q), P(C >= c) <= (exp(K) - 1) / (y^c - 1)
    by Markov's inequality for y^C - 1. Two y are tried: where K' = c / y, which is best for many
    clusters, and what is best for one; and y to 1, which gives u / c.
    """
    count, usual, effect = np.broadcast_arrays(count, usual, effect)
    p = 2.0 / (effect + 1.0)
    q, clusters = 1.0 - p, p * usual
    middle = 2.0 * q * count + clusters * p
    root = np.sqrt(np.maximum(middle**2 - (2.0 * q * count) ** 2, 0.0))
    many = 2.0 * count / (middle + root)
    found = np.maximum(np.log(count / usual), 0.0)
    found = np.maximum(found, _markov(many, np.sqrt(clusters * p * many / count), count, clusters))
    # q c y^2 - (c + q c - p) y + c = 0, of both roots the one that lies near 1/q.
    linear = count * (1.0 + q) - p
    square = linear**2 - 4.0 * q * count**2
    at = (square > 0) & (linear > 0) & (q > 1e-6)
    one = (linear[at] + np.sqrt(square[at])) / (2.0 * q[at] * count[at])
    rest = np.maximum(1.0 - q[at] * one, TINY)
    single = _markov(one, rest, count[at], clusters[at])
    # That root is best for y^c; where y^c - 1 is something else, it would come and go with c.
    single[count[at] * np.log(one) < SURE_TILT] = 0.0
    found[at] = np.maximum(found[at], single)
    return np.asarray(found)


def _markov(y: Numbers, rest: Numbers, count: Numbers, clusters: Numbers) -> Numbers:
    """Return log(y^c - 1) - log(exp(K) - 1), with ``rest`` = 1 - q y; 0 where y is 1."""
    beyond = y > 1.0 + 1e-9
    height = count * np.log(np.maximum(y, 1.0 + 1e-9))
    mass = np.maximum(clusters * (y - 1.0) / rest, TINY)
    # log(exp(x) - 1), for great and for small x.
    gained = height + np.log(-np.expm1(-height)) - mass - np.log(-np.expm1(-mass))
    return np.where(beyond, np.maximum(gained, 0.0), 0.0)


def unseen_share(once: Numbers | float, rows: Numbers | float) -> Numbers:
    """Return the share of rows with values never seen that is to be expected, at most.

    Parameters
    ----------
    once, rows
        Values that came once in the reference, and its rows.

    References
    ----------
    Good, Biometrika 40, 1953; docs/reference/statistics.md, "Unseen values" (the upper limit).
    """
    return np.asarray((once + ONCE_SPREAD * np.sqrt(once) + 1.0) / np.maximum(rows, 1.0))


def blame(excess: dict[str, float]) -> dict[str, float]:
    """Return contributions by each feature's log-likelihood ratio beyond its critical value.

    Parameters
    ----------
    excess
        Log-likelihood ratio minus critical value, in nats, per violating feature; whatever is
        below one nat counts as one, so that each violating feature carries some.

    Returns
    -------
    dict
        Shares per feature that sum to 1, or an empty dict.
    """
    weights = {name: max(1.0, value) for name, value in excess.items()}
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _divergence(first: Numbers, second: Numbers) -> Numbers:
    """Binary Kullback-Leibler divergence in nats; ``second`` lies inside (0, 1).

    scipy's rel_entr gives the same; numpy's logarithm is faster on arrays.
    """
    other = 1.0 - first
    found = first * np.log(np.maximum(first, TINY) / second)
    found += other * np.log(np.maximum(other, TINY) / (1.0 - second))
    return np.asarray(found)
