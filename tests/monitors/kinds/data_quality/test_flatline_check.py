"""Columns that are gone or stand still, as the reference never was over as many rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.app.commands.junit import junit
from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.baseline.value_runs import TimeOrder
from driftline.capture.windows.window import Window
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.kinds.data_quality.flatline_check import shortened_runs
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts

HOURLY = 20
Made = Callable[[int], pd.DataFrame]


@pytest.fixture
def made(rng: np.random.Generator) -> Made:
    """Rows of so many hours: a reading that all rows of an hour share, and moves slowly."""

    def draw(hours: int) -> pd.DataFrame:
        steps = rng.normal(scale=0.3, size=hours)
        for at in range(1, hours):
            steps[at] += 0.97 * steps[at - 1]
        hour = np.repeat(np.arange(hours), HOURLY)
        return pd.DataFrame(
            {
                "temp": np.round(50 + 10 * steps[hour], 1),
                "wind": np.round(rng.gamma(4, 3, hour.size), 1),
                "at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(hour, unit="h"),
            }
        )

    return draw


@pytest.fixture
def baseline(made: Made) -> Baseline:
    """Forty days; of one of them most readings of the wind are lost."""
    rows = made(40 * 24)
    rows.loc[rows["at"].dt.floor("D") == pd.Timestamp("2026-01-20", tz="UTC"), "wind"] = np.nan
    return Baseline.fit(rows, timestamp="at")


def told(report: Report) -> set[tuple[str, str, str]]:
    return {
        (one.feature_name, one.constraint_check_type, one.severity) for one in report.violations
    }


def test_a_column_that_is_gone_for_longer_than_ever_pages_though_it_once_was_for_a_day(
    made: Made, baseline: Baseline
) -> None:
    report = check(made(96).assign(wind=np.nan), baseline)

    assert ("wind", "completeness_check", "page") in told(report)


def test_a_second_bad_day_like_the_one_of_the_reference_does_not(
    made: Made, baseline: Baseline
) -> None:
    assert ("wind", "completeness_check", "page") not in told(
        check(made(24).assign(wind=np.nan), baseline)
    )


def test_a_column_that_stands_still_pages_and_says_at_what(made: Made, baseline: Baseline) -> None:
    report = check(made(96).assign(temp=50.0), baseline)

    found = next(one for one in report.violations if one.feature_name == "temp")
    assert (found.constraint_check_type, found.severity) == ("constant_check", "page")
    assert found.cause == "96 times in a row 50 (reference at most 2)"
    assert found.row_count == 96 * HOURLY


def test_a_reading_that_all_rows_of_an_hour_share_does_not_stand_still(
    made: Made, baseline: Baseline
) -> None:
    assert "constant_check" not in {one for _, one, _ in told(check(made(1), baseline))}


def test_batches_of_equal_values_do_not_stand_still(rng: np.random.Generator) -> None:
    days = np.repeat(np.arange(40), 24 * HOURLY)
    rows = pd.DataFrame(
        {
            "batch": rng.normal(size=41)[days],
            "at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(days, unit="D"),
        }
    )

    report = check(rows[:480].assign(batch=0.123), Baseline.fit(rows, timestamp="at"))

    assert "constant_check" not in {one for _, one, _ in told(report)}


def test_without_times_the_drift_says_in_words_that_a_column_has_become_constant(
    made: Made,
) -> None:
    report = check(made(50).assign(wind=11.0), Baseline.fit(made(500).drop(columns="at")))

    assert told(report) >= {("wind", "baseline_drift_check", "ticket")}
    found = next(one for one in report.violations if one.feature_name == "wind")
    assert found.cause.startswith("always 11: ")


def hourly(rng: np.random.Generator, days: int) -> pd.DataFrame:
    """One reading an hour: a slow one, one that is mostly 0, a flag, and the month."""
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(24 * days), unit="h")
    slow = np.cumsum(rng.normal(scale=3, size=at.size))
    return pd.DataFrame(
        {
            "slow": np.round(slow),
            "rain": np.where(rng.random(at.size) < 0.7, 0.0, rng.gamma(2, size=at.size)),
            "mode": (np.arange(at.size) // 5) % 4,
            "month": at.month,
            "at": at,
        }
    )


def stands_still(report: Report) -> dict[str, str]:
    return {
        one.feature_name: one.cause.partition(",")[0]
        for one in report.violations
        if one.constraint_check_type == "constant_check"
    }


@pytest.mark.parametrize("rows", [19, 20])
def test_a_dead_sensor_is_found_from_twenty_readings_on_where_drift_cannot_be_judged(
    rng: np.random.Generator, rows: int
) -> None:
    baseline = Baseline.fit(hourly(rng, 60), timestamp="at")
    window = hourly(rng, 1)
    window.loc[:rows, "slow"] = [-200.0] * rows + [3.0]

    report = check(window, baseline)

    expected = {"slow": "20 times in a row -200 (reference at most 4)"} if rows == 20 else {}
    assert stands_still(report) == expected
    assert report.page_count == len(expected)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("rain", 0.0, "it holds more than half of the reference"),
        ("month", 4, "the column changes in steps"),
    ],
)
def test_what_usually_stands_still_is_not_judged(
    rng: np.random.Generator, column: str, value: float, why: str
) -> None:
    baseline = Baseline.fit(hourly(rng, 90), timestamp="at")

    assert column not in stands_still(check(hourly(rng, 30).assign(**{column: value}), baseline)), (
        why
    )


def test_a_frequent_value_is_compared_with_its_own_longest_run(rng: np.random.Generator) -> None:
    rows = hourly(rng, 60)
    rows.loc[100:109, "mode"] = 2
    baseline = Baseline.fit(rows, timestamp="at")

    window = hourly(rng, 2)
    window.loc[3:31, "mode"] = 3
    assert stands_still(check(window, baseline)) == {
        "mode": "29 times in a row 3 (reference at most 5)"
    }
    assert not stands_still(check(window.replace({"mode": {3: 2}}), baseline))


def test_a_reference_of_less_than_four_weeks_or_without_times_does_not_tell_how_long_values_stay(
    rng: np.random.Generator,
) -> None:
    rows, window = hourly(rng, 26), hourly(rng, 3).assign(slow=-200.0)

    for baseline in (
        Baseline.fit(rows, timestamp="at"),
        Baseline.fit(hourly(rng, 60).drop(columns="at")),
    ):
        assert not stands_still(check(window, baseline))


def test_a_run_is_followed_over_the_edges_of_windows(rng: np.random.Generator) -> None:
    baseline = Baseline.fit(hourly(rng, 60), timestamp="at")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = hourly(rng, 2).assign(slow=[3.0] * 10 + [-200.0] * 38)
    rows.loc[24:27, "slow"] = np.nan
    past: list[WindowCounts] = []
    found = []
    for first in range(0, 48, 6):
        window = Window(start + timedelta(hours=first), start + timedelta(hours=first + 6))
        part = pa.RecordBatch.from_pandas(
            rows[first : first + 6].rename(columns={"at": "event_time"})
        )
        judged = Rows(lambda part=part: iter([part]), facts=WindowFacts(window))
        report = evaluate(CheckContext(baseline, judged, past=PastWindows(tuple(past))))
        assert report.counts is not None
        past.append(report.counts)
        found.append(stands_still(report).get("slow", "").partition(" ")[0])

    # Two readings of the second window, and all that follow but the four that are missing.
    assert found == ["", "", "", "", "", "22", "28", "34"]


def test_more_traffic_draws_runs_out(rng: np.random.Generator) -> None:
    baseline = Baseline.fit(hourly(rng, 60), timestamp="at")
    often = hourly(rng, 2).loc[lambda one: one.index.repeat(40)]
    often["at"] += pd.to_timedelta(np.tile(np.arange(40), 48), unit="min")

    assert not stands_still(check(often, baseline))


def visits(rng: np.random.Generator, days: int, *, stay: int = 0) -> pd.DataFrame:
    """The ages of visitors, every five minutes; a few stay for five hours, one for so many rows."""
    rows = 288 * days
    lengths = np.where(rng.random(rows) < 0.01, 60, rng.integers(1, 8, rows))
    ages = np.repeat(rng.integers(18, 80, rows), lengths)[:rows].astype(float)
    ages[50 : 50 + stay] = 33.0
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(5 * np.arange(rows), unit="min")
    return pd.DataFrame({"age": ages, "at": at})


@pytest.mark.parametrize("stay", [120, 150])
def test_one_long_visit_is_no_change_of_the_visitors(rng: np.random.Generator, stay: int) -> None:
    baseline = Baseline.fit(visits(rng, 30), timestamp="at")

    assert told(check(visits(rng, 1, stay=stay), baseline)) == set()

    # The same rows, of many visitors.
    window = visits(rng, 1)
    window.loc[rng.choice(288, stay, replace=False), "age"] = 33.0
    assert ("age", "baseline_drift_check", "ticket") in told(check(window, baseline))


def with_batches(
    rng: np.random.Generator, rows: pd.DataFrame, *, share: float = 0.0
) -> pd.DataFrame:
    """The rows, and from 21 o'clock on 300 more each quarter of an hour, some of them 33."""
    late = rows["at"][(rows["at"].dt.hour >= 21) & (rows["at"].dt.minute % 15 == 0)].repeat(300)
    ages = np.where(rng.random(late.size) < share, 33.0, rng.integers(18, 80, late.size))
    return pd.concat([rows, pd.DataFrame({"age": ages, "at": late})]).sort_values("at")


