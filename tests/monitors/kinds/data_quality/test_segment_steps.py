"""Steps of one segment alone, as of a sensor that is replaced."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

import driftline as dl
from driftline.monitors.check import check
from driftline.monitors.kinds.data_quality.segment_steps import OF_THREE, SegmentGaps
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 380


def devices(days: int) -> pd.DataFrame:
    """Four devices in one weather, each with an offset, a season and a memory of its own."""
    rng = np.random.default_rng(3)
    hours = np.arange(24 * days)
    year, day = hours / 8766 * 2 * np.pi, hours / 24 * 2 * np.pi

    def slow(memory: float) -> np.ndarray:
        drawn = rng.normal(size=hours.size + 500)
        return lfilter([np.sqrt(1 - memory**2)], [1, -memory], drawn)[500:]

    weather = 10 + 8 * np.sin(year) + 4 * np.sin(day) + 4 * slow(0.98)
    parts = []
    for name in ("north", "south", "east", "west"):
        own = rng.normal() + 0.5 * np.sin(year + rng.uniform(0, 6)) + 0.5 * slow(0.97)
        noise = 0.5 * rng.normal(size=hours.size)
        parts.append(
            pd.DataFrame(
                {
                    "temp": np.round(weather + own + noise, 1),
                    "load": np.round(np.exp(0.5 * slow(0.9)), 2),
                    "device": name,
                    "at": START + pd.to_timedelta(hours, unit="h"),
                }
            )
        )
    return pd.concat(parts).sort_values("at", ignore_index=True)


ROWS = devices(DAYS + 28)
SINCE = START + timedelta(days=DAYS)


@pytest.fixture(scope="module")
def baseline() -> dl.Baseline:
    return dl.Baseline.fit(ROWS[ROWS["at"] < SINCE], timestamp="at", segments=["device"])


def week(place: int, days: int = 7) -> pd.DataFrame:
    return span(7 * place, days)


def span(day: int, days: int) -> pd.DataFrame:
    first = SINCE + timedelta(days=day)
    rows: pd.DataFrame = ROWS[(ROWS["at"] >= first) & (ROWS["at"] < first + timedelta(days=days))]
    return rows


def stepped(rows: pd.DataFrame, by: float) -> pd.DataFrame:
    return rows.assign(temp=rows["temp"] + by * (rows["device"] == "east"))


def steps(report: Report) -> list[Violation]:
    return [one for one in report.violations if one.constraint_check_type == "segment_step_check"]


def test_a_device_that_steps_is_told_and_named(baseline: dl.Baseline) -> None:
    (found,) = steps(check(stepped(week(0), -4.0), baseline))

    assert (found.feature_name, found.within) == ("temp", 'device = "east"')
    assert found.severity == "ticket"
    assert found.cause.startswith(
        'where device = "east": values lie lower than those of the others of the same hours '
        "lead to expect, by 0."
    )


def test_a_monitor_tells_it_of_a_baseline_from_its_folder(
    baseline: dl.Baseline, tmp_path: object
) -> None:
    baseline.save(f"{tmp_path}/baseline")
    monitor = dl.Monitor(dl.Baseline.load(f"{tmp_path}/baseline"), period=timedelta(days=7))

    found = [
        [one.within for one in steps(monitor.check(rows, time=rows["at"].iloc[0]))]
        for rows in (week(0), stepped(week(1), 4.0))
    ]

    assert found == [[], ['device = "east"']]


def test_daily_windows_are_judged_together(baseline: dl.Baseline) -> None:
    """Eight days are; wherever the step begins, sixteen hold such eight."""

    def told(by: float) -> list[Violation]:
        monitor = dl.Monitor(baseline, period=timedelta(days=1))
        found: list[Violation] = []
        for day in range(16):
            rows = stepped(span(day, 1), by)
            found += steps(monitor.check(rows, time=rows["at"].iloc[0]))
        return found

    stepped_days = told(-4.0)

    assert {(one.feature_name, one.within) for one in stepped_days} == {("temp", 'device = "east"')}
    assert told(0.0) == []


def test_the_rows_behind_a_step_are_all_of_the_segment(baseline: dl.Baseline) -> None:
    rows = stepped(week(0), -4.0)
    report = check(rows, baseline)

    (found,) = steps(report)

    own = rows[rows["device"] == "east"]
    assert found.row_count == len(own)
    assert report.rows(found, limit=1000)["at"].to_list() == own["at"].to_list()


def test_nothing_is_told_of_weeks_as_they_are_or_of_a_heat_wave_of_all(
    baseline: dl.Baseline,
) -> None:
    weeks = [week(place) for place in range(4)]

    told = [steps(check(rows, baseline)) for rows in weeks]
    warm = [steps(check(rows.assign(temp=rows["temp"] + 8), baseline)) for rows in weeks]

    assert (told, warm) == ([[]] * 4, [[]] * 4)


def test_short_windows_and_short_references_are_not_judged(baseline: dl.Baseline) -> None:
    short = dl.Baseline.fit(
        ROWS[(ROWS["at"] >= SINCE - timedelta(days=300)) & (ROWS["at"] < SINCE)],
        timestamp="at",
        segments=["device"],
    )

    assert steps(check(stepped(week(0, days=3), 4.0), baseline)) == []
    assert steps(check(stepped(week(0), 4.0), short)) == []


def test_rows_of_one_segment_an_hour_have_no_gap(baseline: dl.Baseline) -> None:
    rows = week(0)
    alone = rows[rows["at"].dt.hour % 4 == rows.groupby("at").cumcount()]

    assert alone["at"].is_unique
    assert steps(check(stepped(alone, 4.0), baseline)) == []


def sites(count: int) -> tuple[dl.Baseline, pd.DataFrame]:
    """Sites of one weather with noise of their own; a year's baseline, and eight days after it."""
    rng = np.random.default_rng(3)
    hours = np.arange(24 * (DAYS - 2))
    common = 10 * np.sin(hours / 8766 * 2 * np.pi) + 3 * np.repeat(rng.normal(size=DAYS - 2), 24)
    at = START - timedelta(days=5) + pd.to_timedelta(hours, unit="h")  # In step with eight days.
    rows = pd.concat(
        pd.DataFrame({"at": at, "site": name, "x": np.round(common + noise + offset, 3)})
        for offset, name in enumerate("ABCDE"[:count])
        for noise in [0.5 * rng.normal(size=hours.size)]
    ).sort_values("at", ignore_index=True)
    until = at[0] + timedelta(days=DAYS - 10)
    known = dl.Baseline.fit(rows[rows["at"] < until], timestamp="at", segments=["site"])
    return known, rows[rows["at"] >= until]


