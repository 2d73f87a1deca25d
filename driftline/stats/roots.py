"""Where a function of arrays passes zero, each element by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
# Halving alone takes one step a bit: more than these are never needed to 1e-15 of the bracket.
MOST_STEPS = 50


def first_beyond(
    function: Callable[[Numbers], Numbers], low: Numbers, high: Numbers, *, error: float
) -> Numbers:
    """Find where functions rise above zero, by brackets that shrink.

    scipy.optimize.elementwise.find_root does the same; importing it costs a check a third of its
    time.

    Parameters
    ----------
    function
        Of shape (K,) to shape (K,), each element by itself; at `low` not above 0.
    low, high
        Ends of the brackets, shape (K,).
    error
        How wide a bracket may stay, above 0.

    Returns
    -------
    numpy.ndarray
        Upper ends of the last brackets, shape (K,): there the function is above 0, and below it is
        not by `error`. NaN where it is not above 0 at `high`.

    References
    ----------
    Chandrupatla, Advances in Engineering Software 28, 1997 (inverse quadratic interpolation where
    it is safe, else halving).
    """
    a, b = np.array(high, np.float64), np.array(low, np.float64)
    at_a, at_b = function(a), function(b)
    lacks = ~(at_a > 0)
    c, at_c, share = b.copy(), at_b.copy(), np.full(a.shape, 0.5)
    for _ in range(MOST_STEPS):
        open_ = ~lacks & (np.abs(b - a) > error)
        if not open_.any():
            break
        x = np.where(open_, a + share * (b - a), a)
        at_x = np.where(open_, function(x), at_a)
        stays = (at_x > 0) == (at_a > 0)
        c, at_c = np.where(stays, a, b), np.where(stays, at_a, at_b)
        b, at_b = np.where(stays, b, a), np.where(stays, at_b, at_a)
        a, at_a = x, at_x
        with np.errstate(divide="ignore", invalid="ignore"):
            place, height = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
            safe = (height**2 < place) & ((1.0 - height) ** 2 < 1.0 - place)
            guess = at_a / (at_b - at_a) * at_c / (at_b - at_c) + (c - a) / (b - a) * at_a / (
                at_c - at_a
            ) * at_b / (at_c - at_b)
            least = 0.5 * error / np.abs(b - a)
        share = np.where(safe & np.isfinite(guess), guess, 0.5)
        share = np.clip(share, np.minimum(least, 0.5), 1.0 - np.minimum(least, 0.5))
    return np.where(lacks, np.nan, np.where(at_a > 0, a, b))
