"""Limits that hold at every look: against the paper's formula, scipy, and simulated looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from driftline.stats.confidence_sequences import blocked_difference, sequence_factor


def arrays(values: object, second: object, blocks: object, units: object) -> tuple[np.ndarray, ...]:
    return (
        np.asarray(values, float), np.asarray(second, bool),
        np.asarray(blocks, np.intp), np.asarray(units, np.intp),
    )  # fmt: skip


@pytest.mark.parametrize(("units", "alpha"), [(100, 0.05), (10_000, 0.01), (1e6, 0.05)])
def test_the_factor_is_that_of_theorem_2_2_with_the_best_width(units: float, alpha: float) -> None:
    def margin(square: float, time: float) -> float:  # As the paper writes it, for a variance of 1.
        inside = 2 * (time * square + 1) / (time**2 * square)
        return math.sqrt(inside * math.log(math.sqrt(time * square + 1) / alpha))

    # The width that is best at the planned number, by search in place of Lambert's function.
    best = optimize.minimize_scalar(
        lambda log: margin(math.exp(log), 10_000), bounds=(-14, 0), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip

    expected = margin(math.exp(best.x), units) * math.sqrt(units)
    assert sequence_factor(units, alpha=alpha) == pytest.approx(expected, rel=1e-5)


def test_without_blocks_and_units_the_error_is_welchs() -> None:
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(0, 3, 300), random.normal(1, 1, 700)])
    second = np.arange(1_000) >= 300

    found = blocked_difference(*arrays(values, second, np.zeros(1_000), np.arange(1_000)))

    welch = stats.ttest_ind(values[second], values[~second], equal_var=False)
    assert found.value / found.error == pytest.approx(welch.statistic)
    assert found.units == 1_000


def test_a_side_without_its_rare_values_is_not_taken_to_have_none() -> None:
    values = np.concatenate([np.zeros(200), np.repeat([1.0, 0.0], [20, 980])])

    found = blocked_difference(
        *arrays(values, np.arange(1_200) >= 200, np.zeros(1_200), np.arange(1_200))
    )

    share = 20 / 1_000  # Both sides as if they were of the pooled variance within them.
    pooled = math.sqrt(1_000 * share * (1 - share) / 1_200 * (1 / 200 + 1 / 1_000))
    assert found.error == pytest.approx(pooled, rel=2e-3)


def test_neither_days_nor_shares_of_traffic_are_a_difference() -> None:
    random = np.random.default_rng(2)
    day = np.repeat([0, 1], 5_000)
    second = random.random(10_000) < np.where(day == 0, 0.1, 0.5)
    values = random.normal(size=10_000) + 3.0 * day

    naive = blocked_difference(*arrays(values, second, np.zeros(10_000), np.arange(10_000)))
    found = blocked_difference(*arrays(values, second, day, np.arange(10_000)))

    assert naive.value > 1
    assert abs(found.value) < 3 * found.error < 0.1


def test_rows_of_one_unit_count_as_one() -> None:
    random = np.random.default_rng(3)
    values, second = random.normal(size=400), np.arange(400) % 2 == 1
    once = blocked_difference(*arrays(values, second, np.zeros(400), np.arange(400)))

    five = blocked_difference(
        *arrays(
            np.repeat(values, 5), np.repeat(second, 5), np.zeros(2_000),
            np.repeat(np.arange(400), 5),
        )
    )  # fmt: skip

    assert five == pytest.approx(once)


def test_without_two_units_of_both_there_is_no_difference() -> None:
    found = blocked_difference(*arrays([1.0, 2.0, 3.0], [0, 0, 1], [0, 0, 0], [0, 1, 2]))

    assert math.isnan(found.value)
    assert found.units == 0


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_looks_without_end_are_wrong_at_most_once_in_twenty(share: float) -> None:
    # The fixed 5% test is wrong in 40% of such runs (docs/measured.md). At a true
    # chance of 3%, 20 of 200 come about less than once in a million.
    random, looks = np.random.default_rng(4), np.unique(np.geomspace(100, 20_000, 80).astype(int))
    wrong = 0
    for _ in range(200):
        values, second = random.random(20_000) < 0.1, random.random(20_000) < share
        right, left = np.cumsum(values & second)[looks - 1], np.cumsum(values & ~second)[looks - 1]
        rows = np.cumsum(second)[looks - 1]
        one, other = right / rows, left / (looks - rows)
        variance = one * (1 - one) / rows + other * (1 - other) / (looks - rows)
        factors = np.array([sequence_factor(count) for count in looks])
        far = np.abs(one - other) > factors * np.sqrt(variance)
        wrong += bool((far & (rows >= 100)).any())

    assert wrong < 20