@pytest.mark.parametrize("count", [3, 5])
def test_a_segment_that_steps_is_told_alone_and_two_are_both(count: int) -> None:
    known, rows = sites(count)
    own, both = {"B": 1.0}, {"B": 1.0, "C": -0.7}
    both |= {"C": 0.7} if count == 5 else {}  # Of three, two that rise are one that falls.

    for by, moved in [(2, own), (4, own), (8, own), (4, both)]:
        broken = rows.assign(x=rows["x"] + by * rows["site"].map(moved).fillna(0.0))
        week = broken[broken["at"] < rows["at"].min() + timedelta(days=7)]
        found = steps(check(week, known))
        names = {f'site = "{name}"' for name in moved}
        assert {one.within for one in found} == names
        doubt = OF_THREE if count == 3 else ""
        assert all(one.cause.endswith(f", over 7 days{doubt}") for one in found)
        if by in (2, 8):
            continue
        monitor, told = dl.Monitor(known, period=timedelta(days=1)), []
        for day, part in broken.groupby(broken["at"].dt.floor("D")):
            told += steps(monitor.check(part, time=day))
        assert {one.within for one in told} == names
        last = f", over 8 days{doubt}; rows are of the last window alone"
        assert all(one.cause.endswith(last) for one in told)
        # What is counted is what the cause says: the rows of the day that ended the span.
        assert {one.row_count for one in told} == {24}


def test_windows_too_short_to_be_judged_keep_no_gaps(baseline: dl.Baseline) -> None:
    rows = span(0, 1)
    hour = rows[rows["at"] < rows["at"].min() + timedelta(hours=1)]
    kept = [
        dl.Monitor(baseline, period=period).check(part, time=SINCE).counts
        for period, part in [(timedelta(hours=1), hour), (timedelta(days=1), rows)]
    ]

    assert [list(one.gaps) for one in kept if one is not None] == [[], ["device"]]


def test_what_is_kept_of_a_baseline_does_not_hold_its_segments() -> None:
    """They may be gigabytes, and the baselines in memory are bounded elsewhere."""
    rows = ROWS[ROWS["at"] < SINCE]
    reference = dl.Baseline.fit(rows, timestamp="at", segments=["device"]).segments
    assert reference is not None
    gaps = SegmentGaps.of(reference, reference.columns[0], ("temp", "load"))
    held = weakref.ref(reference.blocks["device"].counts["temp"])

    del reference

    gc.collect()
    assert gaps.live_count > 0
    assert held() is None
