"""Many tests, one chance of a false alarm: a year's budget, and Holm's steps within one look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def alpha_per_test(
    false_alarms_per_year: float,
    windows_per_year: float,
    columns: int,
    *,
    scale: int = 1,
    scale_count: int = 1,
) -> float:
    """Return a test's share of a year's budget of false alarms (Bonferroni).

    Parameters
    ----------
    false_alarms_per_year, windows_per_year, columns
        The budget, and what it is for.
    scale, scale_count
        Windows in the judged span, and how many such scales there are: spans of 64 windows end
        but once in 64 windows, so each of their tests may take 64 times as much.

    Returns
    -------
    float
        The p-value below which one column of one span is a violation: by linearity the expected
        number a year is then at most the budget, however columns, scales and windows hang
        together.

    References
    ----------
    Bonferroni, Pubblicazioni del R Istituto Superiore di Scienze Economiche e Commerciali di
    Firenze 8, 1936.
    """
    tests = windows_per_year * max(columns, 1) * max(scale_count, 1)
    return false_alarms_per_year * scale / tests


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """Return the level at which each of several tests is decided, so that together they keep alpha.

    The smallest p-value is compared with alpha over the number of tests, the next with alpha over
    one less ... until one fails; the rest are compared with the level of that one.

    Parameters
    ----------
    p_values
        Of all tests, in any order; each is significant where it is below its level.
    alpha
        Chance of any false alarm among them.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    left = len(p_values)
    levels = [0.0] * left
    for place in np.argsort(p_values, kind="stable"):
        levels[place] = alpha / left
        if p_values[place] < levels[place] and left > 1:
            left -= 1
    return levels
