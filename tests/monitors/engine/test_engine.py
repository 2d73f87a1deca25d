"""The engine against independent sources, its properties, and its false alarms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from driftline.monitors.engine.block_test import judge
from driftline.monitors.engine.day_law import KNOTS, MEMORIES, learn_days
from driftline.monitors.engine.jackknife import jackknife
from driftline.monitors.engine.metric import Metric, MetricSet
from driftline.monitors.engine.pooling import WindowSums, judge_spans
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.sums import GROUPS, add_up, block_index, groups_of, ratio
from driftline.monitors.engine.tails import pearson_quantile, pearson_tail, student_scales
from driftline.monitors.engine.threshold_test import Threshold, judge_thresholds

YEAR = 1.0 / 365.0
FIRST, DAY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)


def mean_of(metric: Metric) -> MetricSet:
    """One mean: the sums are rows, and the sum of their values."""
    return MetricSet(
        (metric,), lambda sums: ratio(sums[..., 1:], sums[..., :1]), lambda sums: sums[..., :1]
    )


MEAN = mean_of(Metric("mean", "plain", 0, tolerance=0.0, useless=100.0))
ACCURACY = mean_of(Metric("accuracy", "share", -1, tolerance=0.0, lattice=True))
# Two metrics over rows, sum, and sum of squares: a mean squared value, and the variance.
MOMENTS = MetricSet(
    (Metric("square", "error", 1, useless=10.0), Metric("variance", "error", 1, useless=10.0)),
    lambda sums: np.stack(
        [
            ratio(sums[..., 2], sums[..., 0]),
            ratio(sums[..., 2], sums[..., 0]) - ratio(sums[..., 1], sums[..., 0]) ** 2,
        ],
        axis=-1,
    ),
    lambda sums: np.repeat(sums[..., :1], 2, axis=-1),
)


def sums_of(values: np.ndarray) -> np.ndarray:
    """Rows and their values by group."""
    columns = np.stack([np.ones(len(values)), values], axis=1)
    return add_up(columns, groups_of(len(values)))


def days_of(values: np.ndarray) -> np.ndarray:
    """Rows and their values by day, of shape (days, rows of a day)."""
    return np.stack([np.full(len(values), values.shape[1], float), values.sum(axis=1)], axis=1)


# ---- Tails


@given(st.floats(-6, 6), st.floats(0.01, 6.0), st.sampled_from([-1.0, 1.0]))
def test_tails_are_scipys_of_pearsons_third_type(z, size, sign) -> None:
    skewness = sign * size

    found = pearson_tail(np.array(z), np.array(skewness))

    assert float(found) == pytest.approx(stats.pearson3.sf(z, skewness), rel=1e-6, abs=1e-12)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(-4.0, 4.0))
def test_quantiles_turn_tails_round(p, skewness) -> None:
    z = pearson_quantile(np.array(p), np.array(skewness))

    assert float(pearson_tail(z, np.array(skewness))) == pytest.approx(1.0 - p, abs=1e-7)


@pytest.mark.parametrize("events", [0.5, 1, 2, 5, 10, 20, 50])
@pytest.mark.parametrize("level", [1e-3, 1e-5])
def test_tails_of_counts_are_never_smaller_than_poissons(events, level) -> None:
    """With half a row taken off; and not more than 12 times as large."""
    count = int(stats.poisson.isf(level, events)) + 1
    exact = stats.poisson.sf(count - 1, events)

    z, skewness = (count - 0.5 - events) / events**0.5, events**-0.5
    found = float(pearson_tail(np.array(z), np.array(skewness)))

    assert 0.95 * exact <= found <= 13.0 * exact


def test_mixed_normal_laws_are_students() -> None:
    scales, chances = student_scales(5.0)
    points = np.array([0.5, 2.0, 4.0, 8.0])

    found = (stats.norm.sf(points[:, None] / np.sqrt(scales)) * chances).sum(axis=1)

    assert found == pytest.approx(stats.t.sf(points, 5.0), rel=2e-3)


# ---- Sums and the jackknife


def test_groups_are_even_and_depend_on_the_row_alone() -> None:
    whole = groups_of(100_000)

    assert np.array_equal(whole[400:700], groups_of(300, first=400))
    assert stats.chisquare(np.bincount(whole, minlength=GROUPS)).pvalue > 1e-4
    assert stats.chisquare(np.bincount(whole[::7], minlength=GROUPS)).pvalue > 1e-4


def test_sums_of_parts_add_up_to_sums_of_the_whole() -> None:
    columns = np.random.default_rng(1).random((1000, 3))

    parts = [
        add_up(columns[part], groups_of(len(columns[part]), first=part.start))
        for part in (slice(0, 300), slice(300, 1000))
    ]

    assert np.allclose(sum(parts), add_up(columns, groups_of(1000)))


def test_a_stray_time_makes_no_blocks_and_two_seasons_stay() -> None:
    days = np.repeat(np.arange(20_000, 20_028), 10)

    for stray in (0, 90_000):
        kept, index, size = block_index(np.append(days, stray))
        assert (len(kept), size) == (280, 28)
        assert np.array_equal(index, days - 20_000)

    two = np.concatenate([days, days + 120])
    assert block_index(two)[2] == 148
    assert len(block_index(two)[0]) == len(two)


def test_the_jackknife_of_a_mean_is_the_textbooks() -> None:
    """One row a group: the sample's variance and third k-statistic."""
    values = np.random.default_rng(2).exponential(size=GROUPS)

    law = jackknife(MEAN, np.stack([np.ones(GROUPS), values], axis=1))

    assert law.variance == pytest.approx(values.var(ddof=1))
    assert law.third == pytest.approx(stats.kstat(values, 3))


