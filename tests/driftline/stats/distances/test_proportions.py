"""Shares of rows, tails and different values against exact laws and plain counting."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import driftline as dl
from driftline.errors import UndecidedError
from driftline.stats.distances.cardinality import expected_distinct
from driftline.stats.distances.proportions import share_difference


@given(st.integers(0, 60), st.integers(60, 90), st.integers(0, 40), st.integers(40, 70))
@settings(deadline=None)
def test_the_chance_of_two_shares_is_fishers_doubled(a: int, n: int, x: int, m: int) -> None:
    table = [[x, m - x], [a, n - a]]
    ends = [stats.fisher_exact(table, alternative=one).pvalue for one in ("less", "greater")]

    found = share_difference("missing", a, n, x, m)

    assert found.value == pytest.approx(abs(a / n - x / m))
    assert found.p_value == pytest.approx(min(1.0, 2 * min(ends)), rel=1e-9)


def test_the_interval_of_two_shares_is_newcombes() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, table II, (a) and (c), method 10.
    found = share_difference("missing", 48, 80, 56, 70)
    assert (found.lower, found.upper) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    found = share_difference("missing", 2, 7, 6, 7)
    assert (found.lower, found.upper) == pytest.approx((0.0582, 0.8062), abs=5e-5)


def test_shares_of_rows_are_told_apart() -> None:
    reference = ["a", "b", None, ""] * 25
    window = ["a", "", "", None] * 25

    found = dl.distances(reference, window)

    assert found["missing"].value == pytest.approx(0.25)
    assert found["empty_text"].value == pytest.approx(0.25)
    numbers = dl.distances([0.0, 1.0, np.nan, np.inf], [0.0, 0.0, 1.0, 2.0])
    assert [numbers[name].value for name in ("missing", "zeros", "infinite")] == [0.25] * 3


def test_new_levels_are_expected_as_often_as_single_ones_foretell() -> None:
    reference = ["a"] * 80 + [f"once {number}" for number in range(20)]
    usual = ["a"] * 80 + [f"new {number}" for number in range(20)]
    closed = ["a", "b"] * 50

    found = dl.distance("unseen", reference, usual)

    assert (found.value, found.corrected) == (0.2, 0.0)
    assert found.p_value > 0.05
    # Rule of three: of a closed list at most 3 / n are new.
    found = dl.distance("unseen", closed, ["a"] * 95 + ["z"] * 5)
    assert found.value == found.corrected == 0.05
    assert found.p_value == pytest.approx(stats.binom.sf(4, 100, 0.03))


def test_tails_have_the_beta_binomial_chance() -> None:
    rng = np.random.default_rng(3)
    reference = rng.permutation(np.arange(1_000.0))
    window = np.append(np.full(40, 995.0) + np.arange(40) / 100, np.full(160, 500.0))

    found = dl.distance("tails", reference, window)

    # Ten of 1,000 lie above 989, and 40 of 200; six edges are looked at.
    expected = 6 * stats.betabinom.pmf(np.arange(40, 201), 200, 11, 990).sum()
    assert found.value == pytest.approx(0.2 - 0.01)
    assert found.p_value == pytest.approx(expected, rel=1e-6, abs=0)
    assert "above 989" in found.note
    mirrored = dl.distance("tails", -reference, -window)
    assert mirrored.p_value == pytest.approx(found.p_value)
    assert "below -989" in mirrored.note


@pytest.mark.parametrize(
    ("rows", "more", "shift"), [(1_000, 600, 0.3), (1_000, 5_000, 0.3), (20_000, 2_000, 0.3)]
)
def test_the_interval_of_tails_knows_that_the_ends_are_a_samples(rows, more, shift) -> None:
    """The true growth beyond the reference law's own 1% or 0.1% point is in it."""
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        found = dl.distance("tails", rng.normal(size=rows), rng.normal(shift, 1, more))
        _, word, edge, share = re.fullmatch(
            r"(\S+) of the values are (\w+) (\S+), (\S+) of the reference", found.note
        ).groups()
        share = float(share) or stats.norm.sf(abs(float(edge)))  # The range is the sample's own.
        sign = 1.0 if word == "above" else -1.0
        growth = stats.norm.sf(stats.norm.isf(share) - sign * shift) - share
        held += found.lower <= max(0.0, growth) <= found.upper
        assert found.p_value < 0.05 or found.lower == 0.0

    # 95% nominal: that fewer than 87 of 100 hold has a chance of 0.1%.
    assert held >= 87


