"""The difference of two means within blocks: against scipy, and least squares with dummies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from driftline.stats.blocked_difference import blocked_difference


def arrays(values: object, second: object, blocks: object, units: object) -> tuple[np.ndarray, ...]:
    return (
        np.asarray(values, float), np.asarray(second, bool),
        np.asarray(blocks, np.intp), np.asarray(units, np.intp),
    )  # fmt: skip


def test_the_difference_is_the_coefficient_of_least_squares_with_a_dummy_for_each_block() -> None:
    random = np.random.default_rng(6)
    day = random.integers(0, 5, 2_000)
    second = random.random(2_000) < 0.1 + 0.1 * day
    values = random.normal(size=2_000) + 3.0 * day + 0.5 * second

    found = blocked_difference(*arrays(values, second, day, np.arange(2_000)))

    columns = np.column_stack([second, *(day == one for one in range(5))]).astype(float)
    coefficients, (rest,), *_ = np.linalg.lstsq(columns, values, rcond=None)
    error = math.sqrt(rest / (2_000 - 6) * np.linalg.inv(columns.T @ columns)[0, 0])
    assert found.value == pytest.approx(coefficients[0])
    assert found.error == pytest.approx(error, rel=0.03)


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
