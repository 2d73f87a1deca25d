"""Intervals against scipy, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from driftline.stats.intervals import newcombe, ratio_limits, wilson


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_is_wilsons(rows, share) -> None:
    count = round(share * rows)
    expected = stats.binomtest(count, rows).proportion_ci(0.95, method="wilson")

    assert wilson(count, rows) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("rows", [4, 1_000, 7_999, 20_000])
def test_an_interval_of_nothing_begins_at_nothing_and_one_of_all_ends_at_all(rows: int) -> None:
    assert wilson(0, rows)[0] == 0.0
    assert wilson(rows, rows)[1] == 1.0


@pytest.mark.parametrize(
    ("others", "group", "rates"),
    [(50, 20, (0.3, 0.2)), (50, 20, (0.1, 0.05)), (200, 50, (0.5, 0.5)), (1000, 200, (0.2, 0.15))],
)
def test_newcombes_limits_hold_the_truth_as_often_as_they_say(
    others: int, group: int, rates: tuple[float, float]
) -> None:
    rng = np.random.default_rng(1)
    drawn = zip(
        rng.binomial(others, rates[0], 3_000), rng.binomial(group, rates[1], 3_000), strict=True
    )

    limits = np.array([newcombe(a, others, d, group) for a, d in drawn])

    held = (limits[:, 0] <= rates[0] - rates[1]) & (rates[0] - rates[1] <= limits[:, 1])
    assert 0.935 <= held.mean() <= 0.985
    assert (limits[:, 1] > limits[:, 0]).all()


@pytest.mark.parametrize(("group", "others"), [(50, 200), (200, 1_000), (20, 50)])
def test_limits_of_a_ratio_hold_the_truth_as_often_as_they_say(group: int, others: int) -> None:
    rng = np.random.default_rng(2)
    drawn = zip(rng.binomial(group, 0.2, 3_000), rng.binomial(others, 0.3, 3_000), strict=True)

    limits = np.array([ratio_limits(d, group, a, others) for d, a in drawn if a])

    assert 0.93 <= ((limits[:, 0] <= 2 / 3) & (limits[:, 1] >= 2 / 3)).mean() <= 0.985