def test_tails_see_what_kolmogorov_smirnov_does_not() -> None:
    # the top 2% three times as often.
    rng = np.random.default_rng(4)
    reference, window = rng.normal(size=20_000), rng.normal(size=1_000)
    window[:40] = 2.0 + np.abs(rng.normal(size=40))

    assert dl.distance("tails", reference, window).p_value < 1e-6
    assert dl.distance("kolmogorov_smirnov", reference, window).p_value > 1e-3


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_rarefaction_is_the_mean_over_all_choices_of_rows(counts: list[int], data) -> None:
    rows = [level for level, count in enumerate(counts) for _ in range(count)]
    some = data.draw(st.integers(1, len(rows)))
    found = [len({rows[at] for at in chosen}) for chosen in combinations(range(len(rows)), some)]

    mean, spread = expected_distinct(np.array(counts, float), some)

    assert mean == pytest.approx(np.mean(found))
    assert spread >= np.var(found) - 1e-9


@pytest.mark.parametrize(("rows", "more"), [(20_000, 1_000), (1_000, 1_000), (500, 20_000)])
def test_the_interval_of_distinct_holds_without_a_change_and_agrees_with_its_chance(
    rows: int, more: int
) -> None:
    weights = 1 / np.arange(1, 201)
    names = np.array([f"n{at}" for at in range(200)])
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first, second = (rng.choice(names, n, p=weights / weights.sum()) for n in (rows, more))
        found = dl.distance("distinct", first, second)
        # Both expect the same number: the true distance is 0.
        assert found.lower == 0.0 < found.upper
        assert found.p_value >= 0.05


def test_the_interval_of_distinct_holds_a_change() -> None:
    """1,000 rows of 300 equal levels against as many of 400, by the formula for their numbers."""
    truth = 400 * (1 - (1 - 1 / 400) ** 1_000) / (300 * (1 - (1 - 1 / 300) ** 1_000)) - 1
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        first, second = (rng.integers(0, n, 1_000).astype(str) for n in (300, 400))
        found = dl.distance("distinct", first, second)
        held += found.lower <= truth <= found.upper

    assert held >= 87


def test_a_frequent_value_that_is_gone_is_no_chance() -> None:
    found = dl.distance("distinct", ["a", "b"] * 500, ["a"] * 500)

    assert found.value == found.lower == 0.5
    assert found.p_value < 1e-6


def test_more_rows_of_the_same_are_not_more_values() -> None:
    rng = np.random.default_rng(6)
    weights = 1 / np.arange(1, 501)
    sides = [
        np.char.add("n", rng.choice(500, rows, p=weights / weights.sum()).astype(str))
        for rows in (20_000, 1_000)
    ]

    for first, second in (sides, sides[::-1]):
        found = dl.distance("distinct", first, second)
        assert found.value < 0.1
        assert found.lower == 0.0
        assert found.p_value > 0.01
    stuck = np.char.add("n", rng.choice(60, 1_000).astype(str))
    found = dl.distance("distinct", sides[0], stuck)
    assert found.lower > 0.5
    assert found.p_value < 1e-6


def test_as_many_other_values_are_no_difference_in_number() -> None:
    found = dl.distance("distinct", list("abcdefgh") * 50, list("stuvwxyz") * 20)

    assert found.value == pytest.approx(0.0, abs=1e-9)
    assert found.p_value == pytest.approx(1.0, abs=1e-9)


def test_whole_numbers_beyond_those_of_floats_are_not_counted_as_one() -> None:
    whole = np.arange(2**60, 2**60 + 300)

    with pytest.raises(UndecidedError, match="beyond 2\\^53"):
        dl.distance("distinct", whole, whole[:100])


def test_unseen_values_are_told_with_what_good_turing_expects() -> None:
    # 10 rows of which 2 values come once, so 2/10 is new without a change; 6 of 20 rows are new.
    found = dl.distance("unseen", ["a"] * 8 + ["b", "c"], ["a"] * 14 + ["x"] * 4 + ["y", "z"])

    expected = stats.binomtest(6, 20, (2 + 2.42 * 2**0.5 + 1) / 10, alternative="greater")
    interval = stats.binomtest(6, 20).proportion_ci(method="wilson")
    assert found.value == pytest.approx(6 / 20)
    assert found.corrected == pytest.approx(6 / 20 - 2 / 10)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))


def test_where_no_value_comes_once_three_of_the_rows_may_be_new_by_chance() -> None:
    # The rule of three: the upper 95% limit of a share seen in none of 12 rows is 3/12.
    found = dl.distance("unseen", ["a", "b"] * 6, ["a"] * 4 + ["x"] * 4)

    expected = stats.binomtest(4, 8, 3 / 12, alternative="greater").pvalue
    assert (found.value, found.corrected) == (0.5, 0.5)
    assert found.p_value == pytest.approx(expected, rel=1e-9)
