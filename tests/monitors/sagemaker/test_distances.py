"""SageMaker's distances against the regression tests of Deequ, the library that it is built on.

Source of the numbers: awslabs/deequ (Apache-2.0), src/test/scala/com/amazon/deequ/KLL, as of 2026:
KLLDistanceTest; of repeated values, issue 392 and pull request 765.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from driftline.baseline.constraints import MonitoringConfig
from driftline.monitors.sagemaker.distances import level_distance, sketch_distance

SIMPLE = MonitoringConfig(comparison_method="Simple")
ROBUST = MonitoringConfig(comparison_method="Robust")


def chi(method: str, threshold: float = 0.1) -> MonitoringConfig:
    return MonitoringConfig(
        comparison_method=method,  # type: ignore[arg-type]
        categorical_drift_method="ChiSquared",
        categorical_comparison_threshold=threshold,
    )


FIVE = {"a": 10, "b": 20, "c": 25, "d": 10, "e": 5}


@pytest.mark.parametrize(
    ("config", "other", "expected"),
    [
        (SIMPLE, {"a": 11, "b": 20, "c": 25, "d": 10, "e": 10}, 0.06015037593984962),
        (ROBUST, {"a": 11, "b": 20, "c": 25, "d": 10, "e": 10}, 0.0),
        (SIMPLE, {"f": 11, "a": 20, "c": 25, "d": 10, "e": 10}, 0.2857142857142857),
        (ROBUST, {"f": 11, "a": 20, "c": 25, "d": 10, "e": 10}, 0.0),
    ],
    ids=["simple", "robust", "simple-other-level", "robust-other-level"],
)
def test_distances_of_levels_are_deequs_to_the_last_digit(config, other, expected) -> None:
    for reference, window in ((FIVE, other), (other, FIVE)):
        found = level_distance("x", reference, window, config)

        assert found is not None
        assert found.value == expected


@pytest.mark.parametrize(("config", "expected"), [(SIMPLE, 0.25), (ROBUST, 0.0)])
def test_distances_of_sketches_are_deequs(config, expected) -> None:
    found = sketch_distance("x", [[1, 2, 3, 4]], [[2, 3, 4, 5]], config)

    assert found is not None
    assert found.value == expected


# Deequ's sample is the window, its expected counts are the baseline's.
MANY = {"a": 207, "b": 20, "c": 25, "d": 14, "e": 25}
CASES = {
    "levels on one side only": (
        {"a": 223, "b": 20, "c": 25, "d": 12, "e": 13, "f": 15}, {**MANY, "g": 13},
        28.175042782458068, 3.3640191298478506e-5,
    ),
    "common levels": (
        {"a": 223, "b": 20, "c": 25, "d": 12, "e": 13}, MANY, None, 0.013227994814265176,
    ),
    "two merged after the shares are taken": (
        {"a": 100, "b": 22, "c": 25, "d": 5, "e": 13, "f": 2},
        {"a": 100, "b": 20, "c": 25, "d": 10, "e": 5, "f": 2}, 8.789790456457125, None,
    ),
    "a level that is gone": (
        {"a": 100, "b": 40, "c": 30, "e": 4}, {"a": 100, "b": 40, "c": 30, "d": 10},
        0.38754325259515626, None,
    ),
    "two merged": (
        {"a": 100, "b": 4, "c": 3, "d": 34}, {"a": 100, "b": 4, "c": 3, "d": 27},
        1.1507901668129925, None,
    ),
    "few small ones stay": (
        {"a": 100, "b": 2, "c": 1, "d": 34, "e": 20, "f": 20, "g": 20, "h": 20},
        {"a": 100, "b": 4, "c": 3, "d": 27, "e": 20, "f": 20, "g": 20, "h": 20},
        6.827423492761593, None,
    ),
    "one level left in the window": ({"a": 20, "b": 20}, {"a": 30}, None, 4.3204630539861455e-8),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_chi_squared_is_deequs(case) -> None:
    reference, window, statistic, p_value = case

    simple = level_distance("x", reference, window, chi("Simple"))
    robust = level_distance("x", reference, window, chi("Robust"))

    assert simple is not None
    assert robust is not None
    assert robust.value == simple.value
    if statistic is not None:
        assert simple.value == pytest.approx(statistic, rel=1e-12)
    if p_value is not None:
        assert robust.p_value == pytest.approx(p_value, rel=1e-9)


@pytest.mark.parametrize(
    ("reference", "window"),
    [
        ({"a": 100, "b": 4, "c": 3}, {"a": 100, "b": 4, "c": 3}),
        ({"b": 20}, {"a": 10, "b": 20}),
        ({"c": 20, "d": 20}, {"a": 15, "b": 20}),
    ],
    ids=["too small when merged", "one expected level", "no common level"],
)
def test_chi_squared_of_fewer_than_two_levels_has_no_verdict_as_deequs(reference, window) -> None:
    assert level_distance("x", reference, window, chi("Robust")) is None


@pytest.mark.parametrize(("values", "rows"), [([3, 3, 3, 7, 7, 9], 6), ([1, 1, 2], 3)])
def test_repeated_values_count_as_often_as_they_are_there(values, rows) -> None:
    # Deequ's pull request 765: total weights after the mend of its issue 392. A far window shows
    # the weight as the correction for sample size does.
    far = [[1000.0 + index for index in range(1000)]]

    found = sketch_distance("x", [values], far, ROBUST)

    assert found is not None
    assert found.value == pytest.approx(max(0, 1 - 1.8 * math.sqrt((rows + 1000) / (rows * 1000))))


def test_a_value_on_two_levels_has_the_weight_of_both() -> None:
    reference = [[1.0, 1.0, 5.0], [1.0, 9.0]]  # 1 stands for 4 rows of 7.

    found = sketch_distance("x", reference, [[9.0]], SIMPLE)

    assert found is not None
    assert found.value == 5 / 7


numbers = st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=60)


@given(numbers, numbers)
def test_up_to_2050_values_the_distance_is_kolmogorov_and_smirnovs(first, second) -> None:
    found = sketch_distance("x", [first], [second], SIMPLE)

    assert found is not None
    expected = stats.ks_2samp(first, second, method="asymp").statistic
    assert found.value == pytest.approx(expected, abs=1e-12)
