"""How much days vary: against the theory of independent and of autoregressive days."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import signal, stats

from driftline.stats.day_variation import DayVariation, student_limit

ROWS = 24.0


def learnt(values: np.ndarray, span: float | None = None) -> DayVariation:
    """Learn from the means of days, shape (D, F), each of 24 rows."""
    days = np.arange(len(values)) + 15_000
    rows = np.full(values.shape, ROWS)
    variance = np.ones(values.shape[1])
    return DayVariation.of(days, values * ROWS, rows, variance, span or float(len(values)))


def test_the_variance_of_means_of_autoregressive_days_is_that_of_theory() -> None:
    memory, days, scores = 0.7, 730, 60
    noise = np.random.default_rng(1).normal(size=(days + 200, scores))
    values = signal.lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=0)[200:]

    found = learnt(values)

    for length in (1, 4, 16):
        lags = np.arange(1, length)
        theory = (1 + 2 * ((1 - lags / length) * memory**lags).sum()) / length
        assert found.lengths[length].variance.mean() == pytest.approx(theory, rel=0.12)


def test_blocks_with_missing_days_are_no_outliers() -> None:
    """A block of four days of which two are missing varies as one of two days does.

    Of the blocks a quarter lack days. Their variance was 19% too large and their tails were heavy.
    """
    rng = np.random.default_rng(8)
    days, scores = 1_000, 200
    values, rows = rng.normal(size=(days, scores)), np.full((days, scores), ROWS)
    rows[np.isin(np.arange(days) % 20, (9, 10))] = 0.0

    found = DayVariation.of(
        np.arange(days) + 15_000, values * rows, rows, np.ones(scores), float(days)
    ).lengths[4]

    assert found.variance.mean() * 4 == pytest.approx(1.0, rel=0.05)
    assert found.kurtosis.mean() < 0.05


@pytest.mark.parametrize(
    "days", [40, *(pytest.param(one, marks=pytest.mark.full) for one in (200, 730))]
)
def test_p_values_of_quiet_days_are_hardly_ever_small(days: int) -> None:
    """2,400 tests with 1% each: 24 expected; more than 60 come with a chance below 1e-6 if right.

    The bound leaves room for the scores of one span being independent, as they are here.
    """
    rng = np.random.default_rng(days)
    small = 0
    for _ in range(40):
        found = learnt(rng.normal(size=(days, 60)) * 0.5)
        span = rng.normal(size=(7, 60)) * 0.5
        excess = span - found.expected(np.arange(7) + 15_000 + days)
        test = found.test(excess.mean(axis=0), np.full(60, 7 * ROWS), 7, 15_003.5 + days)
        small += int((test.p_value < 0.01).sum())
    assert small <= 60


def test_the_p_value_is_students() -> None:
    found = learnt(np.random.default_rng(4).normal(size=(100, 5)))

    test = found.test(np.full(5, 0.8), np.full(5, 8 * ROWS), 8, 15_110.0)

    assert test.p_value == pytest.approx(2 * stats.t.sf(np.abs(test.statistic), test.freedom))
    limit = student_limit(0.01, test.freedom)
    assert limit == pytest.approx(stats.t.ppf(0.995, test.freedom))


def test_a_longer_span_is_no_less_certain_than_its_extrapolation_allows() -> None:
    found = learnt(np.random.default_rng(6).normal(size=(365, 8)))

    variances = [found._variance(length)[0] for length in (1, 2, 3, 8, 32, 64, 365)]
    freedoms = [found._variance(length)[1] for length in (64, 365)]

    assert all((later <= former * 1.001).mean() > 0.9 for former, later in pairwise(variances))
    assert all((one >= 1).all() for one in freedoms)
