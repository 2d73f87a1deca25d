"""Cramér's V and its test beside scipy's, and what holds whatever the counts are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, hypergeom, mannwhitneyu
from scipy.stats.contingency import association

from driftline.stats.association import associate

COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=12)


@pytest.mark.parametrize("seed", range(20))
def test_statistic_and_effect_are_scipy_s(seed):
    random = np.random.default_rng(seed)
    table = random.integers(20, 400, (2, random.integers(2, 9)))

    found = associate(*table)

    tested = chi2_contingency(table, correction=False)
    total, places = table.sum(), table.shape[1]
    uncorrected = association(table, method="cramer") ** 2  # Of two groups: chi-squared over n.
    excess = max(0.0, uncorrected - (places - 1) / (total - 1))
    least = min(1 - 1 / (total - 1), places - 1 - (places - 1) ** 2 / (total - 1))
    assert found.p_value == pytest.approx(tested.pvalue, rel=1e-9)
    assert found.effect == pytest.approx(np.sqrt(excess / least), rel=1e-9)


@given(COUNTS)
def test_effect_and_chance_are_shares_and_sides_may_change_places(pairs):
    first, second = np.array(pairs, np.int64).T

    found = associate(first, second)

    assert 0 <= found.effect <= 1
    assert 0 <= found.p_value <= 1
    swapped = associate(second, first)
    assert (swapped.effect, swapped.p_value) == pytest.approx((found.effect, found.p_value))


@given(st.lists(st.integers(0, 500), min_size=1, max_size=12), st.integers(1, 5))
def test_equal_shares_differ_by_nothing(counts, times):
    side = np.array(counts, np.int64)

    assert associate(side, side * times).effect == 0
    assert associate(side, side * times).p_value == pytest.approx(1)


def test_groups_without_a_value_in_common_differ_wholly():
    assert associate(np.array([80, 0, 40]), np.array([0, 300, 0])).effect > 0.99


def test_rare_values_count_as_one_place():
    """A thousand values of a row each say nothing; the test would, by its approximation."""
    random = np.random.default_rng(3)
    sides = random.integers(0, 2, (2, 1000))

    assert associate(*sides) == associate(sides[0][::-1], sides[1])
    assert associate(*sides).effect == 0


def test_an_empty_group_tells_nothing():
    assert associate(np.zeros(3, np.int64), np.array([1, 2, 3])).p_value == 1


def test_no_difference_is_found_as_often_as_chance_allows():
    random, share = np.random.default_rng(11), [0.5, 0.3, 0.15, 0.05]

    found = [
        associate(random.multinomial(400, share), random.multinomial(4000, share)).p_value < 0.05
        for _ in range(2000)
    ]

    # Binomial, 2,000 draws of 0.05: beyond 4.9 standard deviations once in a million.
    assert abs(np.mean(found) - 0.05) < 4.9 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize("seed", range(20))
def test_few_numbers_are_tested_beside_each_place(seed):
    """Source: scipy's hypergeometric law."""
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 12, 6), random.integers(0, 8, 42)
    counts = [np.bincount(one, minlength=14) for one in (first, second)]

    found = associate(*counts, ordered=12)

    both = np.concatenate([first, second])
    cuts = np.unique(both)[1:]
    tails = [
        law
        for cut in cuts
        for one in [hypergeom(48, int((both < cut).sum()), 6)]
        for law in (one.cdf((first < cut).sum()), one.sf((first < cut).sum() - 1))
    ]
    by_cuts = min(1, 2 * len(cuts) * min(tails))
    by_places = associate(*counts).p_value
    assert found.p_value == pytest.approx(min(1, 2 * min(by_cuts, by_places)), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_effect_of_few_numbers_is_scipy_s_rank_correlation_less_chance(seed):
    random = np.random.default_rng(seed)
    first, second = random.normal(9, 1, 6), random.normal(7, 1, 42)
    places = np.searchsorted(np.sort(np.concatenate([first, second])), [*first, *second])
    counts = [np.bincount(one, minlength=50) for one in (places[:6], places[6:])]

    found = associate(*counts, ordered=48)

    apart = 2 * mannwhitneyu(first, second).statistic / (6 * 42) - 1
    chance = 49 / (3 * 6 * 42)
    assert found.effect == pytest.approx(np.sqrt((apart**2 - chance) / (1 - chance)), rel=1e-9)


def test_six_of_forty_eight_rows_that_are_the_highest_are_told():
    """Fisher's exact test of "among the nine highest" has p = 7e-6; the places alone have none."""
    others, six = np.full(16, 2), np.zeros(16, np.int64)
    others[-4:], six[-4:] = [6, 4, 0, 0], [0, 0, 3, 3]

    assert associate(six, others).p_value == 1
    found = associate(six, others, ordered=16)
    assert found.p_value < 1e-3 and found.effect > 0.8


def test_of_many_rows_the_order_changes_nothing():
    counts = np.array([100, 80, 60]), np.array([90, 90, 90])

    assert associate(*counts, ordered=3) == associate(*counts)


def test_a_rare_place_alone_is_joined_with_the_next():
    """Fisher's exact test has p = 0.03 here; chi-squared with 0.03 expected rows 2e-8."""
    assert associate(np.array([5, 1, 0]), np.array([9945, 49, 0])).p_value == 1
    three = associate(np.array([50, 40, 1]), np.array([500, 400, 1]))
    assert three == associate(np.array([50, 41]), np.array([500, 401]))


@pytest.mark.parametrize("ordered", [0, 3])
@pytest.mark.parametrize("rest", [[0.05] * 20, [0.99, 0.005, 0.005], [0.5, 0.49, 0.01]])
def test_few_rows_differ_by_chance_no_more_often_than_said(rest, ordered):
    random = np.random.default_rng(13)

    found = [
        associate(
            random.multinomial(7, rest), random.multinomial(500, rest), ordered=ordered
        ).p_value
        < 0.01
        for _ in range(2000)
    ]

    assert np.mean(found) < 0.01 + 4.9 * np.sqrt(0.01 * 0.99 / 2000)
