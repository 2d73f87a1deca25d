"""Kolmogorov-Smirnov and Anderson-Darling against scipy and plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from driftline.stats.distances.curves import Curves
from driftline.stats.distances.edf import anderson_darling, kolmogorov_smirnov
from driftline.stats.distances.sample import Numbers

whole = hnp.arrays(np.float64, st.integers(2, 40), elements=st.integers(-9, 9).map(float))


def curves(first, second) -> Curves:
    sides = [
        Numbers(*(one.astype(float) for one in np.unique(side, return_counts=True)))
        for side in (first, second)
    ]
    return Curves.of(*sides)


def brute_anderson(first: np.ndarray, second: np.ndarray) -> float:
    """Scholz and Stephens 1987, formula 6, value by value: A^2 of two samples, ties as they are."""
    pooled = np.sort(np.concatenate([first, second]))
    total, found = pooled.size, 0.0
    for side in (first, second):
        inner = 0.0
        for value in np.unique(pooled)[:-1]:
            times, below = (pooled == value).sum(), (pooled <= value).sum()
            mine = (side <= value).sum()
            inner += times * (total * mine - side.size * below) ** 2 / (below * (total - below))
        found += inner / side.size
    return found / total


@settings(deadline=None)
@given(whole, whole)
def test_kolmogorov_smirnov_is_scipys(first, second) -> None:
    expected = stats.ks_2samp(first, second, method="asymp").statistic

    assert kolmogorov_smirnov(curves(first, second)).value == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(whole, whole)
def test_anderson_darling_is_scholz_and_stephens_formula(first, second) -> None:
    rows = first.size * second.size / (first.size + second.size)

    found = anderson_darling(curves(first, second))

    assert found.value * rows == pytest.approx(brute_anderson(first, second), rel=1e-9, abs=1e-12)
