"""Codes that take each other's rows are told, though each has as many as before.

What was exchanged is known by construction; where codes keep no company, nobody can tell.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.monitor import Monitor
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation


def flights(seed: int, rows: int, *, alike: bool = False) -> pd.DataFrame:
    """Flights of three airlines of equal size, each of which flies to places of its own."""
    rng = np.random.default_rng(seed)
    airline = rng.choice(["AA", "BB", "CC"], rows)
    home = {"AA": 0.0, "BB": 0.0 if alike else 500.0, "CC": 0.0 if alike else 1500.0}
    place = rng.choice(["north", "south", "west"], rows)
    base = pd.Series(airline).map(home).to_numpy()
    return pd.DataFrame(
        {
            "airline": airline,
            "place": np.where(airline == "AA", "north", "south") if not alike else place,
            "distance": np.round(base + rng.gamma(5, 100, rows)),
            "wind": np.round(rng.gamma(3, 4, rows), 1),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(flights(1, 20_000))


def exchanged(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(airline=rows["airline"].replace({"AA": "CC", "CC": "AA"}))


def told(report: Report) -> list[Violation]:
    return [one for one in report.violations if one.constraint_check_type == "codes_check"]


@pytest.mark.parametrize("rows", [300, 3_000])
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_codes_of_equal_shares_that_are_exchanged_are_told(
    reference: Baseline, seed: int, rows: int
) -> None:
    window = exchanged(flights(seed, rows))

    (found,) = told(check(window, reference))

    assert found.feature_name == "airline"
    assert found.severity == "page"
    assert found.fault is not None
    assert found.fault.kind == "codes_exchanged"
    assert '"AA" as "CC"' in found.cause
    assert '"CC" as "AA"' in found.cause
    assert found.row_count == int(window["airline"].isin(["AA", "CC"]).sum())


@pytest.mark.parametrize("rows", [40, 300, 3_000])
@pytest.mark.parametrize("seed", range(5, 7))
def test_nothing_is_told_of_codes_as_they_were(reference: Baseline, seed: int, rows: int) -> None:
    assert told(check(flights(seed, rows), reference)) == []


@pytest.mark.parametrize("seed", [2, 3])
def test_nothing_is_told_where_codes_keep_no_company(seed: int) -> None:
    reference = Baseline.fit(flights(1, 20_000, alike=True))

    assert told(check(exchanged(flights(seed, 3_000, alike=True)), reference)) == []


@cache
def sensors() -> Baseline:
    return Baseline.fit(weather([8, 11, 14, 17, 20], 30 * 24, 2.0, seed=1), timestamp="ts")


@pytest.mark.first(2)
@pytest.mark.parametrize(("hours", "spread", "found"), [(1, 0.0, 0), (24, 2.0, 1)])
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_an_hour_of_sensors_is_one_event_and_a_day_of_them_is_many(
    hours: int, spread: float, found: int, seed: int
) -> None:
    """In an hour of its weather a place may be as warm as the next one is, not for a day."""
    rows = weather([11, 8, 14, 20, 17], hours, spread, seed=seed)
    monitor = Monitor(sensors(), period=timedelta(hours=hours))
    report = monitor.check(pa.Table.from_pandas(rows), time=datetime(2025, 1, 1, tzinfo=UTC))

    assert len(told(report)) == found


def weather(levels: list[float], hours: int, spread: float, *, seed: int) -> pd.DataFrame:
    """Temperatures of places that go their own ways each hour, read each minute."""
    rng = np.random.default_rng(seed)
    minutes = np.repeat(rng.normal(levels, spread, (hours, len(levels))), 60, axis=0)
    start = pd.Timestamp("2025-01-01", tz="UTC")
    at = np.repeat(start + pd.to_timedelta(np.arange(60 * hours), unit="min"), len(levels))
    sensor = [f"s{place}" for place in range(len(levels))] * (60 * hours)
    warm = rng.normal(minutes, 0.5).ravel().round(2)
    return pd.DataFrame({"ts": at, "sensor": sensor, "warm": warm})
