"""Regression on the calendar: against numpy's least squares and Python's own calendar."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from driftline.stats.calendar_regression import Ridge, day_design, hour_design, weighted_ridge


def test_coefficients_are_those_of_weighted_least_squares() -> None:
    rng = np.random.default_rng(1)
    design, weights = rng.normal(size=(60, 4)), rng.integers(1, 9, 60).astype(float)
    values = rng.normal(size=(60, 2))

    found = weighted_ridge(design, weights, values, 1e-12)

    root = np.sqrt(weights)[:, None]
    expected = np.linalg.lstsq(design * root, values * root, rcond=None)[0]  # numpy's.
    assert found == pytest.approx(expected, abs=1e-9)


def test_each_series_may_have_weights_of_its_own() -> None:
    rng = np.random.default_rng(2)
    design, weights = rng.normal(size=(30, 3)), rng.random((30, 2))
    values = rng.normal(size=(30, 2))

    found = weighted_ridge(design, weights, values, 1e-6)

    for at in range(2):
        alone = weighted_ridge(design, weights[:, at], values[:, [at]], 1e-6)
        assert found[:, [at]] == pytest.approx(alone)


def test_weights_that_come_again_give_the_same_to_the_last_digit() -> None:
    rng = np.random.default_rng(3)
    design, weights = rng.normal(size=(30, 3)), rng.random((2, 30))
    ridge = Ridge(design, 1e-6)

    for at in (0, 0, 1, 0):
        values = rng.normal(size=(30, 2))
        expected = weighted_ridge(design, weights[at], values, 1e-6)
        assert ridge.fit(weights[at].copy(), values).tolist() == expected.tolist()


def test_weekends_are_those_of_the_calendar() -> None:
    days = np.arange(-10, 400)

    weekend = day_design(days, 30.0)[:, 1]

    expected = [(date(1970, 1, 1) + timedelta(days=int(day))).weekday() >= 5 for day in days]
    assert weekend.tolist() == [float(one) for one in expected]


@pytest.mark.parametrize(
    ("span", "of_hours", "of_days"), [(27.5, 24, 1), (28.0, 29, 2), (330.0, 41, 6)]
)
def test_a_longer_reference_tells_more(span: float, of_hours: int, of_days: int) -> None:
    assert hour_design(np.arange(100), span).shape == (100, of_hours)
    assert day_design(np.arange(10), span).shape == (10, of_days)


def test_the_year_closes_after_four_of_them() -> None:
    """365.2425 days: the Gregorian calendar's mean year."""
    design = day_design(np.array([0, 1461]), 400.0)

    assert design[0, 2:] == pytest.approx(design[1, 2:], abs=0.01)