@pytest.mark.parametrize(("share", "drifts"), [(0.0, False), (0.35, True)])
def test_a_long_visit_in_quiet_times_takes_no_rows_from_batches_at_others(
    rng: np.random.Generator, share: float, drifts: bool
) -> None:
    baseline = Baseline.fit(with_batches(rng, visits(rng, 30)), timestamp="at")
    window = with_batches(rng, visits(rng, 1, stay=170), share=share)

    found = told(check(window, baseline))

    assert found == ({("age", "baseline_drift_check", "ticket")} if drifts else set())


def test_a_long_visit_is_no_change_where_every_time_has_several_rows(
    rng: np.random.Generator,
) -> None:
    baseline = Baseline.fit(visits(rng, 30).loc[lambda one: one.index.repeat(5)], timestamp="at")
    window = visits(rng, 1, stay=150).loc[lambda one: one.index.repeat(5)]

    assert told(check(window, baseline)) == set()


def test_a_long_visit_is_no_change_where_the_last_time_holds_several_values(
    rng: np.random.Generator,
) -> None:
    baseline = Baseline.fit(visits(rng, 30), timestamp="at")
    window = visits(rng, 1, stay=150)
    another = window[-1:].assign(age=window["age"].iloc[-1] + 1)

    assert told(check(pd.concat([window, another]), baseline)) == set()