def test_a_number_that_rests_on_one_group_is_not_known() -> None:
    buckets = np.zeros((GROUPS, 2))
    buckets[3] = 5.0

    assert jackknife(MEAN, buckets).degrees == 0.0


# ---- Days


def test_days_are_weighed_by_their_restricted_likelihood() -> None:
    """By dense matrices, with a day that has no value and days of unequal rows."""
    rng = np.random.default_rng(3)
    values, rows = rng.normal(size=(12, 1)) * 2.0, rng.uniform(0.5, 2.0, (12, 1))
    values[4] = np.nan
    held = np.flatnonzero(np.isfinite(values[:, 0]))
    y, by_rows = values[held, 0], np.diag(rows[held, 0])
    apart = np.abs(held[:, None] - held)

    law = learn_days(values, rows)

    def likelihood(variance: float, memory: float) -> float:
        covariance = by_rows + variance * memory**apart
        inverse = np.linalg.inv(covariance)
        one = np.ones(len(y))
        mean = (one @ inverse @ y) / (one @ inverse @ one)
        logs = np.linalg.slogdet(covariance)[1] + np.log(one @ inverse @ one)
        return float(-0.5 * (logs + (y - mean) @ inverse @ (y - mean)))

    grid = law.variance.reshape(len(MEMORIES), KNOTS)
    for row, memory in enumerate(MEMORIES):
        chosen = np.flatnonzero(grid[row] > 0)[[0, 5, 20]] + row * KNOTS
        logs = np.log(law.weight[0, chosen])
        exact = [likelihood(law.variance[0, at], memory) for at in chosen]
        assert np.diff(logs) == pytest.approx(np.diff(exact), abs=1e-8)


def test_days_that_differ_widen_the_bound_and_days_alike_hardly_do() -> None:
    rng = np.random.default_rng(4)
    alike, window = rng.normal(size=(60, 100)), sums_of(rng.normal(size=100))
    differ = alike + rng.normal(size=(60, 1))

    def bound(values: np.ndarray, days: np.ndarray | None) -> float:
        reference = Reference(MEAN, sums_of(values.ravel()), days)
        return abs(judge(reference, window, length=1.0, level=YEAR)[0].bound)

    untimed = bound(alike, None)
    assert untimed < bound(alike, days_of(alike)) < 1.6 * untimed
    assert bound(differ, days_of(differ)) > 2.5


# ---- The test


