"""What is a change of bias, and what is chance: days that share a fate, limits, the budget."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.bias import evaluation as bias
from driftline.monitors.kinds.bias.change import (
    Blocks,
    Comparison,
    Estimate,
    estimate,
    exactly,
    spread,
)
from driftline.monitors.kinds.bias.intervals import interval
from driftline.monitors.kinds.bias.judgement import GroupCounts, findable, judge_groups
from driftline.monitors.kinds.bias.metrics import Pair, measure
from driftline.monitors.rows import Rows, WindowFacts
from driftline.stats.blocks import NO_BLOCKS

START = datetime(2024, 1, 1, tzinfo=UTC)


def days(count: int, seed: int, swing: float) -> Iterator[pa.Table]:
    """Days of two groups; each day lifts or lowers the second group's answers."""
    rng = np.random.default_rng(seed)
    for day in range(count):
        size = 400
        second = rng.random(size) < 0.4
        lift = rng.normal(0, swing)
        chance = np.clip(0.3 + second * (lift - 0.05), 0.02, 0.98)
        yield pa.table(
            {
                "who": np.where(second, "d", "a"),
                "answer": (rng.random(size) < chance).astype(int),
                "truth": (rng.random(size) < 0.3).astype(int),
                "time": pa.array(
                    [START + timedelta(days=day, minutes=3 * i) for i in range(size)],
                    pa.timestamp("us", "UTC"),
                ),
            }
        )


def judged_days(reference: Baseline, swing: float) -> int:
    """Count the days without change that are a violation."""
    found = 0
    for day, table in enumerate(days(25, 5, swing)):
        window = Window(START + timedelta(days=100 + day), START + timedelta(days=101 + day))
        question = CheckContext(
            reference,
            Rows(lambda table=table: iter(table.to_batches()), facts=WindowFacts(window)),
            roles=reference.outcomes.roles,
        )
        found += bool(bias.evaluate(question).violations)
    return found


def test_days_that_share_a_fate_are_no_violations_when_the_reference_shows_them() -> None:
    roles = {"label": "truth", "prediction": "answer", "facet": "who=d"}
    table = pa.concat_tables(list(days(60, 4, 0.12)))
    timed = Baseline.fit(table, **roles, timestamp="time")
    timeless = Baseline.fit(table.drop_columns(["time"]), **roles)

    assert judged_days(timed, 0.12) == 0
    assert judged_days(timeless, 0.12) > 2


def test_the_spread_between_blocks_is_what_was_planted() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.poisson(2_000, (300, 2))
    shares = 0.3 + rng.normal(0, 0.05, (300, 2))
    counts = np.zeros((300, 2, 3, 3), np.int64)
    counts[:, :, 2, 1] = rng.binomial(sizes, shares)
    counts[:, :, 2, 0] = sizes - counts[:, :, 2, 1]

    found = spread("DPPL", Blocks(counts))

    assert found.blocks == 300
    assert 0.8 <= found.variance / (2 * 0.05**2) <= 1.2
    assert 0.8 <= spread("DI", Blocks(counts)).variance / (2 * (0.05 / 0.3) ** 2) <= 1.2
    assert spread("GE", Blocks(counts)) == NO_BLOCKS


def small_days(seed: int, memory: float = 0.0) -> np.ndarray:
    """Draw 28 days of 240 and 24 rows, 30% positive, that share half of what their rows vary by."""
    rng, rows = np.random.default_rng(seed), np.array([240, 24])
    moved = rng.normal(size=28)
    for day in range(1, 28):
        moved[day] = memory * moved[day - 1] + math.sqrt(1 - memory**2) * moved[day]
    shares = np.clip(0.3 + 0.07 * moved[:, None] * np.array([0.0, 1.0]), 0.01, 0.99)
    counts = np.zeros((28, 2, 3, 3), np.int64)
    counts[:, :, 2, 1] = rng.binomial(rows, shares)
    counts[:, :, 2, 0] = rows - counts[:, :, 2, 1]
    return counts


