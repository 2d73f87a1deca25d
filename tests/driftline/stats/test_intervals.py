"""Intervals against scipy, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from driftline.stats.intervals import (
    auc_limits,
    few_share_limits,
    limits_over_shares,
    may_lack,
    positive_mean_limits,
    seen_count_limit,
    weighted_share_limits,
    wilson,
)

# Newcombe, Statistics in Medicine 17, 1998, table II: 56 of 70 less 48 of 80, method 10.
NEWCOMBES = (0.0524, 0.3339)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_is_wilsons(rows, share) -> None:
    count = round(share * rows)
    expected = stats.binomtest(count, rows).proportion_ci(0.95, method="wilson")

    assert wilson(count, rows) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("rows", [10, 25, 50, 200])
@pytest.mark.parametrize("share", [0.005, 0.02, 0.1, 0.3, 0.5])
def test_limits_of_a_rare_share_hold_it_by_exact_enumeration(rows: int, share: float) -> None:
    counts = np.arange(rows + 1)
    chance = stats.binom.pmf(counts, rows, share)

    limits = [few_share_limits(count, rows) for count in counts.tolist()]

    held = np.array([low <= share <= high for low, high in limits])
    # Brown, Cai and DasGupta's figure 8: never below 0.92, where Wilson's fall to 0.83.
    assert chance[held].sum() >= 0.92
    assert all(
        low <= count / rows <= high for count, (low, high) in zip(counts, limits, strict=True)
    )


@pytest.mark.first(6)
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("rows", [(40, 40), (15, 35), (100, 300)])
def test_a_divergence_of_equal_groups_may_be_zero_by_exact_enumeration(
    rows: tuple[int, int], share: float
) -> None:
    def root(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.sign(first - second) * (first - second) ** 2

    counts = [np.arange(stats.binom.ppf(1 - 1e-7, one, share) + 1) for one in rows]
    chances = [stats.binom.pmf(one, size, share) for one, size in zip(counts, rows, strict=True)]

    held = sum(
        chance_a * chance_d
        for a, chance_a in zip(counts[0].tolist(), chances[0], strict=True)
        for d, chance_d in zip(counts[1].tolist(), chances[1], strict=True)
        if limits_over_shares(root, (a, rows[0]), (d, rows[1]))[0] <= 0
        and limits_over_shares(root, (a, rows[0]), (d, rows[1]))[1] >= 0
    )

    assert held >= 0.935


def test_limits_over_two_shares_are_newcombes_for_their_difference_and_scipys_for_one() -> None:
    gap = limits_over_shares(np.subtract, (56, 70), (48, 80))
    one = limits_over_shares(lambda first, _: first / (1 - first), (30, 80), (0, 0))

    assert gap == pytest.approx(NEWCOMBES, abs=1e-4)
    wanted = stats.binomtest(30, 80).proportion_ci(0.95, method="wilson")
    odds = (wanted.low / (1 - wanted.low), wanted.high / (1 - wanted.high))
    assert one == pytest.approx(odds, abs=1e-4)


def test_limits_of_a_weighted_sum_are_newcombes_for_a_difference_and_open_without_rows() -> None:
    signed = np.array([1.0, -1.0])
    counts, rows = np.array([56.0, 48.0]), np.array([70.0, 80.0])

    assert weighted_share_limits(signed, counts, rows) == pytest.approx(NEWCOMBES, abs=5e-5)
    low, high = weighted_share_limits(signed, np.array([30.0, 0.0]), np.array([80.0, 0.0]))
    assert low < 30 / 80 - 1  # The second share may be 1.
    assert high == pytest.approx(wilson(30, 80)[1])


def test_limits_of_a_skew_mean_hold_it_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    values = rng.chisquare(1, (4_000, 60))  # Its mean is 1.
    mean, sd = values.mean(axis=1), values.std(axis=1)
    skew = ((values - mean[:, None]) ** 3).mean(axis=1) / sd**3

    limits = np.array(
        [
            positive_mean_limits(m, s / np.sqrt(60), g / np.sqrt(60))
            for m, s, g in zip(mean, sd, skew, strict=True)
        ]
    )

    # On the logarithm alone it is 0.935.
    assert ((limits[:, 0] <= 1) & (limits[:, 1] >= 1)).mean() >= 0.94


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
    assert may_lack(250, 500, 40, found=15) and not may_lack(250, 500, 40, found=5)


@pytest.mark.parametrize("mean", [1.0, 6.0, 11.0, 15.0, 25.0, 60.0])
def test_limits_of_a_count_hold_where_it_is_seen(mean: float) -> None:
    counts = np.arange(12, 200)
    chances = special.pdtr(counts, mean) - special.pdtr(counts - 1, mean)
    missed = [seen_count_limit(count, 12) > mean for count in counts.tolist()]

    assert chances[missed].sum() <= 0.025 * chances.sum()
    assert seen_count_limit(12, 12) == 0.0
    assert seen_count_limit(60, 12) == pytest.approx(special.gammaincinv(60, 0.025), abs=1e-6)
