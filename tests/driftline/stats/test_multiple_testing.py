"""A year's budget of false alarms, and Holm's steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.stats.multiple_testing import alpha_per_test, holm_levels


def test_the_budget_is_shared_by_windows_and_columns() -> None:
    assert alpha_per_test(1.0, 365.0, 20) == pytest.approx(1 / 7300)


@given(st.floats(0.01, 12), st.sampled_from([52, 365, 8760]), st.integers(1, 500))
def test_the_tests_of_a_year_take_no_more_than_the_budget(budget, windows, columns) -> None:
    scales = (1, 2, 4, 8, 16, 32, 64)
    tests = {scale: windows // scale for scale in scales}

    spent = sum(
        tests[scale]
        * columns
        * alpha_per_test(budget, windows, columns, scale=scale, scale_count=len(scales))
        for scale in scales
    )

    assert spent <= budget * (1 + 1e-9)
    assert spent > 0.7 * budget  # 52 weeks hold no block of 64.


def test_holm_is_step_down() -> None:
    # Holm 1979: 0.01 < 0.05/4, 0.013 < 0.05/3, 0.04 >= 0.05/2 and there it stops.
    assert holm_levels([0.04, 0.01, 0.2, 0.013], 0.05) == pytest.approx(
        [0.025, 0.0125, 0.025, 0.05 / 3]
    )
    assert holm_levels([], 0.05) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
@settings(deadline=None)
def test_levels_are_holms(p_values: list[float]) -> None:
    levels = holm_levels(p_values, 0.05)

    rejected = {at for at, value in enumerate(p_values) if value < levels[at]}
    # Holm, 1979: step down through the ordered p-values until one fails.
    order = np.argsort(p_values, kind="stable")
    expected = set()
    for step, at in enumerate(order):
        if p_values[at] >= 0.05 / (len(p_values) - step):
            break
        expected.add(int(at))
    assert rejected == expected