def test_without_days_a_mean_is_tested_as_by_students_test() -> None:
    """Pooled variance, of two samples of equal law (Welch's test is close to it)."""
    rng = np.random.default_rng(5)
    reference, window = rng.normal(size=20_000), rng.normal(0.1, 1.0, 2_000)

    tested = judge(Reference(MEAN, sums_of(reference)), sums_of(window), length=1.0, level=YEAR)[0]

    assert tested.p_value == pytest.approx(stats.ttest_ind(window, reference).pvalue, rel=0.5)
    assert tested.violated and tested.state == "judged"
    half = stats.norm.isf(0.025) * window.std() / len(window) ** 0.5
    assert (tested.low, tested.high) == pytest.approx(
        (window.mean() - half, window.mean() + half), abs=0.12 * half
    )


@pytest.mark.parametrize("right", [0.0, 0.02, 0.5, 0.9, 1.0])
def test_the_interval_of_a_share_is_as_wide_as_wilsons(right) -> None:
    values = np.zeros(400)
    values[: round(400 * right)] = 1.0
    reference = Reference(ACCURACY, sums_of(np.tile([1.0, 0.0], 5_000)))

    tested = judge(reference, sums_of(values), length=1.0, level=YEAR)[0]

    exact = stats.binomtest(int(values.sum()), 400).proportion_ci(0.95, method="wilson")
    assert (tested.low, tested.high) == pytest.approx((exact.low, exact.high), abs=0.013)


def test_the_bound_is_where_a_window_becomes_a_violation() -> None:
    rng = np.random.default_rng(6)
    reference = Reference(ACCURACY, sums_of((rng.random(30_000) < 0.9).astype(float)))
    judged = judge(reference, sums_of(np.repeat([1.0, 0.0], [900, 100])), length=1.0, level=YEAR)[0]

    def is_violated(right: float) -> bool:
        values = np.repeat([1.0, 0.0], [round(1000 * right), 1000 - round(1000 * right)])
        return judge(reference, sums_of(values), length=1.0, level=YEAR)[0].violated

    assert judged.state == "judged" and judged.findable < judged.bound < judged.reference
    assert is_violated(judged.bound - 0.004) and not is_violated(judged.bound + 0.004)


@given(st.integers(1, 60), st.floats(0.0, 1.0))
def test_what_cannot_be_tested_is_no_violation_and_says_so(rows, right) -> None:
    """A reference hardly better than a guess (0), or windows that even a guess would pass."""
    values = np.zeros(rows)
    values[: round(rows * right)] = 1.0
    reference = Reference(ACCURACY, sums_of(np.repeat([1.0, 0.0], [5, 95])))

    tested = judge(reference, sums_of(values), length=1.0, level=1e-6)[0]

    assert tested.state == "too_variable"
    assert not tested.violated


def test_a_window_without_rows_is_undefined() -> None:
    reference = Reference(ACCURACY, sums_of(np.tile([1.0, 1.0, 0.0], 500)))

    tested = judge(reference, np.zeros((GROUPS, 2)), length=1.0, level=YEAR)[0]

    assert tested.state == "undefined" and np.isnan(tested.value) and np.isnan(tested.low)
    assert not tested.violated


def test_a_reference_without_a_failure_has_a_bound_below_its_value() -> None:
    reference = Reference(ACCURACY, sums_of(np.ones(5_000)))
    rare = Reference(MEAN, sums_of(np.ones(5_000)))

    perfect = judge(reference, sums_of(np.ones(500)), length=1.0, level=YEAR)[0]
    failing = judge(reference, sums_of(np.repeat([0.0, 1.0], [15, 485])), length=1.0, level=YEAR)[0]
    equal = judge(rare, sums_of(np.ones(500)), length=1.0, level=YEAR)[0]

    assert perfect.state == "judged" and 0.97 < perfect.bound < 1.0 and not perfect.violated
    assert 0.98 < perfect.low < perfect.high == 1.0
    assert failing.violated
    assert equal.state == "too_variable"  # Nothing shows how much such a mean varies.


def test_a_written_threshold_is_met_within_chance_of_the_windows_rows() -> None:
    values = np.repeat([0.0, 1.0], [120, 880])

    def judged(threshold: float):
        asked = [Threshold(0, threshold, -1)]
        return judge_thresholds(ACCURACY, sums_of(values), asked, level=1e-3)[0]

    exact = stats.binom.cdf(880, 1000, 0.92)
    assert judged(0.92).p_value == pytest.approx(exact, rel=0.5)
    assert judged(0.92).violated and not judged(0.9).violated
    assert judged(0.9).bound < 0.88 < judged(0.92).bound < 0.92