def test_a_week_is_surer_than_a_day_of_as_many_rows() -> None:
    narrower = []
    for seed in range(20):
        day, week = (spread("DPPL", Blocks(small_days(seed), longer=one)) for one in (1.0, 7.0))
        narrower.append(week.reach(1e-3, 0.0015) / day.reach(1e-3, 0.0015))

    assert np.median(narrower) < 0.9


def test_weeks_beside_small_days_that_remember_keep_near_to_the_level() -> None:
    level, rings = 1e-3, []
    rows = 0.3 * 0.7 * (1 / 240 + 1 / 24)
    # Of weeks and of the reference's mean: of days whose correlation falls by 0.7 a day.
    shared = [
        0.07**2 * sum(0.7 ** abs(one - other) for one in range(n) for other in range(n)) / n**2
        for n in (7, 28)
    ]
    error = math.sqrt(rows / 7 + rows / 28 + sum(shared))
    for seed in range(100):
        law = spread("DPPL", Blocks(small_days(seed, 0.7), longer=7.0))
        rings.append(stats.norm.sf(law.reach(level, rows / 7 + rows / 28) / error))

    # Of days that are taken to remember nothing unless they show it, 5.8 times as often.
    assert np.mean(rings) < 4.0 * level


def timed_reference(seed: int, days: int = 60, rows: int = 500) -> tuple[np.ndarray, Blocks]:
    """Return independent rows of a reference, and their days: 30% positive of either group."""
    rng = np.random.default_rng(seed)
    blocks = np.zeros((days, 2, 3, 3), np.int64)
    blocks[:, :, 2, 1] = rng.binomial(rows // 2, 0.3, (days, 2))
    blocks[:, :, 2, 0] = rows // 2 - blocks[:, :, 2, 1]
    return blocks.sum(axis=0)[:, None], Blocks(blocks)


@pytest.mark.parametrize("rows", [2_000, 20_000, 100_000])
def test_a_group_treated_otherwise_is_found_however_many_rows_there_are(rows: int) -> None:
    # A two-sample test has z = 6.4 at 2,000 rows, and 21.5 at 100,000 against 30,000 before.
    half = rows // 2
    window = of_answers((round(0.3 * half), half), (round(0.15 * half), half))

    for seed in range(20):
        group = GroupCounts("who", "d", window, *timed_reference(seed))
        found, _ = judge_groups([group], stratified=False, budget=Budget())

        assert any(one.result.violated for one in found)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    days=st.integers(3, 90),
    shares=st.tuples(st.floats(0.02, 0.98), st.floats(0.02, 0.98)),
    times=st.integers(2, 100),
    name=st.sampled_from(["DPPL", "DI"]),
)
def test_a_bound_never_widens_with_rows(seed, days, shares, times, name) -> None:
    whole, blocks = timed_reference(seed, days)
    counts = (round(50 * shares[0]), 50), (round(50 * shares[1]), 50)
    more = tuple((hits * times, rows * times) for hits, rows in counts)

    def found(counts: np.ndarray) -> Estimate:
        pair = Pair.of(counts)
        return estimate(name, pair, measure(pair, stratified=False)[name])

    few, many = (
        Comparison(found(of_answers(*one)), found(whole), 0.02, spread(name, blocks))
        for one in (counts, more)
    )

    assert many.p_value <= few.p_value + 1e-9
    if few.side == many.side:
        assert few.side * (few.bound(1e-3) - many.bound(1e-3)) >= -1e-9
    levels = [
        judge_groups(
            [GroupCounts("who", "d", of_answers(*one), whole, blocks)],
            stratified=False,
            budget=Budget(),
        )[1]
        for one in (counts, more)
    ]
    assert levels[0] == levels[1]


