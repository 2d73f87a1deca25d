"""Regression on the calendar: against numpy's least squares and Python's own calendar."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from driftline.stats.calendar_regression import day_design, weighted_ridge


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


def test_weekends_are_those_of_the_calendar() -> None:
    days = np.arange(-10, 400)

    weekend = day_design(days, 30.0)[:, 1]

    expected = [(date(1970, 1, 1) + timedelta(days=int(day))).weekday() >= 5 for day in days]
    assert weekend.tolist() == [float(one) for one in expected]
