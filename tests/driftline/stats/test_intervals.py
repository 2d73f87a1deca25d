"""Intervals against scipy, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from driftline.stats.intervals import (
    auc_limits,
    may_lack,
    wilson,
)

# Newcombe, Statistics in Medicine 17, 1998, table II: 56 of 70 less 48 of 80, method 10.
NEWCOMBES = (0.0524, 0.3339)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_is_wilsons(rows, share) -> None:
    count = round(share * rows)
    expected = stats.binomtest(count, rows).proportion_ci(0.95, method="wilson")

    assert wilson(count, rows) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_limits_of_an_auc_of_three_positives_hold_it_as_often_as_they_say() -> None:
    rng = np.random.default_rng(6)
    truth = stats.norm.cdf(1.2 / np.sqrt(2))
    others, positives = rng.standard_normal((2_000, 147)), rng.standard_normal((2_000, 3)) + 1.2
    areas = (positives[:, :, None] > others[:, None, :]).mean(axis=(1, 2))

    limits = np.array([auc_limits(area, (147, 3)) for area in areas])

    assert 0.935 <= ((limits[:, 0] <= truth) & (truth <= limits[:, 1])).mean() <= 0.99


@pytest.mark.parametrize("share", [0.0, 0.005, 0.02, 0.5, 1.0])
def test_rows_that_lack_something_are_a_finding_less_often_than_once_in_a_thousand(
    share: float,
) -> None:
    for rows in (1, 30, 300, 3_000):
        lacking = (1.0 - share) ** rows
        counts = stats.binom.rvs(500, share, size=200, random_state=rows)
        found = [not may_lack(count, 500, rows) for count in counts]
        assert np.mean(found) * lacking < 1e-3
    assert not may_lack(500, 500, 5)