def test_what_a_baseline_says_that_rows_find_is_found_nine_times_in_ten() -> None:
    whole, blocks = timed_reference(1)
    group = GroupCounts("who", "d", whole, whole, blocks)
    sizes = {
        rows: {name: least for name, _, least in findable(group, rows, Budget().per_window / 2)}
        for rows in (1_000, 4_000)
    }
    rng, least = np.random.default_rng(3), sizes[4_000]["DPPL"]
    broken = 0
    for _ in range(200):
        hits = rng.binomial(2_000, [0.3, 0.3 - least])
        window = of_answers((int(hits[0]), 2_000), (int(hits[1]), 2_000))
        found, _ = judge_groups([replace(group, window=window)], stratified=False, budget=Budget())
        broken += any(one.result.violated for one in found if one.result.name == "DPPL")

    assert abs(sizes[1_000]["DPPL"]) > abs(least) > 0.05
    assert 0.8 <= broken / 200 <= 0.98


@pytest.mark.parametrize(
    ("window", "reference", "rows"),
    [
        (((30, 100), (11, 32)), ((30, 100), (9, 30)), "about 450 rows would do"),
        # Even if all of the group were accepted, that would be only 1.25 times the others' share.
        (((80, 100), (25, 30)), ((24, 30), (24, 30)), "only a longer reference"),
    ],
)
def test_a_bound_that_nothing_could_break_is_none(window, reference, rows: str) -> None:
    group = GroupCounts("who", "d", of_answers(*window), of_answers(*reference))

    found, _ = judge_groups([group], stratified=False, budget=Budget())
    ratio = next(one.result for one in found if one.result.name == "DI")

    assert ratio.bound is None and ratio.p_value is None
    assert ratio.note.startswith("too_variable: ") and rows in ratio.note


@pytest.mark.parametrize(
    ("window", "reference", "limit", "is_judged"),
    [
        # 17.7% of the others were accepted: a group that gets none is 0.177 apart, a bound 0.25.
        (((250, 1_409), (0, 30)), ((1_062, 6_000), (36, 400)), None, False),
        (((250, 1_409), (90, 1_000)), ((1_062, 6_000), (360, 4_000)), None, True),
        # Of 1% all that a group could lose is less than what matters.
        (((100, 10_000), (100, 10_000)), ((400, 40_000), (400, 40_000)), None, True),
        (((250, 1_409), (90, 1_000)), ((1_062, 6_000), (360, 4_000)), 0.3, True),
    ],
)
def test_a_difference_is_judged_where_its_bound_tells_of_a_group_that_gets_none(
    window, reference, limit: float | None, is_judged: bool
) -> None:
    required = {} if limit is None else {"required": {"DPPL": limit}}
    group = GroupCounts("who", "d", of_answers(*window), of_answers(*reference), **required)

    found, _ = judge_groups([group], stratified=False, budget=Budget())
    difference = next(one.result for one in found if one.result.name == "DPPL")

    assert difference.judged is is_judged
    assert difference.note.startswith("too_variable: ") is not is_judged


def test_a_limit_is_broken_when_the_interval_lies_beyond_it() -> None:
    window = Estimate(0.3, lambda z: (0.3 - 0.05 * z, 0.3 + 0.05 * z))

    broken = Comparison(window, exactly(0.1), 0.0)

    assert broken.p_value == pytest.approx(6.3342e-5, rel=1e-3)  # Two tails beyond z = 4.
    assert broken.bound(0.05) == pytest.approx(0.1 + 1.96 * 0.05, abs=1e-4)
    assert Comparison(window, exactly(0.31), 0.0).p_value == 1.0


