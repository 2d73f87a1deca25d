"""Sensors that saturate, and values that lie at an edge by nature."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation
from driftline.monitors.rows import EVENT_TIME, Rows, WindowFacts

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEKS = 16


def weather(seed: int, weeks: int) -> pd.DataFrame:
    """Hourly values with a memory of 33 hours; humidity often is 100, rain mostly 0."""
    rng = np.random.default_rng(seed)
    hours = np.arange(weeks * 168)
    noise = rng.normal(size=(hours.size, 2))
    for at in range(1, hours.size):
        noise[at] = 0.97 * noise[at - 1] + 0.243 * noise[at]
    daily = 4 * np.sin(hours / 24 * 2 * np.pi)
    return pd.DataFrame(
        {
            "temp": np.round(15 + daily + 5 * noise[:, 0], 1),
            "humidity": np.round(70 - 3 * daily + 20 * noise[:, 1]).clip(0, 100),
            "rain": np.where(noise[:, 1] > 1, np.round(noise[:, 1], 2), 0.0),
            "at": START + pd.to_timedelta(hours, unit="h"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(weather(1, WEEKS), timestamp="at")


def weeks_of(rows: pd.DataFrame) -> list[pd.DataFrame]:
    return [week for _, week in rows.groupby((rows["at"] - START) // pd.Timedelta(weeks=1))]


def told(report: Report) -> list[Violation]:
    return [one for one in report.violations if one.constraint_check_type == "saturation_check"]


def test_nothing_is_told_of_values_that_lie_at_an_edge_by_nature(baseline: Baseline) -> None:
    assert [told(check(week, baseline)) for week in weeks_of(weather(2, 12))] == [[]] * 12


@pytest.mark.parametrize(("edge", "sign"), [("largest", 1), ("smallest", -1)])
def test_a_sensor_that_saturates_is_told_with_its_rows(
    baseline: Baseline, edge: str, sign: int
) -> None:
    week = weather(3, 1)
    order = np.sort(sign * week["temp"])
    limit = order[int(0.75 * len(order))]
    week["temp"] = sign * np.minimum(sign * week["temp"], limit)

    (found,) = told(check(week, baseline))

    count = int((week["temp"] == sign * limit).sum())
    assert (found.feature_name, found.severity, found.row_count) == ("temp", "ticket", count)
    assert f"of numbers at {sign * limit:g} exactly, the {edge} (reference: at most" in found.cause
    assert found.segment is None


def test_coarse_numbers_that_thin_out_to_their_edge_are_held_against_their_usual_counts() -> None:
    """Wind in whole knots: at its limit come as many rows as a step below it, where few were."""

    def with_wind(rows: pd.DataFrame) -> pd.DataFrame:
        ranks = np.random.default_rng(len(rows)).permutation(len(rows)) + 0.5
        return rows.assign(wind=stats.poisson.ppf(ranks / len(rows), 11))

    reference = Baseline.fit(with_wind(weather(6, 26)), timestamp="at")
    week = with_wind(weather(7, 1))
    capped = week.assign(wind=week["wind"].clip(upper=15.0))
    shares = capped["wind"].value_counts(normalize=True)
    assert shares[12] < shares[15] < 1.5 * shares[12]

    assert told(check(week, reference)) == []
    assert [one.feature_name for one in told(check(capped, reference))] == ["wind"]


def test_one_day_at_the_edge_is_weather(baseline: Baseline) -> None:
    week = weather(4, 1)
    week.loc[48:71, "temp"] = week["temp"].max()

    assert told(check(week, baseline)) == []


def test_what_stands_still_or_is_shorter_than_a_week_is_not_asked_for(baseline: Baseline) -> None:
    week = weather(5, 1)
    capped = week.assign(temp=week["temp"].clip(upper=week["temp"].quantile(0.5)))

    assert told(check(week.assign(temp=15.0), baseline)) == []
    assert told(check(capped[:120], baseline)) == []


@pytest.mark.parametrize(("weeks", "count"), [(16, 0), (52, 1)])
def test_a_season_that_the_reference_has_not_seen_saturates_nothing(weeks: int, count: int) -> None:
    """Heating is 0 where it is warm: hardly ever in the reference, on most hours of a summer."""
    reference = weather(6, weeks)
    reference = reference.assign(heat=(30 - reference["temp"]).clip(lower=0))
    assert 0 < (reference["heat"] == 0).mean() < 0.1
    summer = weather(7, 1)
    summer = summer.assign(heat=(12 - summer["temp"]).clip(lower=0))

    report = check(summer, Baseline.fit(reference, timestamp="at"))

    assert [one.feature_name for one in told(report)] == ["heat"] * count


def test_flags_and_ratings_do_not_saturate() -> None:
    def rows(weeks: int, share: float) -> pd.DataFrame:
        rng = np.random.default_rng(8)
        found = weather(9, weeks)
        size = len(found)
        stars = np.where(rng.random(size) < share, 5, rng.integers(1, 5, size))
        return found.assign(flag=(rng.random(size) < share).astype(int), stars=stars)

    assert told(check(rows(1, 0.6), Baseline.fit(rows(52, 0.1), timestamp="at"))) == []


def test_a_week_without_a_sunday_is_a_week() -> None:
    """Of a window whose length is known; of a file nobody knows it."""
    reference = weather(1, WEEKS)
    open_days = reference["at"].dt.day_of_week < 6
    baseline = Baseline.fit(reference[open_days], timestamp="at")
    week = weather(3, 1)
    week = week[week["at"].dt.day_of_week < 6]
    week = week.assign(temp=week["temp"].clip(upper=week["temp"].quantile(0.75)))
    table = pa.Table.from_pandas(week.rename(columns={"at": EVENT_TIME}), preserve_index=False)
    window = Window(START, START + timedelta(weeks=1))

    facts = WindowFacts(window)
    report = evaluate(CheckContext(baseline, Rows(lambda: iter(table.to_batches()), facts=facts)))

    assert [one.feature_name for one in told(report)] == ["temp"]
