"""Faults of rows that derived columns show: each is told once, with its rows and its segment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.kinds.conditions import read_condition

START = datetime(2026, 1, 5, tzinfo=UTC)
Change = Callable[[pd.DataFrame], pd.DataFrame]


def readings(seed: int, days: int) -> pd.DataFrame:
    """Readings of three stations, some minutes apart, with a memory of 33 hours."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    noise = rng.normal(size=hours.size)
    for at in range(1, hours.size):
        noise[at] = 0.97 * noise[at - 1] + 0.243 * noise[at]
    station = np.tile(["north", "south", "west"], hours.size)
    hours, noise = np.repeat(hours, 3), np.repeat(noise, 3)
    temp = 15 + 4 * np.sin(hours / 24 * 2 * np.pi) + 5 * noise + rng.normal(size=hours.size)
    return pd.DataFrame(
        {
            "station": station,
            "temp": np.round(temp, 1),
            "wind": np.round(rng.gamma(2, 3, hours.size), 1),
            "level": np.round(rng.normal(50, 10, hours.size), 3),
            "id": [f"{seed}-{at}" for at in range(hours.size)],
            "at": START + pd.to_timedelta(hours * 60 + np.tile([0, 7, 9], len(hours) // 3), "min"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> dl.Baseline:
    return dl.Baseline.fit(readings(1, 70), timestamp="at", id="id")


@pytest.fixture(scope="module")
def week() -> pd.DataFrame:
    return readings(2, 7)


def copied(rows: pd.DataFrame) -> pd.DataFrame:
    """The fourth day comes with the temperatures of the third."""
    rows.loc[3 * 72 : 4 * 72 - 1, "temp"] = rows.loc[2 * 72 : 3 * 72 - 1, "temp"].to_numpy()
    return rows


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, rows[100:120]], ignore_index=True).assign(id=lambda x: x.index)


def frozen(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(wind=rows["wind"].mask(rows["station"] == "south", 4.2))


def of(column: str, function: Callable[[pd.Series], pd.Series]) -> Change:
    return lambda rows: rows.assign(**{column: function(rows[column])})


# ruff: noqa: E501 - one line a fault
# What happened, then the check, its column, how its cause begins, and how many rows are marked.
FAULTS: dict[str, tuple[Change, tuple[str, str, str, int]]] = {
    "a day served again": (copied, ("copied_day_check", "temp", "16.7% of rows with the values of the hour a day before (reference", 72)),
    "rows joined twice": (doubled, ("repeated_rows_check", "Repeated rows", "3.8% of rows equal to an earlier one (reference 0%)", 20)),
    "ids used again": (of("id", lambda x: x.mask(x.index < 60, x.shift(-100))), ("repeated_id_check", "id", "11.9% of rows with the id of an earlier one (reference 0%)", 60)),
    "frozen at one station": (frozen, ("repeated_value_check", "wind", "33.3% of rows equal to the row before (reference 0.8%)", 168)),
    "rounded": (of("temp", lambda x: x.round()), ("decimals_check", "temp", "100% of rows with no decimals (reference 8.8%)", 504)),
    "scaled": (of("level", lambda x: (x * 1.01).round(5)), ("decimals_check", "level", "99% of rows with 4 decimals or more (reference 0%)", 499)),
    "saturated": (of("wind", lambda x: x.clip(upper=6)), ("saturation_check", "wind", "38.7% of rows that repeat the largest value of their day (reference 0.1%)", 195)),
}  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_rows_is_told_with_its_rows(
    baseline: dl.Baseline, week: pd.DataFrame, change: Change, expected: tuple[str, str, str, int]
) -> None:
    check, column, cause, rows = expected
    broken = change(week.copy())

    report = dl.check(broken, baseline)

    (found,) = (one for one in report.violations if one.constraint_check_type == check)
    assert (found.feature_name, found.severity, found.row_count) == (column, "ticket", rows)
    assert found.cause.startswith(cause)
    assert len(report.rows(found, limit=None)) == rows
    assert found.predicate is not None
    assert read_condition(found.predicate.to_dict()) == found.predicate


def test_which_of_few_values_come_is_no_change_of_precision() -> None:
    """Temperatures in steps of 0.02, a fifth of which have one decimal."""
    rng = np.random.default_rng(4)
    usual = pd.DataFrame({"temp": rng.integers(1, 50, 5_000) / 50})
    cold = pd.DataFrame({"temp": rng.choice([0.1, 0.2, 0.3, 0.42], 500)})

    checks = [
        one.constraint_check_type for one in dl.check(cold, dl.Baseline.fit(usual)).violations
    ]

    assert checks == ["baseline_drift_check"]


def test_another_unit_in_some_rows_is_told_with_all_of_them() -> None:
    """Miles that come as kilometres have one decimal to six: all are of the other unit."""
    rng = np.random.default_rng(2)
    base = dl.Baseline.fit(pd.DataFrame({"miles": rng.gamma(4, 250, 20_000).round()}))
    miles = rng.gamma(4, 250, 180).round()
    miles[rng.choice(180, 31, replace=False)] *= 1.609344

    (found,) = dl.check(pd.DataFrame({"miles": miles}), base).violations

    assert (found.constraint_check_type, found.row_count) == ("decimals_check", 31)
    assert found.cause.startswith("17.2% of rows with 1 decimal or more (reference 0%), 17.2% of")


def test_a_usual_week_has_no_fault(baseline: dl.Baseline, week: pd.DataFrame) -> None:
    assert dl.check(week, baseline).passed


def test_what_is_frozen_at_one_station_is_told_with_the_station(
    baseline: dl.Baseline, week: pd.DataFrame
) -> None:
    report = dl.check(frozen(week.copy()), baseline)

    found = next(one for one in report.violations if one.feature_name == "wind" and one.segment)
    assert str(found.segment).startswith('all of the increase where station = "south"')


def test_the_finding_with_most_evidence_speaks_for_a_column(
    baseline: dl.Baseline, week: pd.DataFrame
) -> None:
    """A sensor at zero has no decimals, the values of the day before, and the day's smallest."""
    report = dl.check(week.assign(temp=0.0), baseline)

    told = {one.constraint_check_type for one in report.violations if one.feature_name == "temp"}
    assert told <= {"baseline_drift_check", "constant_check"}


def test_a_slow_fault_is_found_in_windows_judged_together(baseline: dl.Baseline) -> None:
    """Three rows of a hundred come twice, in daily windows of 72."""
    monitor = dl.Monitor(baseline)
    rows, rng = readings(4, 16), np.random.default_rng(1)
    found = []
    for day in range(16):
        window = rows[day * 72 : (day + 1) * 72]
        window = pd.concat([window, window[rng.random(72) < 0.03]]).sort_values("at")
        report = monitor.check(window.assign(id=range(len(window))), time=START + timedelta(day))
        found += [day for one in report.violations if one.feature_name == "Repeated rows"]

    assert found
    assert found[0] < 8


def test_neighbours_are_not_judged_where_a_table_has_no_times() -> None:
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {"x": rng.normal(size=(4_000)).round(2), "y": rng.integers(0, 1000, 4_000)}
    )
    baseline = dl.Baseline.fit(table[:3_000])

    report = dl.check(table[3_000:].sort_values("x"), baseline)

    assert report.passed
