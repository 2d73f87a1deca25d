"""What a reference can lack that windows are held against: each is told, and bounds nothing."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import driftline as dl
from driftline.monitors.results.measured import Measured


def scored(random: np.random.Generator, rows: int, right: float = 1.0) -> pa.Table:
    """Rows of two classes, of which a share was predicted right."""
    label = random.integers(0, 2, rows)
    said = np.where(random.random(rows) < right, label, 1 - label)
    return pa.table({"x": random.normal(size=rows), "y": label, "said": said})


OF_TWO = {"label": "y", "prediction": "said", "problem": "binary"}


def test_a_reference_without_a_failure_is_no_proof_that_there_are_none() -> None:
    random = np.random.default_rng(4)
    baseline = dl.Baseline.fit(scored(random, 100), **OF_TWO)

    usual, bad = (
        dl.check(scored(random, 2_000, right), baseline, kind="model-quality")
        for right in (0.97, 0.75)
    )

    # Without a failure in 100 rows: one model in twenty that is right in 97%.
    assert usual.passed, usual.cause
    [accuracy] = [one for one in usual.metrics if one.name == "accuracy"]
    # The limit of Clopper and Pearson of no failure in 100 rows is 0.923 at this level.
    assert 0.9 < accuracy.bound < 0.97
    assert not bad.passed


@pytest.mark.first(1)
@pytest.mark.parametrize(("reference_rows", "failures"), [(100, 0), (100, 1), (1_000, 0)])
def test_beside_few_failures_more_rows_of_a_window_are_judged_no_worse(
    reference_rows: int, failures: int
) -> None:
    def exact(rows: int, wrong: int) -> pa.Table:
        label = np.arange(rows) % 2
        said = label.copy()
        said[:wrong] = 1 - said[:wrong]
        return pa.table({"x": np.arange(rows) % 7, "y": label, "said": said})

    baseline = dl.Baseline.fit(exact(reference_rows, failures), **OF_TWO)

    def accuracy(rows: int, wrong: int) -> Measured:
        report = dl.check(exact(rows, wrong), baseline, kind="model-quality")
        return next(one for one in report.metrics if one.name == "accuracy")

    found = [accuracy(rows, 0) for rows in (200, 500, 2_000, 50_000)]

    bounds = [one.bound for one in found]
    assert None not in bounds, [one.why for one in found]
    assert bounds == sorted(bounds)
    assert accuracy(50_000, 12_500).violated


@pytest.mark.parametrize("rows_a_day", [20, 200])
def test_days_without_a_failure_cost_no_power(rows_a_day: int) -> None:
    def by_day(first: str, days: int, rows: int, wrong: float) -> pa.Table:
        random = np.random.default_rng(7)
        times = np.repeat(np.datetime64(first, "us") + np.arange(days) * 86_400_000_000, rows)
        times += np.tile(np.arange(rows) * (86_400_000_000 // rows), days).astype("m8[us]")
        found = scored(random, days * rows, 1.0 - wrong)
        return found.append_column("t", pa.array(times, pa.timestamp("us", "UTC")))

    baseline = dl.Baseline.fit(by_day("2025-01-01", 60, rows_a_day, 0.0), timestamp="t", **OF_TWO)
    good, bad = (
        dl.check(by_day("2025-03-02", 1, 5_000, wrong), baseline, kind="model-quality")
        for wrong in (0.0, 0.2)
    )

    assert good.decided
    assert good.passed
    assert not bad.passed


@pytest.mark.parametrize("is_timed", [False, True])
def test_a_reference_without_a_miss_of_few_positives_bounds_their_recall(is_timed: bool) -> None:
    def of_few(first: str, rows: int, days: int, missed: int) -> pa.Table:
        label = (np.arange(rows) % 50 == 0).astype(int)
        said = label.copy()
        said[np.flatnonzero(label)[:missed]] = 0
        times = np.datetime64(first, "us") + np.arange(rows) * (days * 86_400_000_000 // rows)
        return pa.table({"y": label, "said": said, "t": pa.array(times, pa.timestamp("us", "UTC"))})

    when = {"timestamp": "t"} if is_timed else {}
    baseline = dl.Baseline.fit(of_few("2025-01-01", 10_000, 60, 0), **OF_TWO, **when)

    good, bad = (
        dl.check(of_few("2025-03-02", 1_000, 1, missed), baseline, kind="model-quality")
        for missed in (0, 10)
    )

    assert good.passed
    [recall] = [one for one in bad.metrics if one.name == "recall"]
    # Of 20 positives: 200 of the reference without a miss rule out half of them by far.
    assert recall.violated
    assert stats.fisher_exact([[200, 0], [10, 10]]).pvalue < 1e-10


def test_no_skill_is_held_against_a_reference_without_an_error() -> None:
    random = np.random.default_rng(5)

    def of_three(rows: int, right: float) -> pa.Table:
        label = random.integers(0, 3, rows)
        other = (label + random.integers(1, 3, rows)) % 3
        said = np.where(random.random(rows) < right, label, other)
        names = np.array(["a", "b", "c"])
        return pa.table({"y": names[label], "said": names[said]})

    baseline = dl.Baseline.fit(
        of_three(100, 1.0), label="y", prediction="said", problem="multiclass"
    )

    usual, bad = (
        dl.check(of_three(2_000, right), baseline, kind="model-quality") for right in (0.97, 0.75)
    )

    assert usual.passed, usual.cause
    notes = {one.name: one.why for one in usual.metrics}
    assert notes["accuracy_skill"].endswith("the reference has no error")
    assert not bad.passed


def test_a_third_class_of_the_reference_counts_as_not_positive() -> None:
    random = np.random.default_rng(4)
    score = random.random(3_000)
    label = np.where(random.random(3_000) < score, "yes", "no")
    some = np.where(np.arange(3_000) % 100 == 0, "maybe", label)
    reference, window = (pa.table({"y": one, "s": score}) for one in (some, label))
    baseline = dl.Baseline.fit(
        reference, label="y", probability="s", problem="binary", positive="yes"
    )

    report = dl.check(window.slice(0, 1_000), baseline, kind="model-quality")

    assert report.passed
    assert set(report.details["confusion_matrix"]) == {"not yes", "yes"}
    assert report.details["estimate_note"].startswith("estimated without labels: AUC")


def test_fewer_than_thirty_rows_of_a_reference_bound_nothing() -> None:
    random = np.random.default_rng(4)
    baseline = dl.Baseline.fit(scored(random, 29), **OF_TWO)

    report = dl.check(scored(random, 2_000, 0.7), baseline, kind="model-quality")

    assert not report.decided
    assert (
        "the reference has 29 rows of use, 30 are needed; make the baseline again of more rows "
        "with label and prediction"
    ) in report.summary