def test_windows_without_change_keep_the_budget() -> None:
    rng = np.random.default_rng(6)
    rates = np.array([[0.2, 0.1, 0.1, 0.6], [0.15, 0.1, 0.1, 0.65]])

    def draw(sizes: tuple[int, int]) -> np.ndarray:
        counts = np.zeros((2, 1, 3, 3), np.int64)
        for side in range(2):
            tp, fp, fn, tn = rng.multinomial(sizes[side], rates[side])
            counts[side, 0, :2, :2] = [[tn, fp], [fn, tp]]
        return counts

    broken = 0
    for _ in range(3):
        reference = draw((5_000, 2_000))
        for _ in range(60):
            group = GroupCounts("who", "d", draw((350, 150)), reference)
            found, _ = judge_groups([group], stratified=False, budget=Budget())
            broken += any(one.result.violated for one in found)

    assert broken <= 1


@pytest.mark.parametrize("positive", [0, 100])
def test_a_reference_where_a_group_has_one_answer_only_tells_no_spread(positive: int) -> None:
    # Of the group's 100 rows a day none, or all, are answered yes: shares of 0 and 1 do not vary.
    blocks = np.zeros((30, 2, 3, 3), np.int64)
    blocks[:, 0, 2, :2] = 60, 40
    blocks[:, 1, 2, :2] = 100 - positive, positive

    assert spread("DPPL", Blocks(blocks)) == spread("DI", Blocks(blocks)) == NO_BLOCKS


def of_answers(first: tuple[int, int], second: tuple[int, int]) -> np.ndarray:
    """Return the counts of a window by positive answers and rows of the others and of the group."""
    counts = np.zeros((2, 1, 3, 3), np.int64)
    counts[:, 0, 2, 1] = first[0], second[0]
    counts[:, 0, 2, 0] = first[1] - first[0], second[1] - second[0]
    return counts


def lower_limit(first: tuple[int, int], second: tuple[int, int], z: float) -> float:
    """Return the lower limit of the first share less the second, of SciPy's exact limits (MOVER).

    Newcombe 1998, Statistics in Medicine 17, 873-890, method 10, with Clopper and Pearson's limits.
    """
    level = 1 - 2 * stats.norm.sf(z)
    one, other = (stats.binomtest(*side).proportion_ci(level, "exact") for side in (first, second))
    share, less = first[0] / first[1], second[0] / second[1]
    return share - less - math.hypot(share - one.low, other.high - less)