@cache
def visited() -> Baseline:
    return Baseline.fit(visits(np.random.default_rng(7), 30), timestamp="at")


def profiled(baseline: Baseline, rows: pd.DataFrame) -> Profile:
    """Read the rows in two batches, which may part those of one time."""
    profile = Profile.empty(baseline.signature, baseline.cells)
    for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        batch = pa.RecordBatch.from_pandas(part, preserve_index=False)
        profile.update(batch, order=TimeOrder.of(batch.column("at")))
    return profile


@given(
    busy=st.lists(st.integers(1, 300), max_size=20),
    stays=st.lists(
        st.tuples(st.integers(18, 79), st.integers(1, 150), st.integers(1, 3)), max_size=6
    ),
)
def test_of_a_long_visit_only_its_own_rows_are_taken_off(
    busy: list[int], stays: list[tuple[int, int, int]]
) -> None:
    """Whatever rows come beside it: no cell falls below these, and none grows."""
    baseline = visited()
    assert baseline.profile is not None
    crowds = [np.arange(rows) % 62 + 18.0 for rows in busy]
    visitors = [np.full(rows, float(age)) for age, times, rows in stays for _ in range(times)]
    groups = [*crowds, *visitors]
    at = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    times = pd.Timestamp("2026-02-01", tz="UTC") + pd.to_timedelta(5 * at, unit="min")
    rows = pd.DataFrame({"age": np.concatenate([[], *groups]), "at": times})
    found = profiled(baseline, rows)
    counts = WindowCounts.of(found)

    shortened = shortened_runs(
        counts,
        {name: one.runs for name, one in found.columns.items()},
        baseline.profile.columns,
        reference_columns(baseline),
    )

    cells, left = counts.cells["age"], shortened.cells["age"]
    beside = WindowCounts.of(profiled(baseline, rows[at < len(crowds)])).cells["age"]
    assert (beside <= left).all()
    assert (left <= cells).all()
    assert cells.sum() == shortened.row_count == len(rows)


@pytest.mark.parametrize(
    ("first", "stay", "expected"), [(0, 225, set()), (50, 290, {("age", "constant_check", "page")})]
)
def test_where_values_stay_by_themselves_a_standstill_lasts_for_a_day_and_a_window(
    rng: np.random.Generator, first: int, stay: int, expected: set[tuple[str, str, str]]
) -> None:
    baseline = Baseline.fit(visits(rng, 30), timestamp="at")
    report = check(visits(rng, 2, stay=stay).iloc[first : first + 290], baseline)

    assert {one for one in told(report) if one[1] == "constant_check"} == expected


def test_a_column_that_always_stood_still_is_no_news(made: Made) -> None:
    rows = made(40 * 24).assign(temp=50.0)

    assert check(rows[:960], Baseline.fit(rows, timestamp="at")).passed


def test_a_column_that_varies_too_much_to_be_judged_is_told_so_everywhere(
    made: Made, baseline: Baseline
) -> None:
    report = check(made(72).assign(temp=lambda rows: (rows["temp"] / 2).round(1)), baseline)

    assert report.passed
    assert report.decided, "the wind was judged"
    assert report.undecidable == ("temp",)
    told_so = (
        "drift of temp could not be judged (the reference varies too much: 4 days in one check "
        "and 290 more days of reference if it is seasonal); empty values of wind could not be "
        "judged (the reference's share of empty values varies too much: a completeness of its own "
        "in constraints.json would judge them); their types and ranges were checked"
    )
    assert report.unjudged_text == told_so
    assert report.summary.startswith("1,440 rows, no violations in 1 of 2 columns; 1 could not be ")
    line = next(one for one in report.to_dict()["features"] if one["feature"] == "temp")
    assert (line["note"], line["bound"], line["ratio"]) == ("undecidable", None, None)
    assert line["distance"] > 0
    assert report.to_dict()["undecidable"] == ["temp"]
    assert "vary too much to judge" in report.html()
    assert '<skipped message="undecidable: ' in junit([report])


def test_where_all_columns_vary_too_much_nothing_was_judged(made: Made, baseline: Baseline) -> None:
    alone = Baseline.fit(made(40 * 24).drop(columns="wind"), timestamp="at")

    report = check(made(72).drop(columns="wind"), alone)

    assert not report.decided
    assert report.summary.startswith("1,440 rows; nothing could be judged: drift of temp could not")
