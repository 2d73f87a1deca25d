"""What is a change of bias, and what is chance: days that share a fate, limits, the budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from driftline.monitors.kinds.bias.judgement import GroupCounts, findable, judge_groups
from driftline.monitors.kinds.bias.metrics import Pair, measure
from driftline.monitors.rows import Rows, WindowFacts

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


def judged_days(reference: Baseline, count: int, swing: float) -> int:
    """Count the days without change that are a violation."""
    found = 0
    for day, table in enumerate(days(count, 5, swing)):
        window = Window(START + timedelta(days=100 + day), START + timedelta(days=101 + day))
        question = CheckContext(
            reference,
            Rows(lambda table=table: iter(table.to_batches()), facts=WindowFacts(window)),
            roles=reference.outcomes.roles,
        )
        found += bool(bias.evaluate(question).violations)
    return found


@pytest.mark.full
def test_days_that_share_a_fate_are_no_violations_when_the_reference_shows_them() -> None:
    roles = {"label": "truth", "prediction": "answer", "facet": "who=d"}
    table = pa.concat_tables(list(days(60, 4, 0.12)))
    timed = Baseline.fit(table, **roles, timestamp="time")
    timeless = Baseline.fit(table.drop_columns(["time"]), **roles)

    assert judged_days(timed, 10, 0.12) == 0
    assert judged_days(timeless, 25, 0.12) > 2


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

    for seed in range(5):
        group = GroupCounts("who", "d", window, *timed_reference(seed))
        found, _ = judge_groups([group], stratified=False, budget=Budget())

        assert any(one.result.violated for one in found)


@pytest.mark.full
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


@pytest.mark.full
def test_what_a_baseline_says_that_rows_find_is_found_nine_times_in_ten() -> None:
    whole, blocks = timed_reference(1)
    group = GroupCounts("who", "d", whole, whole, blocks)
    sizes = {
        rows: {name: least for name, _, least in findable(group, rows, Budget().per_window / 2)}
        for rows in (1_000, 4_000)
    }
    rng, least = np.random.default_rng(3), sizes[4_000]["DPPL"]
    broken = 0
    for _ in range(50):
        hits = rng.binomial(2_000, [0.3, 0.3 - least])
        window = of_answers((int(hits[0]), 2_000), (int(hits[1]), 2_000))
        found, _ = judge_groups([replace(group, window=window)], stratified=False, budget=Budget())
        broken += any(one.result.violated for one in found if one.result.name == "DPPL")

    assert abs(sizes[1_000]["DPPL"]) > abs(least) > 0.05
    assert 0.76 <= broken / 50 <= 1.0


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
    for _ in range(2):
        reference = draw((5_000, 2_000))
        for _ in range(30):
            group = GroupCounts("who", "d", draw((350, 150)), reference)
            found, _ = judge_groups([group], stratified=False, budget=Budget())
            broken += any(one.result.violated for one in found)

    assert broken <= 1


def of_answers(first: tuple[int, int], second: tuple[int, int]) -> np.ndarray:
    """Return the counts of a window by positive answers and rows of the others and of the group."""
    counts = np.zeros((2, 1, 3, 3), np.int64)
    counts[:, 0, 2, 1] = first[0], second[0]
    counts[:, 0, 2, 0] = first[1] - first[0], second[1] - second[0]
    return counts