@pytest.mark.parametrize(
    ("reference", "tolerance", "severity"),
    [
        (None, 0.02, "ticket"),
        # Somebody's limit, as the reference has another value: exact, and worth waking for.
        (of_answers((50, 100), (50, 100)), 0.0, "page"),
    ],
    ids=["document", "limit"],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_excess_of_a_violation_is_its_evidence_beyond_the_level_in_nats(
    reference: np.ndarray | None, tolerance: float, severity: str, sign: int
) -> None:
    first, second = (120, 200), (70, 200)
    window = of_answers(*((first, second)[::sign]))
    group = GroupCounts("who", "d", window, reference, required={"DPPL": 0.05})

    found, level = judge_groups([group], stratified=False, budget=Budget(1, 50))

    (one,) = [one for one in found if one.result.name == "DPPL"]
    # One comparison, and a false alarm a year of 50 windows.
    assert level == pytest.approx(1 / 50)
    least = 0.05 + tolerance
    z = optimize.brentq(lambda z: lower_limit(first, second, z) - least, 0.1, 8)
    p_value = 2 * stats.norm.sf(z)
    assert one.result.p_value == pytest.approx(p_value, rel=1e-6)
    assert one.result.severity == severity
    assert one.excess == pytest.approx(math.log(1 / 50) - math.log(p_value), rel=1e-6)
    bound = least + 0.25 - lower_limit(first, second, stats.norm.isf(0.01))
    assert one.result.bound == pytest.approx(sign * bound)
    assert one.result.operator == ("GreaterThanThreshold" if sign > 0 else "LessThanThreshold")
    assert one.ratio == pytest.approx((0.25 - 0.05) / (bound - 0.05))


def test_evidence_beyond_all_doubt_is_the_same_and_finite() -> None:
    window = of_answers((999_000, 1_000_000), (1_000, 1_000_000))
    group = GroupCounts("who", "d", window, required={"DPPL": 0.0})

    found, _ = judge_groups([group], stratified=False, budget=Budget(1, 50))

    (one,) = [one for one in found if one.result.name == "DPPL"]
    assert one.excess == pytest.approx(math.log(1 / 50) + 300 * math.log(10))


def test_no_excess_and_no_severity_where_nothing_is_violated() -> None:
    group = GroupCounts("who", "d", of_answers((100, 200), (95, 200)), required={"DPPL": 0.0})

    found, _ = judge_groups([group], stratified=False, budget=Budget(1, 50))

    (one,) = [one for one in found if one.result.name == "DPPL"]
    assert (one.result.violated, one.result.severity, one.excess) == (False, None, 0.0)
    assert one.ratio is not None
    assert 0 < one.ratio < 1


def test_a_spread_is_learnt_from_three_blocks_or_more_that_hold_both_sides() -> None:
    blocks = np.zeros((3, 2, 3, 3), np.int64)
    blocks[:, :, 2, :2] = 60, 40

    assert spread("DPPL", Blocks(blocks)).blocks == 3
    assert spread("DPPL", Blocks(blocks[:2])) == NO_BLOCKS
    blocks[0, 1] = 0
    assert spread("DPPL", Blocks(blocks)) == NO_BLOCKS


def test_a_block_in_which_a_side_has_one_row_tells_of_the_spread_too() -> None:
    blocks = np.zeros((3, 2, 3, 3), np.int64)
    blocks[:, :, 2, :2] = 60, 40
    blocks[0, 1, 2, :2] = 1, 0

    assert spread("DPPL", Blocks(blocks)).blocks == 3


def test_a_day_that_stands_alone_widens_the_spread_until_it_is_no_surprise() -> None:
    # 10,000 rows a side and day, half of them positive; on one of 30 days 8,000 of the others.
    blocks = np.zeros((30, 2, 3, 3), np.int64)
    blocks[:, :, 2, :2] = 5_000
    blocks[7, 0, 2, :2] = 2_000, 8_000

    found = spread("DPPL", Blocks(blocks))

    # That day lies 0.3 from the median; of one in twenty references a day of 30 lies so far out.
    largest = stats.norm.isf(0.05 / 30 / 2)
    chance = (0.51 * 0.49 + 0.5 * 0.5) / 10_000
    assert found.variance == pytest.approx(0.3**2 / largest**2 - chance)
    assert found.chance == pytest.approx(chance)
    assert found.tail(0.3, chance) > 0.05 / 30 / 2


def test_a_metric_that_more_rows_make_judged_has_its_share_of_the_budget_before() -> None:
    whole = of_answers((300, 1_000), (250, 1_000))
    rows = (20, 50, 1_000)

    levels = [
        judge_groups(
            [GroupCounts("who", "d", of_answers((few // 10, few), (few // 4, few)), whole)],
            stratified=False,
            budget=Budget(),
        )[1]
        for few in rows
    ]

    assert levels == [levels[0]] * len(rows)
    # A group that the reference has too few rows of is never judged, and takes nothing.
    scarce = GroupCounts("who", "e", whole, of_answers((300, 1_000), (5, 20)))
    judged = GroupCounts("who", "d", whole, whole)
    assert judge_groups([judged, scarce], stratified=False, budget=Budget())[1] == levels[0]


def test_a_disparity_and_its_limits_lie_between_its_ends() -> None:
    counts = np.zeros((2, 3, 3, 3), np.int64)
    counts[1, 0, 0, 0] = counts[0, 0, 1, 1] = 40
    counts[1, 1, 0, 0] = counts[1, 1, 1, 1] = counts[0, 1, 1, 1] = 1
    pair = Pair.of(counts)

    for name in ("CDDL", "CDDPL"):
        limits = interval(name, pair, measure(pair, stratified=True)[name])
        assert limits is not None and -1 <= limits[0] <= limits[1] <= 1
