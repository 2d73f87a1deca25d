"""The kind "outliers": their share judged, the worst rows first, and why each is odd."""

from __future__ import annotations

import json
import math
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.outliers.evaluation import detectable, judge_share
from driftline.monitors.kinds.outliers.scorer import row_scorer
from driftline.monitors.results.metric import INSUFFICIENT

HOURS = 24 * 28


def trips(rows: int, seed: int, *, first_hour: int = 0, hours: int = HOURS) -> pd.DataFrame:
    """Rows over some hours: time goes with distance, carriers are common and rare."""
    random = np.random.default_rng(seed)
    distance = random.gamma(3.0, 300.0, rows)
    carriers = np.array(["UA", "B6", "AA", "DL", "HA"])
    start = pd.Timestamp("2026-01-05", tz="UTC") + pd.Timedelta(hours=first_hour)
    return pd.DataFrame(
        {
            "at": start + pd.to_timedelta(np.sort(random.random(rows)) * hours, unit="h"),
            "distance": distance,
            "minutes": distance / 7.5 * random.lognormal(0.0, 0.08, rows) + 20.0,
            "delay": random.normal(5.0, 20.0, rows),
            "carrier": carriers[random.choice(5, rows, p=[0.4, 0.3, 0.2, 0.0995, 0.0005])],
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(trips(40_000, seed=1), timestamp="at")


def broken(rows: int, seed: int, count: int) -> pd.DataFrame:
    """A window in which some rows hold minutes as seconds."""
    frame = trips(rows, seed, first_hour=HOURS, hours=24)
    chosen = np.random.default_rng(seed).choice(rows, count, replace=False)
    frame.loc[chosen, "minutes"] *= 60
    return frame


def test_outliers_that_are_too_many_are_found_with_their_column(baseline: Baseline) -> None:
    report = dl.check(broken(5_000, seed=2, count=60), baseline, kind="outliers")

    (violation,) = report.violations
    assert violation.constraint_check_type == "outlier_share_check"
    assert violation.severity == "ticket"
    assert violation.row_count == pytest.approx(60, abs=2)
    assert violation.cause.startswith("1.2% of rows are outliers")
    assert "minutes (" in violation.cause
    assert not report.passed


def test_the_share_is_shown_with_its_interval_and_bound(baseline: Baseline) -> None:
    report = dl.check(broken(5_000, seed=2, count=60), baseline, kind="outliers")

    (metric,) = report.metrics
    assert metric.low is not None and metric.high is not None and metric.value is not None
    assert metric.low < metric.value < metric.high
    assert metric.bound is not None and 1e-4 < metric.bound < metric.value
    assert metric.reference == pytest.approx(1e-4, rel=1)
    assert metric.p_value is not None and metric.p_value < 1 / 365


def test_windows_without_a_change_pass(baseline: Baseline) -> None:
    """Eight days of the reference's kind, at one false alarm a year."""
    reports = [
        dl.check(
            trips(3_000, seed=seed, first_hour=HOURS + 24 * seed, hours=24),
            baseline,
            kind="outliers",
        )
        for seed in range(100, 108)
    ]

    assert [report.passed for report in reports] == [True] * 8
    assert sum(len(report.details["worst"]) for report in reports) < 8 * 3_000 * 2e-4  # type: ignore[arg-type] # A list.


def test_the_verdict_and_the_bound_say_the_same(baseline: Baseline) -> None:
    verdicts = []
    for count in range(0, 30, 6):
        report = dl.check(broken(3_000, seed=3, count=count), baseline, kind="outliers")
        (metric,) = report.metrics
        assert metric.value is not None and metric.bound is not None and metric.p_value is not None
        assert report.passed == (metric.value <= metric.bound) == (metric.p_value >= 1 / 365)
        verdicts.append(report.passed)

    assert verdicts == sorted(verdicts, reverse=True)
    assert {True, False} == set(verdicts)


def test_the_worst_rows_come_first(baseline: Baseline) -> None:
    frame = broken(5_000, seed=4, count=40)
    scores = dl.outlier_scores(frame, baseline).column("outlier_score").to_numpy()
    report = dl.check(frame, baseline, kind="outliers")

    rows = report.rows(0, limit=10)

    assert rows.index.tolist() == np.argsort(-scores, kind="stable")[:10].tolist()
    assert rows["outlier_score"].is_monotonic_decreasing
    assert len(rows) == 10
    assert report.violations[0].first_rows[0] == {"row": rows.index[0]}


def test_report_json_holds_scores_and_reasons_but_no_value(baseline: Baseline) -> None:
    frame = broken(5_000, seed=5, count=40)
    frame.loc[9, "carrier"] = "secret"
    frame.loc[9, "delay"] = 123456.0

    text = dl.check(frame, baseline, kind="outliers").documents()["report.json"]

    found = json.loads(text)
    assert found["details"]["worst"][0]["score"] >= 4
    assert found["violations"][0]["predicate"]["op"] == "outlier"
    assert "secret" not in text and "123456" not in text


def test_equal_rows_give_equal_bytes_in_any_batches(
    baseline: Baseline, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    frame = broken(5_000, seed=6, count=40)
    frame.to_parquet(folder / "whole.parquet", row_group_size=5_000)
    frame.to_parquet(folder / "cut.parquet", row_group_size=700)

    whole, cut = (
        dl.check(folder / f"{name}.parquet", baseline, kind="outliers").documents()
        for name in ("whole", "cut")
    )

    assert whole["report.json"] == cut["report.json"]


def test_a_window_of_few_rows_is_not_judged(baseline: Baseline) -> None:
    report = dl.check(broken(20, seed=7, count=20), baseline, kind="outliers")

    assert not report.passed and not report.decided
    assert report.metrics[0].note == INSUFFICIENT
    assert report.details["worst"]


def test_no_rows_decide_nothing(baseline: Baseline) -> None:
    report = dl.check(trips(1, seed=8).head(0), baseline, kind="outliers")

    assert not report.decided
    assert report.details["missing_columns"] == []


def test_data_of_other_columns_are_refused(baseline: Baseline) -> None:
    with pytest.raises(InputError, match="none of the baseline's 4 features"):
        dl.check(pd.DataFrame({"x": np.arange(50)}), baseline, kind="outliers")


def test_a_missing_column_is_named(baseline: Baseline) -> None:
    report = dl.check(trips(500, seed=9).drop(columns="delay"), baseline, kind="outliers")

    assert report.details["missing_columns"] == ["delay"]
    assert report.passed


@pytest.mark.parametrize(
    ("value", "why"), [(None, "no row has a value"), ("late", "500 values of another type")]
)
def test_a_column_without_a_value_in_any_row_is_not_judged(
    baseline: Baseline, value: object, why: str
) -> None:
    report = dl.check(trips(500, seed=9).assign(delay=value), baseline, kind="outliers")

    [line] = [one for one in report.metrics if one.label == "delay"]
    assert (line.value, line.note) == (None, f"undefined: {why}")
    assert "delay" in {one.name.partition(":")[0] for one in report.unjudged}
    assert f"delay: outlier_share ({why})" in report.summary


@pytest.mark.parametrize("value", [2.5, "late"])
def test_a_column_that_the_reference_has_no_value_of_is_not_judged(value: object) -> None:
    known = Baseline.fit(trips(5_000, seed=1).assign(delay=None))
    few = [value] + [None] * 499

    report = dl.check(trips(500, seed=9).assign(delay=value), known, kind="outliers")

    assert "delay: outlier_share (the reference has no value of it)" in report.summary
    assert report.passed
    for window in (trips(500, seed=9).assign(delay=None), trips(500, seed=9).assign(delay=few)):
        assert not dl.check(window, known, kind="outliers").unjudged


def test_a_column_that_few_rows_have_is_not_named_where_few_rows_lack_it() -> None:
    frame = trips(8_000, seed=1)
    frame["note"] = [1.5 if at % 100 == 0 else None for at in range(8_000)]
    known, window = Baseline.fit(frame), trips(2_000, seed=9).assign(note=math.nan)

    assert not dl.check(window[:200], known, kind="outliers").unjudged
    [one] = dl.check(window, known, kind="outliers").unjudged
    assert one.name.startswith("note")


def test_rows_of_which_no_column_has_a_value_are_no_pass() -> None:
    frame = trips(5_000, seed=1)[["delay"]]

    report = dl.check(frame.assign(delay=None), Baseline.fit(frame), kind="outliers")

    assert not report.passed and not report.decided
    assert report.summary == (
        "5,000 rows; nothing was judged: no column has a value in these rows and in the reference"
    )


def test_texts_that_the_reference_never_had_are_named(baseline: Baseline) -> None:
    window = trips(2_000, seed=9)
    new = window.assign(carrier=["neu"] * 100 + window["carrier"].tolist()[100:])

    report = dl.check(new, baseline, kind="outliers")

    assert 'carrier in 5% of rows ("neu")' in report.details["new_texts_note"]
    assert "new_texts_note" not in dl.check(window, baseline, kind="outliers").details


def test_a_baseline_without_a_sample_says_what_to_do(baseline: Baseline) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="keeps no sample of rows"):
        dl.check(trips(500, seed=9), replace(baseline, sample=None), kind="outliers")


def test_a_sample_that_knows_no_feature_any_more_is_no_lack_of_features(baseline: Baseline) -> None:
    from dataclasses import replace

    assert baseline.sample is not None
    anew = replace(baseline, sample=replace(baseline.sample, codes={"p": np.zeros(200, np.uint8)}))

    with pytest.raises(InputError, match="holds none of its features, as when each was made anew"):
        dl.check(trips(500, seed=9), anew, kind="outliers")


def test_a_reference_without_times_is_judged_with_more_patience(baseline: Baseline) -> None:
    frame = trips(40_000, seed=1).drop(columns="at")
    window = broken(5_000, seed=2, count=60)

    patient = dl.check(window, Baseline.fit(frame), kind="outliers")
    known = dl.check(window, baseline, kind="outliers")

    assert patient.metrics[0].bound is not None and known.metrics[0].bound is not None
    assert patient.metrics[0].bound > known.metrics[0].bound


def test_a_reference_of_few_rows_decides_nothing() -> None:
    small = Baseline.fit(trips(80, seed=31), timestamp="at")

    report = dl.check(broken(500, seed=32, count=50), small, kind="outliers")
    nothing = dl.check(broken(500, seed=32, count=50)[:0], small, kind="outliers")

    (metric,) = report.metrics
    assert (metric.value, metric.note, report.row_count) == (None, INSUFFICIENT, 500)
    assert report.insufficient_data == ("outlier_share",)
    assert not report.violations and not report.decided and not nothing.decided
    assert "nothing could be judged" in report.summary


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("swing", [0.0, 0.2])
def test_a_bound_never_widens_with_rows(timed: bool, swing: float) -> None:
    # Days differ by their scale: how much the share varies by itself is known, or nobody knows.
    random = np.random.default_rng(3)
    scale = np.repeat(np.exp(random.normal(0.0, swing, 30)), 100)
    rows = pd.DataFrame(random.normal(size=(3_000, 2)) * scale[:, None], columns=["x", "y"])
    rows["at"] = pd.date_range("2026-01-05", periods=3_000, freq="864s", tz="UTC")
    known = Baseline.fit(rows if timed else rows[["x", "y"]], timestamp="at" if timed else None)
    scorer, day = row_scorer(known), timedelta(days=1) if timed else None

    bounds = [
        judge_share(scorer, 0, size, budget=Budget(), length=day, cluster=3.0).bound
        for size in (100, 300, 1_000, 3_000, 10_000, 100_000, 1_000_000)
    ]

    assert None not in bounds
    assert bounds == sorted(bounds, key=float, reverse=True)
    assert bounds[-1] < bounds[0]


def test_a_column_without_a_value_that_makes_outliers_is_told_once() -> None:
    random = np.random.default_rng(0)
    rows = pa.table({name: random.normal(size=6_000) for name in "abcd"})
    window = rows.slice(0, 1_000)
    for at in (1, 2):
        window = window.set_column(at, "abcd"[at], pa.nulls(1_000, pa.float64()))

    report = dl.check(window, dl.Baseline.fit(rows), kind="outliers")

    assert "odd by b (no row has a value, " in report.cause
    # Emptiness of the other one makes no row an outlier by itself.
    assert [one.name for one in report.unjudged] == ["c: outlier_share"]


def test_a_small_reference_of_few_columns_says_what_it_cannot_tell() -> None:
    values = np.random.default_rng(5).normal(size=(1_000, 5))
    frame = pd.DataFrame(values, columns=list("abcde"))
    small = dl.Baseline.fit(frame[["a", "b"]][:250])
    enough = [dl.Baseline.fit(frame[["a", "b"]]), dl.Baseline.fit(frame[:250])]

    report = dl.check(frame[["a", "b"]][250:], small, kind="outliers")

    [said] = detectable(small)
    assert said.startswith("a reference of 250 rows and 2 columns cannot tell outliers")
    assert report.details["small_reference_note"] == said
    assert [detectable(one) for one in enough] == [[], []]
