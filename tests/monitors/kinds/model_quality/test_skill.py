"""The test of one metric: what chance allows, and where a violation begins."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from driftline.baseline.answers import Answers
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.model_quality.blocks import Blocks, blocks_of, reference_blocks
from driftline.monitors.kinds.model_quality.documents import Constraint, suggested
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.influence import Measure
from driftline.monitors.kinds.model_quality.judgement import FALSE_ALARMS, judge_quality
from driftline.monitors.kinds.model_quality.metrics import measure_answers, shares_by_lot
from driftline.monitors.kinds.model_quality.skill import (
    DAY_US,
    Scatter,
    backward,
    forward,
    judge_metric,
    scatter,
)
from driftline.roles import Roles
from driftline.stats.blocks import BlockVariation
from driftline.stats.clusters import cluster_rows

LESS = Constraint(0.8, "LessThanThreshold")
GREATER = Constraint(0.8, "GreaterThanThreshold")
WEEKS = Scatter(forward(0.8, math.inf, "score"), BlockVariation(0.1**2, 0.0, 13), 1000)


def measure(value: float, scale: str = "score", rows: float = 1000) -> Measure:
    return Measure(value, value * (1 - value) / rows, value * (1 - value) / rows, rows, scale)


def judge(window: Measure, constraint: Constraint = LESS, **changed):
    usual = {"reference": None, "blocks": WEEKS, "is_own": False, "alpha": 1e-3}
    return judge_metric(window, constraint, **{**usual, **changed})


@settings(max_examples=200, deadline=None)
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


@settings(max_examples=60, deadline=None)
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


def test_a_smaller_window_than_usual_needs_more() -> None:
    assert judge(measure(0.7, rows=100)).bound < judge(measure(0.7, rows=1000)).bound


@settings(max_examples=60, deadline=None)
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


def test_what_a_windows_length_does_to_a_metric_is_no_loss() -> None:
    shorter = replace(WEEKS, centre=forward(0.75, math.inf, "score"))

    assert judge(measure(0.72), blocks=shorter).bound < judge(measure(0.72)).bound


def test_a_share_of_none_in_few_rows_is_not_certain() -> None:
    # None of 12: with a true share of 0.3 that happens in 1 of 72 windows.
    found = judge(
        measure(0.0, "share", 12), Constraint(0.3, "LessThanThreshold"), is_own=True, blocks=None
    )

    assert not found.violated


def test_without_blocks_the_references_own_uncertainty_counts() -> None:
    window = measure(0.74, rows=2000)
    small, large = (
        judge(window, blocks=None, reference=measure(0.8, rows=rows)) for rows in (300, 30_000)
    )

    assert large.violated
    assert not small.violated


def test_a_window_of_equal_errors_has_the_references_variance_for_its_rows() -> None:
    window = Measure(3.0, 0.0, 0.0, 100, "error")
    reference = Measure(1.0, 0.01, 0.01, 1_000, "error")

    found = judge(window, Constraint(1.0, "GreaterThanThreshold"), blocks=None, reference=reference)

    # On the scale of logarithms: 0.01 of the reference, and ten times that of a tenth of its rows.
    error = math.sqrt(0.01 + 0.1)
    assert found.p_value == pytest.approx(stats.norm.sf(math.log(3) / error))
    assert found.bound == pytest.approx(math.exp(stats.norm.isf(1e-3) * error))


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


@pytest.mark.parametrize(("days", "counts"), [(70, [10]), (63, [9, 18, 36])])
def test_ten_blocks_of_the_windows_length_are_enough(days: int, counts: list[int]) -> None:
    # With nine, half weeks are enough, and quarters of weeks tell how the spread grows.
    found = reference_blocks(regression(days, 20, shared=0.0, seed=1), 7 * DAY_US)

    assert [len(one.measures) for one in found] == counts


def test_the_spread_of_longer_windows_shrinks_with_their_root_and_knows_shared_fates() -> None:
    # 200 days: the spread of a day's log error is known to 5%; 25% is five times that.
    alone, shared = (regression(200, 50, shared=one, seed=2) for one in (0.0, 0.8))

    def spread(answers: Answers, days: int) -> float:
        found = scatter(reference_blocks(answers, days * DAY_US), "mae")
        assert found is not None
        return math.sqrt(found.variation.variance + found.variation.chance)

    assert spread(alone, 5) == pytest.approx(spread(alone, 1) / math.sqrt(5), rel=0.25)
    assert spread(shared, 5) > 3 * spread(alone, 5)


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


def test_too_short_a_reference_gives_no_spread() -> None:
    measures = ({"auc": measure(0.8)},) * 4
    few = Blocks(DAY_US, 4.0, measures, {"auc": measure(0.8)})

    assert scatter([few], "auc") is None


def test_a_heavy_tail_of_the_reference_widens_the_spread() -> None:
    rng = np.random.default_rng(3)
    usual = [{"auc": measure(value)} for value in rng.normal(0.8, 0.01, 60)]
    bad = [*usual[:-1], {"auc": measure(0.6)}]
    whole = {"auc": measure(0.8, rows=60_000)}

    spreads = [
        scatter([Blocks(DAY_US, 60.0, tuple(one), whole)], "auc").variation.variance
        for one in (usual, bad)
    ]

    assert spreads[1] > 9 * spreads[0]


@pytest.mark.parametrize(
    ("span_s", "clusters"),
    [(30 * 86_400, 30), (86_400, 24), (1800, 30), (60, None)],
    ids=["a month of days", "a day of hours", "half an hour of minutes", "a minute"],
)
def test_rows_cluster_by_the_longest_span_that_gives_enough(span_s: int, clusters) -> None:
    times = np.linspace(0, span_s - 1, 1000).astype(np.int64) * 1_000_000

    found = cluster_rows(times)

    assert (None if found is None else int(found.max()) + 1) == clusters


@pytest.mark.parametrize("worst", [0.6, 1.0])
def test_a_block_far_out_widens_the_bound_beyond_it(worst: float) -> None:
    def reach(values: list[float]) -> float:
        blocks = tuple(
            {"loss": Measure(math.exp(one), support=1000, scale="error")} for one in values
        )
        whole = {"loss": Measure(math.exp(0.8), support=60_000, scale="error")}
        found = scatter([Blocks(DAY_US, 60.0, blocks, whole)], "loss")
        return found.variation.reach(1e-3, 0.0)

    usual = list(np.random.default_rng(1).permutation(np.linspace(0.79, 0.81, 59)))

    assert reach([*usual, 0.8]) < 0.04
    # Where one of 60 lies so far out, one of a thousand lies farther.
    assert reach([*usual, worst]) > 0.2


def test_blocks_that_are_alike_by_luck_leave_possible_what_so_few_blocks_do() -> None:
    blocks = ({"loss": Measure(2.0, support=500, scale="error")},) * 12
    whole = {"loss": Measure(2.0, 0.0004, 0.0004, support=6_000, scale="error")}

    found = scatter([Blocks(DAY_US, 12.0, blocks, whole)], "loss")

    # The standard error of the whole, 0.02 / 2 on the logarithm, for a twelfth of its rows.
    assert found.variation.chance == pytest.approx(0.01**2 * 12, rel=1e-9)
    assert found.by_rows(500) == pytest.approx(0.01**2 * 13, rel=1e-9)
    assert found.by_rows(5_000) == pytest.approx(0.01**2 * (1.2 + 1), rel=1e-9)


@pytest.mark.parametrize(
    ("shared", "expected"),
    [(1.0, 0.5), (1.3, 0.5), (2.0, math.sqrt(2.0))],
    ids=["rows alone", "as chance makes them", "days differ"],
)
def test_the_days_of_the_whole_widen_the_spread_where_they_differ(shared, expected) -> None:
    # Blocks that by luck differ by half of what their rows explain.
    chance = 0.02
    away = 0.5 * chance * math.sqrt(19 / 20)
    blocks = tuple(
        {"loss": Measure(math.exp(one), support=1000, scale="error")} for one in [away, -away] * 10
    )
    alone = chance**2 / 20  # Of the whole, 20 times the rows.
    whole = Measure(1.0, shared * alone, alone, 20_000, "error", clusters=20)

    found = scatter([Blocks(DAY_US, 20.0, blocks, {"loss": whole})], "loss")

    spread = math.sqrt(found.variation.variance + found.variation.chance)
    assert spread == pytest.approx(expected * chance, rel=1e-9)


def test_a_reference_as_long_as_is_said_makes_a_bound_that_is_one() -> None:
    # Days of an error that differ by a quarter; a bound is one below 2.5 times the usual value.
    rng = np.random.default_rng(9)

    def known(days: int) -> Scatter:
        values = rng.normal(0.0, 0.25, days)
        blocks = tuple({"loss": Measure(math.exp(one), 0, 0, 500, "error")} for one in values)
        whole = {"loss": Measure(1.0, 1e-4, 1e-4, 500 * days, "error")}
        found = scatter([Blocks(DAY_US, float(days), blocks, whole)], "loss")
        assert found is not None
        return found

    def is_bound(found: Scatter) -> bool:
        return found.variation.reach(1e-3, found.by_rows(500)) < math.log(2.5)

    said, kept = [], []
    for _ in range(30):
        short = known(14)
        if is_bound(short):
            continue
        steps = (1.5**at for at in range(1, 10))
        longer = next((one for one in steps if is_bound(short.of_longer(one))), None)
        if longer is not None:
            said.append(math.ceil(14 * longer))
            kept.append(is_bound(known(said[-1])))

    assert len(said) > 8 and np.mean(kept) >= 0.5, (said, kept)


def test_times_of_independent_rows_cost_little_power() -> None:
    # 60 days of 333 rows: that days differ no more is known as well as 60 of them tell, which costs
    # next to nothing beside the doubt of as many rows, and more beside that of a hundred times as
    # many. Median of nine references, since a tenth of them happen to have days that differ.
    factors = {333: 1.1, 3_000: 1.6, 30_000: 1.8}
    wider: dict[int, list[float]] = {rows: [] for rows in factors}
    for seed in range(9):
        blocks = reference_blocks(regression(60, 333, shared=0.0, seed=seed), DAY_US)
        whole = blocks[0].whole["rmse"]
        found = scatter(blocks, "rmse")
        for rows in factors:
            variance = whole.independent * whole.support / rows
            worse = Measure(1.25 * whole.value, variance, variance, rows, "error")
            timed, untimed = (
                judge(worse, Constraint(whole.value, "GreaterThanThreshold"), blocks=one,
                      reference=replace(whole, variance=whole.independent, clusters=0))
                for one in (found, None)
            )  # fmt: skip
            assert timed.violated and untimed.violated
            wider[rows].append((timed.bound / whole.value - 1) / (untimed.bound / whole.value - 1))

    assert all(np.median(wider[rows]) < most for rows, most in factors.items()), wider


def test_a_bound_that_guessing_would_keep_is_none_and_leaves_the_verdict() -> None:
    # On every third day the scores say nothing, so that no single day's AUC could be a loss.
    rng = np.random.default_rng(5)
    days, rows = 30, 200
    count = days * rows
    label = (rng.random(count) < 0.3).astype(np.intp)
    blind = np.repeat(np.arange(days) % 3 == 0, rows)
    score = rng.normal(size=count) + np.where(blind, 0.0, 2.5) * label
    chance = 1 / (1 + np.exp(-(score - 1.5)))
    time = np.repeat(np.arange(days), rows) * DAY_US + np.tile(np.arange(rows), days) * 1_000_000
    reference = Answers(
        "binary", label, (chance > 0.5).astype(np.intp), ("0", "1"), chance, time, 0,
        np.arange(count),
    )  # fmt: skip
    measures = measure_answers(reference)
    expected = Expectation(
        "binary", Roles(problem="binary"), suggested("binary", measures), measures, frozenset(),
        reference,
    )  # fmt: skip
    window = reference.take(slice(rows, 2 * rows))

    results = judge_quality(
        expected, window, blocks_of(reference, window, timedelta(days=1)), budget=Budget()
    ).results

    # Always saying "0" is right in 70%.
    for name in ("auc", "accuracy"):
        found = results[name]
        assert found.bound is None and not found.violated, name
        assert found.note.startswith("too_variable: "), name
    assert results["auc"].note.endswith("only longer windows: those of this length differ too much")


def test_a_bound_that_answers_by_lot_would_keep_is_none() -> None:
    def rows(count: int, seed: int) -> Answers:
        rng = np.random.default_rng(seed)
        label = (rng.random(count) < 0.4).astype(np.intp)
        chance = 1 / (1 + np.exp(0.9 - 1.5 * label - rng.normal(size=count)))
        said = (chance > 0.5).astype(np.intp)
        return Answers("binary", label, said, ("0", "1"), chance, None, 0, np.arange(count))

    reference = rows(2_000, 1)
    measures = measure_answers(reference)
    expected = Expectation(
        "binary", Roles(problem="binary"), suggested("binary", measures), measures, frozenset(),
        reference,
    )  # fmt: skip

    few, many = (
        judge_quality(expected, rows(count, 2), [], budget=Budget()).results for count in (40, 400)
    )

    lot = shares_by_lot(reference)
    assert {"precision", "recall", "f0_5", "f1", "f2", *FALSE_ALARMS} < {*lot}
    for name, value in lot.items():
        # A quarter of 40 rows' yes could be right by chance: fewer than by lot.
        assert few[name].bound is None and few[name].note.startswith("too_variable: about "), name
        assert few[name].note.endswith("rows would do"), name
        is_lower = few[name].operator == "LessThanThreshold"
        assert many[name].bound is not None and (many[name].bound > value) == is_lower, name


def test_false_alarms_are_judged_where_answers_by_lot_have_hardly_more() -> None:
    rng = np.random.default_rng(1)
    label = (rng.random(4_000) < 0.02).astype(np.intp)
    said = np.where(rng.random(4_000) < 0.7, label, rng.random(4_000) < 0.02).astype(np.intp)
    reference = Answers("binary", label, said, ("0", "1"), None, None, 0, np.arange(4_000))
    measures = measure_answers(reference)
    expected = Expectation(
        "binary", Roles(problem="binary"), suggested("binary", measures), measures, frozenset(),
        reference,
    )  # fmt: skip
    wild = replace(reference, answer=np.where(rng.random(4_000) < 0.1, 1, said).astype(np.intp))

    usual, more = (
        judge_quality(expected, rows, [], budget=Budget()).results for rows in (reference, wild)
    )

    for name in FALSE_ALARMS:
        assert abs(shares_by_lot(reference)[name] - measures[name].value) < 0.02, name
        assert usual[name].judged and not usual[name].violated, name
        assert more[name].violated, name


@pytest.mark.parametrize("value", [0.98, 1.0])
@pytest.mark.parametrize("rows", [200, 20_000])
def test_a_window_better_than_the_reference_has_the_bound_of_one_like_it(
    value: float, rows: int
) -> None:
    def window(share: float) -> Measure:
        return Measure(share, *[share * (1 - share) / rows] * 2, rows, "share")

    like, better = (
        judge(window(one), LESS, reference=window(LESS.threshold), blocks=None, alpha=1e-4)
        for one in (LESS.threshold, value)
    )

    # But for half a row, by which a window's own share is smoothed.
    assert better.bound == pytest.approx(like.bound, rel=0.002) and not better.violated


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


def test_a_level_of_one_half_asks_which_is_the_larger_alone() -> None:
    few, reference = measure(0.02, "share", 100), measure(0.99, "share", 200)
    most = replace(LESS, threshold=0.99)

    assert judge(few, is_own=True, alpha=0.5).violated
    assert judge(few, most, reference=reference, blocks=None, alpha=0.5).violated
