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


@pytest.mark.parametrize("share", [0.001, 0.003, 0.01, 0.02])
def test_few_numbers_that_are_nearly_all_zeros_are_a_finding_no_more_often_than_by_chance(share):
    random = np.random.default_rng(7)
    tables = [[[size - one, one] for size, one in zip((8, 100_000), drawn, strict=True)]
              for drawn in random.binomial([8, 100_000], share, (2000, 2))]  # fmt: skip

    found = [associate(*np.array(one), ordered=2).p_value < 1e-4 for one in tables]

    # Binomial, 2,000 draws of 1e-4 or less: more than 5 once in a million.
    assert sum(found) <= 5


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
