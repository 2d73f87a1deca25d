"""Tails of sums that are skewed, or heavier than normal."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from driftline.monitors.engine.metric import TINY, Array

NORMAL_SKEWNESS = 1e-3  # Below this a law is taken as normal.
SCALE_POINTS = 24


def pearson_tail(z: Array, skewness: Array) -> Array:
    """Return P(Z >= z) of a standardised sum of this skewness.

    Parameters
    ----------
    z
        Distances in standard deviations, any shape.
    skewness
        Third cumulant over variance^1.5, of a shape that broadcasts; below 0 the law is mirrored.

    Returns
    -------
    numpy.ndarray
        Of Pearson's type III law, a shifted gamma: exact for sums of normal rows and their squares,
        close for counts. Within [0, 1].

    References
    ----------
    Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1, 1994, ch. 17.
    """
    is_normal = np.abs(skewness) < NORMAL_SKEWNESS
    shape = 4.0 / np.where(is_normal, 1.0, skewness) ** 2
    at = np.maximum(shape + np.sign(skewness) * z * np.sqrt(shape), 0.0)
    gamma = np.where(skewness > 0, special.gammaincc(shape, at), special.gammainc(shape, at))
    return np.where(is_normal, special.ndtr(-z), gamma)


def pearson_quantile(p: Array, skewness: Array) -> Array:
    """Return z with P(Z < z) = p of the same law; arguments as in `pearson_tail`."""
    is_normal = np.abs(skewness) < NORMAL_SKEWNESS
    shape = 4.0 / np.where(is_normal, 1.0, skewness) ** 2
    at = special.gammaincinv(shape, np.where(skewness > 0, p, 1.0 - p))
    # Beyond what doubles tell apart a quantile is infinite.
    with np.errstate(invalid="ignore"):
        skewed = np.sign(skewness) * (at - shape) / np.sqrt(shape)
    return np.where(is_normal, special.ndtri(p), skewed)


def less_half_row(distance: Array, half: Array) -> Array:
    """Take half a row off a distance above 0: of counts it is no evidence."""
    return np.where(distance > 0, np.maximum(distance - half, 0.0), distance)


def student_chance(chance: Array, degrees: float) -> Array:
    """Return Student's chance at the same normal quantile: rows' variance is an estimate."""
    chance = np.clip(chance, TINY, 1.0 - 1e-16)
    return np.asarray(special.stdtr(degrees, special.ndtri(chance)))


def student_scales(degrees: float) -> tuple[Array, Array]:
    """Return factors of a normal variance that make it Student's t law, and their chances.

    Both of shape (SCALE_POINTS,): a grid over the chi-squared law that divides the variance.

    References
    ----------
    Andrews and Mallows, JRSS B 36, 1974 (scale mixtures of normal distributions).
    """
    low, high = special.gammaincinv(degrees / 2.0, np.array([1e-9, 1.0 - 1e-6])) * 2.0
    logs = np.linspace(math.log(low), math.log(high), SCALE_POINTS)
    density = degrees / 2.0 * logs - np.exp(logs) / 2.0
    chances = np.exp(density - density.max())
    return degrees / np.exp(logs), chances / chances.sum()
