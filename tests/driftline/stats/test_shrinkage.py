"""Shrunken variances: Smyth's formulas against scipy's root, and what they foretell on draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special, stats

from driftline.stats.shrinkage import MOST_FREEDOM, shrink_variances, student_factor

FREEDOM = 27.0


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def drawn(rng: np.random.Generator, count: int, prior: float, usual: float) -> np.ndarray:
    """Variances as Smyth's model has them: true ones vary, each is known by 28 blocks."""
    true = usual * prior / rng.chisquare(prior, count)
    return true * rng.chisquare(FREEDOM, count) / FREEDOM


def test_the_prior_is_that_of_the_moments_of_the_logarithms(rng: np.random.Generator) -> None:
    variance = drawn(rng, 60, 8.0, 2.0)

    found = shrink_variances(variance, FREEDOM, np.zeros(60, np.int64))

    # Section 6.2 of the paper, the trigamma equation solved by Brent's method instead.
    logs = np.log(variance) - special.digamma(FREEDOM / 2) + np.log(FREEDOM / 2)
    aim = logs.var(ddof=1) - special.polygamma(1, FREEDOM / 2)
    prior = 2 * optimize.brentq(lambda y: special.polygamma(1, y) - aim, 1e-3, 1e4)
    usual = np.exp(logs.mean() + special.digamma(prior / 2) - np.log(prior / 2))
    expected = (prior * usual + FREEDOM * variance) / (prior + FREEDOM)
    assert found.freedom == pytest.approx(prior + FREEDOM, rel=1e-6)
    assert found.variance == pytest.approx(expected, rel=1e-6)


def test_draws_give_back_the_prior_that_they_are_from(rng: np.random.Generator) -> None:
    found = shrink_variances(drawn(rng, 20_000, 8.0, 2.0), FREEDOM, np.zeros(20_000, np.int64))

    assert found.freedom[0] - FREEDOM == pytest.approx(8.0, rel=0.1)


def test_each_group_is_shrunken_by_itself(rng: np.random.Generator) -> None:
    equal = 5.0 * rng.chisquare(FREEDOM, 50) / FREEDOM
    wild = drawn(rng, 50, 2.0, 1.0)
    group = np.repeat([0, 1], 50)

    both = shrink_variances(np.concatenate([equal, wild]), FREEDOM, group)
    alone = [shrink_variances(one, FREEDOM, np.zeros(50, np.int64)) for one in (equal, wild)]

    assert both.variance == pytest.approx(np.concatenate([one.variance for one in alone]))
    assert both.freedom[0] > 3 * both.freedom[-1]
    assert np.ptp(both.variance[:50]) < np.ptp(equal) / 3


def test_variances_without_spread_beyond_chance_share_one_with_all_its_freedom() -> None:
    found = shrink_variances(np.full(9, 3.0), FREEDOM, np.zeros(9, np.int64))

    assert found.freedom == pytest.approx(MOST_FREEDOM + FREEDOM)
    # Of equal estimates: their logarithm is less by digamma's bias than that of the truth.
    assert found.variance == pytest.approx(3.0, rel=0.05)


def test_few_estimates_and_those_of_nothing_stay_as_they_are() -> None:
    found = shrink_variances(np.array([1.0, 4.0, 0.0]), FREEDOM, np.array([0, 0, 0]))

    assert found.variance.tolist() == [1.0, 4.0, 0.0]
    assert found.freedom.tolist() == [FREEDOM] * 3


def test_no_variance_falls_below_what_its_own_blocks_leave_possible() -> None:
    variance = np.array([1.0] * 40 + [60.0])

    found = shrink_variances(variance, FREEDOM, np.zeros(41, np.int64))

    lowest = FREEDOM / stats.chi2.ppf(0.999, FREEDOM)
    assert found.variance[-1] >= lowest * 60.0


@pytest.mark.parametrize("freedom", [3.0, 27.0, 1000.0])
def test_the_factor_makes_a_normal_tail_as_heavy_as_students(freedom: float) -> None:
    factor = student_factor(5e-7, np.array([freedom]))[0]

    assert stats.norm.sf(stats.t.isf(5e-7, freedom) / np.sqrt(factor)) == pytest.approx(5e-7)
