"""Faults that no single column shows: exchanged columns, hours of the day without rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts

START = pd.Timestamp("2025-01-01", tz="UTC")


def weather(rng: np.random.Generator, days: int, first_day: int = 0) -> pd.DataFrame:
    """Hours of a temperature that moves slowly, and a dew point below it."""
    hours = 24 * first_day + np.arange(24 * days)
    season = 10 + 10 * np.sin(hours / 8760 * 2 * np.pi) + 4 * np.sin(hours / 24 * 2 * np.pi)
    temperature = np.round(season + rng.normal(0, 3, hours.size), 1)
    return pd.DataFrame(
        {
            "temp": temperature,
            "dew": temperature - np.round(rng.gamma(2, 2, hours.size), 1),
            "at": START + pd.to_timedelta(hours, unit="h"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(weather(np.random.default_rng(7), 370), timestamp="at")


def causes(report: Report) -> dict[str, str]:
    return {
        one.constraint_check_type: one.cause.partition(", cannot")[0]
        for one in report.violations
        if one.constraint_check_type in ("order_check", "lost_hour_check")
    }


def test_exchanged_columns_are_told_with_their_rows(
    rng: np.random.Generator, baseline: Baseline
) -> None:
    window = weather(rng, 7, 380)
    window[["temp", "dew"]] = window[["dew", "temp"]].to_numpy()
    reversed_rows = window["temp"] < window["dew"]

    report = check(window, baseline)

    share = f"{round(100 * float(reversed_rows.mean()), 1):g}%"
    assert causes(report) == {"order_check": f"temp below dew in {share} of rows (reference 0%)"}
    found = next(one for one in report.violations if one.constraint_check_type == "order_check")
    assert found.severity == "page"
    assert found.row_count == reversed_rows.sum()
    assert (report.rows(found, limit=None)["temp"] < report.rows(found, limit=None)["dew"]).all()


def test_columns_in_reversed_order_are_told_as_exchanged_where_each_is_the_others(
    rng: np.random.Generator,
) -> None:
    """In a year temperatures come that are another season's dew points, and none is violated."""

    def dry(days: int, first_day: int = 0) -> pd.DataFrame:
        rows = weather(rng, days, first_day)
        return rows.assign(dew=rows["temp"] - np.round(rng.gamma(36, 0.25, len(rows)), 1))

    baseline = Baseline.fit(dry(370), timestamp="at")
    window = dry(7, 380)
    exchanged = window.rename(columns={"temp": "dew", "dew": "temp"})

    found = causes(check(exchanged, baseline))["order_check"]
    # Where one alone moved below the other, that one still lies where it did.
    shifted = causes(check(window.assign(temp=window["temp"] - 18), baseline))["order_check"]

    assert "dew and temp look exchanged: each has the values that the other had" in found
    assert "exchanged" not in shifted


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda window: window.assign(temp=window["temp"].where(window.index % 12 > 0, -99.0)),
        lambda window: window[::-1].head(19).assign(temp=-99.0),
        lambda window: window.drop(columns="dew"),
        lambda window: window.assign(temp=np.nan),
    ],
    ids=["less than a tenth", "fewer than twenty rows", "a column is not there", "it is empty"],
)
def test_what_breaks_no_order(
    rng: np.random.Generator,
    baseline: Baseline,
    spoilt: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    assert "order_check" not in causes(check(spoilt(weather(rng, 7, 380)), baseline))


def test_more_reversed_rows_than_the_worst_week_had_are_asked_for(rng: np.random.Generator) -> None:
    rows = weather(rng, 370)
    rows.loc[200:230, "dew"] = 99.0
    baseline = Baseline.fit(rows, timestamp="at")
    window = weather(rng, 7, 380)

    for broken, expected in ((90, {}), (120, {"order_check"})):
        found = causes(
            check(window.assign(dew=window["dew"].mask(window.index < broken, 99.0)), baseline)
        )
        assert found.keys() == set(expected), broken


def test_a_lost_hour_is_told_in_the_first_week(
    rng: np.random.Generator, baseline: Baseline
) -> None:
    window = weather(rng, 7, 380)

    report = check(window[~window["at"].dt.hour.isin([7, 8, 20])], baseline)

    assert causes(report) == {
        "lost_hour_check": "no rows from 07:00 to 09:00 and 20:00 to 21:00 UTC on any of 7 days "
        "(reference: rows on 370 of 370 days)"
    }
    assert (report.page_count, report.violation_count) == (0, 1)
    assert not causes(check(window, baseline))


def test_rows_that_a_regular_series_lacks_here_and_there_are_told(
    rng: np.random.Generator, baseline: Baseline
) -> None:
    window = weather(rng, 7, 380)
    cold = (window["temp"] < window["temp"].median()) & (rng.random(len(window)) < 0.5)

    report = check(window[~cold], baseline)

    days = cold.groupby(window["at"].dt.date).sum()
    cause = causes(report)["lost_hour_check"]
    level = re.search(r"have: those of (\d) hour", cause)
    assert level is not None
    assert cause.startswith(
        f"as many rows are missing as {cold.sum()} of 168 hours have: those of "
    )
    over = (days >= int(level[1])).sum()
    assert cause.endswith(f"or more on {over} of 7 days (reference: on 0 of 370)")
    assert (report.page_count, report.violation_count) == (0, 1)


def test_an_outage_of_days_is_not_told_as_rows_lost_here_and_there(
    rng: np.random.Generator, baseline: Baseline
) -> None:
    window = weather(rng, 7, 380)

    assert not causes(check(window.drop(index=range(30, 100)), baseline))


def test_hours_that_lack_rows_by_nature_are_not_missed(rng: np.random.Generator) -> None:
    def shop(days: int, first: int = 0) -> pd.DataFrame:
        rows = weather(rng, days, first)
        is_night = rows["at"].dt.hour.between(1, 4)
        kept: pd.DataFrame = rows[~(is_night & (rng.random(len(rows)) < 0.2))]
        return kept

    baseline = Baseline.fit(shop(90), timestamp="at")
    week = weather(rng, 7, 95)

    nights = week["at"].dt.hour.between(1, 4) & (rng.random(len(week)) < 0.6)
    assert not causes(check(week[~nights], baseline))
    anywhere = rng.random(len(week)) < 0.15
    assert causes(check(week[~anywhere], baseline)).keys() == {"lost_hour_check"}


def judged(rows: pd.DataFrame, baseline: Baseline, window: Window) -> Report:
    batch = pa.RecordBatch.from_pandas(rows.rename(columns={"at": "event_time"}))
    budget = Budget(windows_per_year=52)
    given = Rows(lambda: iter([batch]), facts=WindowFacts(window))
    return evaluate(CheckContext(baseline, given, budget=budget))


def test_hours_beyond_the_window_are_not_missed(
    rng: np.random.Generator, baseline: Baseline
) -> None:
    start = datetime(2026, 1, 20, 12, tzinfo=UTC)
    rows = weather(rng, 8, 384)
    inside = rows[(rows["at"] >= start) & (rows["at"] < start + timedelta(days=4))]

    assert not causes(judged(inside, baseline, Window(start, start + timedelta(days=4))))
    # That the feed ended at eight each evening is.
    early = inside[inside["at"].dt.hour < 20]
    found = causes(judged(early, baseline, Window(start, start + timedelta(days=4))))
    assert found["lost_hour_check"].startswith("no rows from 20:00 to 24:00 UTC on any of 3 days")


def sessions(rng: np.random.Generator, days: int, a_day: float) -> pd.DataFrame:
    """Visits of twelve rows at any time of the day."""
    visits = rng.poisson(a_day * days)
    at = np.sort(rng.uniform(0, days * 86_400, visits))
    times = np.repeat(at, 12) + np.tile(np.arange(12.0), visits)
    return pd.DataFrame(
        {"x": rng.normal(size=times.size), "at": START + pd.to_timedelta(times, unit="s")}
    )


def test_a_stream_that_shrank_leaves_hours_empty_everywhere(rng: np.random.Generator) -> None:
    baseline = Baseline.fit(sessions(rng, 60, 200.0), timestamp="at")

    found = [causes(check(sessions(rng, 7, 14.0), baseline)) for _ in range(20)]

    assert not any(found)


def test_in_a_short_reference_opening_hours_may_move_with_the_clocks(
    rng: np.random.Generator,
) -> None:
    rows = weather(rng, 90)
    opened = rows[rows["at"].dt.hour.between(6, 20)]
    baseline = Baseline.fit(opened, timestamp="at")
    week = weather(rng, 7, 95)

    assert not causes(check(week[week["at"].dt.hour.between(5, 19)], baseline))
    inner = week[week["at"].dt.hour.between(6, 20) & (week["at"].dt.hour != 12)]
    assert causes(check(inner, baseline)).keys() == {"lost_hour_check"}


def test_a_reference_of_less_than_four_weeks_does_not_tell_which_hours_have_rows(
    rng: np.random.Generator,
) -> None:
    baseline = Baseline.fit(weather(rng, 26), timestamp="at")
    week = weather(rng, 7, 30)

    assert not causes(check(week[week["at"].dt.hour != 7], baseline))


def test_parts_of_a_window_count_as_one(rng: np.random.Generator, baseline: Baseline) -> None:
    week = weather(rng, 7, 380)
    week = week[week["at"].dt.hour != 7]
    batches = [pa.RecordBatch.from_pandas(week[at : at + 13]) for at in range(0, len(week), 13)]

    assert causes(check(pa.Table.from_batches(batches), baseline)) == causes(check(week, baseline))
