"""Kolmogorov-Smirnov, Cramér-von Mises and Anderson-Darling against scipy and plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from driftline.stats.distances.curves import Curves
from driftline.stats.distances.edf import (
    _anderson_chance,
    anderson_darling,
    cramer_von_mises,
    kolmogorov_smirnov,
)
from driftline.stats.distances.sample import Numbers

whole = hnp.arrays(np.float64, st.integers(2, 40), elements=st.integers(-9, 9).map(float))


def curves(first, second, error: float = 0.0) -> Curves:
    sides = [
        Numbers(*(one.astype(float) for one in np.unique(side, return_counts=True)))
        for side in (first, second)
    ]
    found = Curves.of(*sides)
    return Curves(*(getattr(found, key) for key in KEYS), error)


KEYS = ("points", "reference", "window", "reference_rows", "window_rows")


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


@pytest.mark.filterwarnings("ignore:ks_2samp. Exact calculation unsuccessful")
@settings(deadline=None)
@given(whole, whole)
def test_kolmogorov_smirnov_is_scipys_with_its_exact_chance(first, second) -> None:
    expected = stats.ks_2samp(first, second, method="exact")

    found = kolmogorov_smirnov(curves(first, second))

    assert found.value == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_kolmogorov_smirnov_of_many_rows_has_scipys_chance() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=9_000), rng.normal(0.04, 1, 4_000)

    found = kolmogorov_smirnov(curves(first, second))

    expected = stats.ks_2samp(first, second, method="asymp").pvalue
    assert expected <= found.p_value == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("rows", [1, 3, 20])
def test_kolmogorov_smirnov_of_a_few_rows_against_many_is_never_below_the_exact_chance(
    rows: int,
) -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(size=1_500)
    few = [rng.normal(shift, 1, rows) for shift in (0.0, 0.5, 1.0, 2.0)]

    for second in few:
        exact = stats.ks_2samp(first, second, method="exact").pvalue
        sketched = kolmogorov_smirnov(curves(first, second, 1e-12)).p_value
        assert kolmogorov_smirnov(curves(first, second)).p_value == pytest.approx(exact, rel=1e-6)
        # By the limiting law, as from a million pairs of rows on.
        assert sketched >= min(1.0, exact) * (1 - 1e-6)


def test_the_error_of_sketches_widens_the_interval_and_weakens_the_chance() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=3_000), rng.normal(0.2, 1, 3_000)

    plain = kolmogorov_smirnov(curves(first, second))
    blurred = kolmogorov_smirnov(curves(first, second, 0.02))

    assert blurred.value == plain.value
    assert blurred.p_value == pytest.approx(stats.kstwo.sf(plain.value - 0.02 - 1 / 3_000, 1_500))
    assert blurred.upper - plain.upper == pytest.approx(0.02)
    assert "upper bound" in blurred.note


@settings(deadline=None)
@given(whole, whole)
def test_cramer_von_mises_is_the_mean_square_over_the_rows_of_both(first, second) -> None:
    both = np.concatenate([first, second])
    gaps = [np.mean(first <= one) - np.mean(second <= one) for one in both]

    found = cramer_von_mises(curves(first, second))

    assert found.value == pytest.approx(np.mean(np.square(gaps)), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.2])
def test_cramer_von_mises_without_ties_is_scipys_with_its_chance(shift: float) -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=800), rng.normal(shift, 1, 500)
    expected = stats.cramervonmises_2samp(first, second, method="asymptotic")

    found = cramer_von_mises(curves(first, second))

    assert found.value * 800 * 500 / 1_300 == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(whole, whole)
def test_anderson_darling_is_scholz_and_stephens_formula(first, second) -> None:
    rows = first.size * second.size / (first.size + second.size)

    found = anderson_darling(curves(first, second))

    assert found.value * rows == pytest.approx(brute_anderson(first, second), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("statistic", "level"),
    [  # D'Agostino and Stephens, Goodness-of-Fit Techniques, 1986, table 4.2, case 0.
        (1.248, 0.25),
        (1.933, 0.10),
        (2.492, 0.05),
        (3.070, 0.025),
        (3.880, 0.01),
        (4.500, 0.005),
        (6.000, 0.001),
    ],
)
def test_anderson_darling_has_the_published_tail(statistic: float, level: float) -> None:
    flat = np.array([0.0, 1.0])
    # Two points, the first of pooled share 1/2: A^2 = N_e gap^2 / (1/4) / 2.
    gap = 0.02
    rows = 2 * statistic / (4 * gap**2)
    made = Curves(flat, np.array([0.51, 1.0]), np.array([0.49, 1.0]), 2 * rows, 2 * rows)

    found = anderson_darling(made)

    assert found.value * rows == pytest.approx(statistic)
    assert found.p_value is None  # Two values: the law does not hold, and nothing is made up.
    assert _anderson_chance(statistic) == pytest.approx(level, rel=0.04)


def test_far_tails_fall_smoothly_and_never_reach_zero() -> None:
    rng = np.random.default_rng(5)
    found = [
        (anderson_darling(made).p_value, cramer_von_mises(made).p_value)
        for shift in np.linspace(0.1, 1.0, 19)
        for made in [curves(rng.normal(size=2_000), rng.normal(shift, 1, 2_000))]
    ]

    assert all(0.0 < chance < 1.0 for pair in found[:10] for chance in pair)
    anderson = [pair[0] for pair in found[:10]]
    assert max(b / a for a, b in zip(anderson, anderson[2:], strict=False)) < 1.0


@given(whole, whole)
@settings(deadline=None)
def test_all_are_symmetric_and_zero_for_equals(first, second) -> None:
    for measure in (kolmogorov_smirnov, cramer_von_mises, anderson_darling):
        one, other = measure(curves(first, second)), measure(curves(second, first))
        assert one.value == pytest.approx(other.value, abs=1e-12)
        assert measure(curves(first, first)).value == pytest.approx(0.0, abs=1e-15)


def test_the_interval_of_kolmogorov_smirnov_holds_the_true_distance() -> None:
    rng = np.random.default_rng(6)
    # Of two normal distributions half a sd apart: 2 Phi(1/4) - 1.
    truth = 2 * stats.norm.cdf(0.25) - 1

    found = [
        kolmogorov_smirnov(curves(rng.normal(size=1_500), rng.normal(0.5, 1, 300)))
        for _ in range(100)
    ]

    # By the inequality at most 5 of 100 miss; that more than 15 do has a chance below 1e-4.
    assert sum(not one.lower <= truth <= one.upper for one in found) <= 5
    assert np.mean([one.corrected for one in found]) == pytest.approx(truth, abs=0.02)
    assert not math.isnan(found[0].p_value)
