"""The test of one metric: what chance allows, and where a violation begins."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from driftline.baseline.answers import Answers
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.model_quality.blocks import reference_blocks
from driftline.monitors.kinds.model_quality.documents import Constraint, suggested
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.influence import Measure
from driftline.monitors.kinds.model_quality.judgement import judge_quality
from driftline.monitors.kinds.model_quality.metrics import measure_answers
from driftline.monitors.kinds.model_quality.skill import (
    DAY_US,
    Scatter,
    backward,
    forward,
    judge_metric,
)
from driftline.roles import Roles
from driftline.stats.blocks import BlockVariation

LESS = Constraint(0.8, "LessThanThreshold")
GREATER = Constraint(0.8, "GreaterThanThreshold")
WEEKS = Scatter(forward(0.8, math.inf, "score"), BlockVariation(0.1**2, 0.0, 13), 1000)


def measure(value: float, scale: str = "score", rows: float = 1000) -> Measure:
    return Measure(value, value * (1 - value) / rows, value * (1 - value) / rows, rows, scale)


def judge(window: Measure, constraint: Constraint = LESS, **changed):
    usual = {"reference": None, "blocks": WEEKS, "is_own": False, "alpha": 1e-3}
    return judge_metric(window, constraint, **{**usual, **changed})


@given(
    value=st.floats(0, 1),
    rows=st.integers(10, 100_000),
    scale=st.sampled_from(["share", "score", "skill", "error"]),
    constraint=st.sampled_from([LESS, GREATER]),
    is_own=st.booleans(),
    blocks=st.sampled_from([None, WEEKS]),
)
def test_a_violation_lies_beyond_its_bound_and_nothing_else_does(
    value, rows, scale, constraint, is_own, blocks
) -> None:
    window = measure(value, scale, rows)

    found = judge(window, constraint, is_own=is_own, blocks=blocks, reference=measure(0.8, scale))

    beyond = value < found.bound if constraint.is_lower else value > found.bound
    assert found.violated == beyond
    assert 0 <= found.p_value <= 1
    assert not found.violated or found.p_value < 1e-3


@given(first=st.floats(0.01, 0.99), second=st.floats(0.01, 0.99))
def test_a_worse_value_is_never_less_surprising(first: float, second: float) -> None:
    low, high = sorted((first, second))

    # Of many rows: then the blocks' spread is all there is.
    assert judge(measure(low, rows=1e7)).p_value <= judge(measure(high, rows=1e7)).p_value


def test_the_bound_is_students_prediction_interval() -> None:
    # Hahn, Technometrics 12, 1970: centre - t * s * sqrt(1 + 1/B), on the logit.
    wanted = WEEKS.centre - stats.t.isf(1e-3, 12) * 0.1 * math.sqrt(1 + 1 / 13)

    found = judge(measure(0.7, rows=1e12))

    assert found.bound == pytest.approx(backward(wanted, "score"), rel=1e-6)


def test_within_the_tolerance_nothing_is_violated_however_sure() -> None:
    sure = replace(WEEKS, variation=BlockVariation(1e-8, 0.0, 13))

    assert judge(measure(0.781, rows=1e7), blocks=sure).p_value < 1e-6
    assert not judge(measure(0.781, rows=1e7), blocks=sure).violated
    assert judge(measure(0.779, rows=1e7), blocks=sure).violated


@given(
    blocks=st.integers(3, 90),
    excess=st.floats(-1.0, 3.0),
    rows=st.lists(st.integers(10, 1_000_000), min_size=2, max_size=2),
    constraint=st.sampled_from([LESS, GREATER]),
    tails=st.sampled_from([5.0, math.inf]),
)
def test_a_bound_never_widens_with_rows(blocks, excess, rows, constraint, tails) -> None:
    # The blocks' variance lies between nothing and four times what their rows alone would give.
    variation = BlockVariation(0.01 * excess, 0.01, blocks, tails)
    known = replace(WEEKS, variation=variation)
    few, many = (
        judge(measure(0.8, rows=one), constraint, blocks=known).bound for one in sorted(rows)
    )

    assert many >= few - 1e-9 if constraint.is_lower else many <= few + 1e-9


def test_without_blocks_the_references_own_uncertainty_counts() -> None:
    window = measure(0.74, rows=2000)
    small, large = (
        judge(window, blocks=None, reference=measure(0.8, rows=rows)) for rows in (300, 30_000)
    )

    assert large.violated
    assert not small.violated


def regression(days: int, rows: int, *, shared: float, seed: int) -> Answers:
    """Values whose error has a part that all rows of a day share."""
    rng = np.random.default_rng(seed)
    count = days * rows
    label = rng.normal(size=count)
    day = np.repeat(rng.normal(0, shared, days), rows)
    time = np.repeat(np.arange(days), rows) * DAY_US + np.tile(np.arange(rows), days) * 1_000_000
    answer = label + day + rng.normal(0, 0.5, count)
    places = np.arange(count)
    return Answers("regression", label, answer, (), None, time, 0, places)


def test_blocks_are_whole_days_or_weeks_and_shorter_ones_where_they_are_few() -> None:
    reference = regression(84, 20, shared=0.0, seed=1)

    weeks, months = (reference_blocks(reference, days * DAY_US) for days in (7, 28))

    assert [len(one.measures) for one in weeks] == [12]
    assert [len(one.measures) for one in months] == [3, 6, 12, 24]
    assert all(one["mae"].support == 140 for one in weeks[0].measures)
    assert reference_blocks(replace(reference, time_us=None), DAY_US) == []


@pytest.mark.parametrize("alpha", [1e-3, 1e-5])
@pytest.mark.parametrize("rows", [12, 24, 60])
@pytest.mark.parametrize("is_lower", [True, False])
def test_rows_of_which_hardly_one_is_right_break_a_threshold_as_by_the_binomial(
    rows: int, alpha: float, is_lower: bool
) -> None:
    """By the delta method none of 24 against 0.7 passed (p 0.0005), whose chance is 3e-13."""
    judged = [
        judge(
            measure(hits / rows if is_lower else 1 - hits / rows, "share", rows),
            Constraint(0.7, "LessThanThreshold") if is_lower else
            Constraint(0.3, "GreaterThanThreshold"), blocks=None, is_own=True, alpha=alpha,
        )
        for hits in range(5)
    ]  # fmt: skip

    chance = stats.binom(rows, 0.7).cdf(range(5))
    assert all(one.violated for one, p in zip(judged, chance, strict=True) if p < alpha / 50)
    # No more than so many false alarms, as far as five hits go.
    violated = [hits for hits, one in enumerate(judged) if one.violated]
    assert stats.binom(rows, 0.7).pmf(violated).sum() <= alpha


@pytest.mark.parametrize("rows", [400, 20_000])
def test_a_perfect_model_is_judged_on_every_metric(rows: int) -> None:
    rng = np.random.default_rng(1)
    label = (rng.random(20_000) < 0.3).astype(np.intp)
    answer = np.where(rng.random(20_000) < 0.9, label, 1 - label)
    reference = Answers("binary", label, answer, ("0", "1"), None, None, 0, np.arange(20_000))
    measures = measure_answers(reference)
    expected = Expectation(
        "binary", Roles(problem="binary"), suggested("binary", measures), measures, frozenset(),
        reference,
    )  # fmt: skip
    perfect = replace(reference, answer=label).take(slice(0, rows))

    found = judge_quality(expected, perfect, [], budget=Budget()).results

    assert {name for name in expected.constraints if found[name].bound is None} == set()
