"""The day test in a check of data quality: told in words, and in place of no verdict at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.detectability import DEFERRED
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.rows import Rows, WindowFacts
from tests.monitors.day_test.weather import weather

REFERENCE_DAYS = 400
WEEK = timedelta(days=7)
START = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=REFERENCE_DAYS)
Fault = Callable[[pd.DataFrame], pd.DataFrame]


@cache
def rows() -> pd.DataFrame:
    return weather(REFERENCE_DAYS + 14)


@cache
def baseline() -> Baseline:
    return Baseline.fit(rows()[: 24 * REFERENCE_DAYS], timestamp="at")


def later(days: int = 14) -> pd.DataFrame:
    return rows()[24 * REFERENCE_DAYS :][: 24 * days].reset_index(drop=True)


def shifted(one: pd.DataFrame) -> pd.DataFrame:
    return one.assign(temp=one["temp"].shift(8).bfill())


def test_what_was_never_judged_is_judged_by_its_days() -> None:
    report = dl.check(later(), baseline())

    assert report.passed
    assert report.undecidable == ("pressure",), "wholly beyond the reference it would be no finding"
    days = report.to_dict()["details"]["day_test"]
    assert days == {"judged": ["pressure", "temp", "wind"], "findings": {}}
    line = next(one for one in report.results if one.feature == "temp")
    assert (line.note, line.bound) == ("judged_by_days", None), "nothing could break its distance"
    assert report.judged_columns == ("temp", "wind")


def test_a_window_in_which_no_span_ends_leaves_a_column_to_the_spans_that_will() -> None:
    monitor, days = dl.Monitor(baseline(), period=timedelta(days=2)), later(5)[24:]

    first, second = (
        monitor.check(days[48 * at : 48 * at + 48], time=days["at"].iloc[48 * at]) for at in (0, 1)
    )

    assert first.undecidable == ("temp", "pressure", "wind")
    assert first.decided, "no longer window is asked for"
    assert first.max_drift_ratio is None
    assert {one.name: one.remedy for one in first.unjudged}["temp"] == DEFERRED
    assert second.undecidable == ("pressure",)


@pytest.mark.parametrize(
    ("added", "told"),
    [
        (0.0, []),
        (15.0, []),
        (100.0, []),
        (273.15, [("temp", "unit_change_check", "page")]),
        (273.15 + 10.0, [("temp", "range_check", "page")]),  # Kelvin of a week hotter than most.
    ],
)
def test_of_half_a_year_a_level_is_not_judged_but_what_no_season_brings_is_told(
    added: float, told: list[tuple[str, str, str]]
) -> None:
    half = Baseline.fit(rows()[: 24 * 200], timestamp="at")
    next_days = rows()[24 * 200 :][: 24 * 7]

    report = dl.check(next_days.assign(temp=next_days["temp"] + added), half)

    found = [(one.feature_name, one.constraint_check_type, one.severity) for one in
             report.violations]  # fmt: skip
    assert found == told
    assert report.undecidable == ("temp", "pressure")
    assert {one.remedy for one in report.unjudged} == {"130 more days of reference"}
    assert all(one.bound is None for one in report.results if one.feature == "temp")


def test_a_window_of_three_days_leaves_it_at_that() -> None:
    report = dl.check(later(3), baseline())

    assert "day_test" not in report.to_dict()["details"]


def test_a_finding_is_a_ticket_in_words_with_its_uncertainty() -> None:
    report = dl.check(shifted(later()), baseline())

    (violation,) = report.violations
    assert (violation.feature_name, violation.constraint_check_type) == ("temp", "day_drift_check")
    assert violation.severity == "ticket"
    assert violation.cause.startswith(
        "the daily cycle lies elsewhere than hour, weekday and season"
    )
    assert "sd (95%: " in violation.cause
    assert "over 14 days" in violation.cause
    assert violation.share_of_blame == 1.0
    finding = report.to_dict()["details"]["day_test"]["findings"]["temp"]
    assert finding["p_value"] < finding["alpha"]
    assert finding["mean_low"] < finding["mean"] < finding["mean_high"]
    assert report.to_dict()["passed"] is False
    assert "day_drift_check" in report.documents()["constraint_violations.json"]
    assert "daily cycle" in report.html()


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_report_is_the_same_however_the_rows_are_read(jobs: int) -> None:
    found = dl.check(shifted(later()), baseline(), jobs=jobs)

    assert found.violations[0].cause == dl.check(shifted(later()), baseline()).violations[0].cause


def test_a_baseline_without_steps_is_judged_by_the_other_scores() -> None:
    old = baseline()
    assert old.profile is not None
    columns = {name: replace(one, steps=None) for name, one in old.profile.columns.items()}
    old = replace(old, profile=replace(old.profile, columns=columns))

    assert dl.check(later(), old).passed
    assert not dl.check(shifted(later()), old).passed


def test_a_column_that_is_left_out_of_the_comparison_is_not_judged() -> None:
    quiet = Baseline.fit(rows()[: 24 * REFERENCE_DAYS], timestamp="at", exclude=["temp"])

    assert dl.check(shifted(later()), quiet).passed


def test_a_cycle_that_moved_before_the_first_window_is_told_in_it() -> None:
    start = START
    week = shifted(later()[: 24 * 7])
    batch = pa.RecordBatch.from_pandas(week.rename(columns={"at": "event_time"}))
    rows = Rows(lambda: iter([batch]), facts=WindowFacts(Window(start, start + WEEK)))

    report = evaluate(
        CheckContext(baseline(), rows, budget=Budget(1.0, 52.0), past=PastWindows(()))
    )

    assert [one.constraint_check_type for one in report.violations] == ["day_drift_check"]