def test_a_change_within_the_tolerance_or_towards_the_neutral_value_does_not_matter() -> None:
    metric = Metric("DPPL", "plain", 0, tolerance=0.02, neutral=0.0)

    assert not metric.matters(0.11, 0.10)
    assert not metric.matters(0.01, 0.10)
    assert metric.matters(-0.05, 0.04)
    assert metric.matters(0.2, 0.1)


# ---- Several windows


def windows_of(values: np.ndarray, p_value: float = 0.5) -> list[WindowSums]:
    """One window a day, from an aligned one on, of values (windows, rows)."""
    start = FIRST + timedelta(days=(-(FIRST - datetime(1970, 1, 1, tzinfo=UTC)).days) % 16)
    return [
        WindowSums(start + at * DAY, start + (at + 1) * DAY, sums_of(rows), p_value=p_value)
        for at, rows in enumerate(values)
    ]


def test_spans_are_the_sums_of_their_windows() -> None:
    rng = np.random.default_rng(7)
    reference = Reference(MEAN, sums_of(rng.normal(size=10_000)))
    values = rng.normal(size=(16, 50))
    *past, last = windows_of(values)

    tested = judge_spans(reference, last, past, level=YEAR)

    assert [one.windows for one in tested] == [1, 4, 16]
    means = [values[-scale:].mean() for scale in (1, 4, 16)]
    assert [one.value for one in tested] == pytest.approx(means)
    assert [one.windows for one in judge_spans(reference, past[-1], past[:-1], level=YEAR)] == [1]
    assert [one.windows for one in judge_spans(reference, last, None, level=YEAR)] == [1]


def test_days_since_then_are_learnt_after_a_quarantine_without_changes() -> None:
    """A reference without times: windows that differ widen the bound, but no changed ones."""
    rng = np.random.default_rng(8)
    reference = Reference(MEAN, sums_of(rng.normal(size=10_000)))
    values = rng.normal(size=(60, 100)) + rng.normal(size=(60, 1))
    *past, last = windows_of(values)
    changed = [*past[:-1], windows_of(values, p_value=1e-6)[-2]]

    def bound(past: list[WindowSums]) -> float:
        return abs(judge_spans(reference, last, past, level=YEAR)[0].bound)

    alone = bound([])
    assert bound(past) > 3.0 * alone
    assert bound(past[-29:]) == alone  # 13 beyond the quarantine: too few.
    assert bound(changed) == pytest.approx(bound(past), rel=0.2)
    assert bound(windows_of(values, p_value=1e-6)[:-1]) == alone


def test_false_alarms_stay_within_the_budget_when_nothing_changes() -> None:
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(12):
        effect = 0.3 * rng.normal(size=28)
        values = rng.normal(size=(28, 60)) + effect[:, None]
        moments = np.stack([np.ones_like(values), values, values**2], axis=-1)
        group = groups_of(values.size)
        reference = Reference(MOMENTS, add_up(moments.reshape(-1, 3), group), moments.sum(axis=1))
        for _ in range(60):
            rows = rng.normal(size=60) + 0.3 * rng.normal()
            buckets = add_up(np.stack([np.ones(60), rows, rows**2], axis=1), groups_of(60))
            tested = judge(reference, buckets, length=1.0, level=0.02)
            alarms += any(one.p_value < 0.01 for one in tested)
    # Of 720 windows 14 are expected at most.
    assert alarms <= stats.poisson.isf(1e-6, 14.4)


@given(
    st.floats(-1, 1), st.floats(-1, 1), st.sampled_from([None, 0.0, 1.0]), st.booleans(),
)  # fmt: skip
def test_a_bound_is_the_first_value_beyond_which_a_change_matters(
    reference: float, bound: float, neutral: float | None, relative: bool
) -> None:
    metric = Metric("gap", "plain", 0, 0.05, relative=relative, neutral=neutral)
    side = 1.0 if bound >= reference else -1.0

    first = metric.first_that_matters(bound, reference)

    assert metric.matters(first + side * 1e-9, reference)
    assert side * (first - bound) >= 0
    if first != bound:
        assert not metric.matters(first - side * 1e-9, reference)
