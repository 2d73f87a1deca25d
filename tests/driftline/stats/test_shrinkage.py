"""Shrunken variances: Smyth's formulas against scipy's root, and what they foretell on draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special, stats

from driftline.stats.shrinkage import freedom_of_means, shrink_variances, student_factor

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

    found = shrink_variances(variance, FREEDOM, np.zeros(60, np.int64)).variance

    # Section 6.2 of the paper, the trigamma equation solved by Brent's method instead.
    logs = np.log(variance) - special.digamma(FREEDOM / 2) + np.log(FREEDOM / 2)
    aim = logs.var(ddof=1) - special.polygamma(1, FREEDOM / 2)
    prior = 2 * optimize.brentq(lambda y: special.polygamma(1, y) - aim, 1e-3, 1e4)
    usual = np.exp(logs.mean() + special.digamma(prior / 2) - np.log(prior / 2))
    expected = (prior * usual + FREEDOM * variance) / (prior + FREEDOM)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.full
def test_shrunken_variances_lie_nearer_to_the_truth(rng: np.random.Generator) -> None:
    true = 2.0 * 8.0 / rng.chisquare(8.0, 20_000)
    variance = true * rng.chisquare(FREEDOM, true.size) / FREEDOM

    found = shrink_variances(variance, FREEDOM, np.zeros(true.size, np.int64)).variance

    # The posterior of Smyth's model, section 4: its mean is the least error that there is.
    best = (8.0 * 2.0 + FREEDOM * variance) / (8.0 + FREEDOM)
    assert found == pytest.approx(best, rel=0.05)


@pytest.mark.full
@pytest.mark.parametrize("shared", [0.0, 0.5, 0.95])
def test_the_freedom_is_no_more_than_the_estimates_truly_have(
    rng: np.random.Generator, shared: float
) -> None:
    """80 sets of one variance, from the same 28 blocks: the more they share, the less they know."""
    common = np.sqrt(shared) * rng.normal(size=(300, 28, 1))
    squares = (common + np.sqrt(1.0 - shared) * rng.normal(size=(300, 28, 80))) ** 2
    group = np.zeros(80, np.int64)

    found = [shrink_variances(one.mean(axis=0), 28.0, group) for one in squares]
    freedom = [
        shrunken.freedom(28.0, freedom_of_means(one.mean(axis=1)[:, None]))[0]
        for shrunken, one in zip(found, squares, strict=True)
    ]

    # A mean of nu squares varies by 2 / nu.
    truly = 2.0 / np.mean([(one.variance[0] - 1.0) ** 2 for one in found])
    claimed = 1.0 / np.mean([1.0 / one for one in freedom])
    assert 0.25 * truly < claimed < 1.3 * truly


@pytest.mark.parametrize("freedom", [3.0, 27.0, 1000.0])
def test_the_factor_makes_a_normal_tail_as_heavy_as_students(freedom: float) -> None:
    factor = student_factor(5e-7, np.array([freedom]))[0]

    assert stats.norm.sf(stats.t.isf(5e-7, freedom) / np.sqrt(factor)) == pytest.approx(5e-7)
