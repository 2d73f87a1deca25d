"""Streams in which nothing drifts, for bench/together.py: real tables and made ones.

Real tables whose weeks are exchanged among the years (within a week of their place in the year),
rolled by whole years or turned backwards, so that season and memory stay and drift goes; the folder
given holds air, bike, elec and prsa as Parquet, the time column named ``ts`` (UCI Air Quality, Bike
Sharing and Beijing PM2.5; Harries' electricity). Made streams: memory, season, counts, zeros,
sessions, weather, visits, independent rows. An episode is alarming windows of a stream with at most
8 quiet ones between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import signal

YEAR_DAYS = 365.25
EPISODE_GAP = 8
COLUMNS = 4  # Of a made stream.
# Temperature, dew point and pressure keep one value for 33 to 48 hours, twice in each span.
STANDSTILLS = (
    (pd.Timestamp("2010-11-13 20:00", tz="UTC"), pd.Timestamp("2010-11-17 01:00", tz="UTC")),
    (pd.Timestamp("2012-10-11 23:00", tz="UTC"), pd.Timestamp("2012-10-15 22:00", tz="UTC")),
)
Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows that do not drift, and how they are judged."""

    group: str
    name: str
    rows: Callable[[], pd.DataFrame]
    reference_days: int
    window_days: float


def read(folder: Path, name: str) -> pd.DataFrame:
    table = pd.read_parquet(folder / f"{name}.parquet")
    table = table.assign(ts=pd.to_datetime(table["ts"], utc=True)).sort_values("ts")
    return without_standstills(table) if name == "prsa" else table


def without_standstills(prsa: pd.DataFrame) -> pd.DataFrame:
    """Leave out the days on which Beijing's instruments stand still: they are a fault."""
    still = [prsa["ts"].between(*span) for span in STANDSTILLS]
    return prsa[~np.logical_or.reduce(still)].reset_index(drop=True)


def with_times(table: pd.DataFrame, hours: pd.Series) -> pd.DataFrame:
    start = pd.Timestamp("2010-01-01", tz="UTC")
    found = table.drop(columns="ts").assign(ts=start + pd.to_timedelta(hours.to_numpy(), unit="h"))
    return found.sort_values("ts").reset_index(drop=True)


def exchanged(table: pd.DataFrame, seed: int, *, by_season: bool) -> pd.DataFrame:
    """Return each week with the rows of another: of another year at this season, or of any time."""
    rng = np.random.default_rng(seed)
    hours = (table["ts"] - table["ts"].min().normalize()) / pd.Timedelta(hours=1)
    week = (hours // 168).astype(int).to_numpy()
    count = int(week.max())  # The last is seldom whole.
    source = np.arange(count)
    season = (source + rng.integers(0, 2)) % 52 // 2 if by_season else np.zeros(count, int)
    for one in np.unique(season):
        source[season == one] = rng.permutation(source[season == one])
    target = np.empty(count, int)
    target[source] = np.arange(count)
    whole = table[week < count]
    at = week[week < count]
    return with_times(whole, hours[week < count] + 168 * (target[at] - at))


def rolled(table: pd.DataFrame, years: int) -> pd.DataFrame:
    """Begin so many years later, the first ones at the end; whole years only."""
    hours = (table["ts"] - table["ts"].min().normalize()) / pd.Timedelta(hours=1)
    span = int(hours.max() // (364 * 24)) * 364 * 24
    whole = hours < span
    return with_times(table[whole], (hours[whole] - years * 364 * 24) % span)


def backwards(table: pd.DataFrame) -> pd.DataFrame:
    hours = (table["ts"] - table["ts"].min().normalize()) / pd.Timedelta(hours=1)
    return with_times(table, (hours.max() // 24 + 1) * 24 - 1 - hours)


def real(folder: Path, seeds: int) -> Iterator[Stream]:
    tables = {name: read(folder, name) for name in ("air", "bike", "elec", "prsa")}
    prsa = tables["prsa"]
    for days in (365, 730):
        yield Stream("prsa", f"backwards {days}", partial(backwards, prsa), days, 7)
        for years in (1, 2):
            yield Stream("prsa", f"rolled {years} {days}", partial(rolled, prsa, years), days, 7)
    for name, days in (("air", 42), ("bike", 364), ("elec", 270), ("prsa", 364), ("prsa", 728)):
        for seed in range(seeds):
            rows = partial(exchanged, tables[name], seed, by_season=name != "air")
            yield Stream(name, f"weeks exchanged {days} {seed}", rows, days, 7)
    for seed in range(2):
        rows = partial(exchanged, prsa, 100 + seed, by_season=True)
        yield Stream("prsa", f"weeks exchanged 728 {seed} d", rows, 728, 1)


def slow(memory: float) -> Draw:
    def draw(rng: np.random.Generator, hours: int) -> np.ndarray:
        noise = rng.normal(size=hours) * np.sqrt(1 - memory**2)
        return signal.lfilter([1.0], [1.0, -memory], noise, zi=[memory * rng.normal()])[0]

    return draw


def season(rng: np.random.Generator, hours: int) -> np.ndarray:
    at = np.arange(hours) / 24
    day, week = np.sin(2 * np.pi * at), np.where(at % 7 >= 5, 1.0, 0.0)
    return day + week + 0.5 * slow(0.9)(rng, hours) + 0.5 * rng.normal(size=hours)


def counts(rng: np.random.Generator, hours: int) -> np.ndarray:
    rate = 4 + 3 * np.sin(np.arange(hours) / 24 * 2 * np.pi)
    return rng.poisson(rate * np.exp(0.3 * slow(0.8)(rng, hours))).astype(float)


def zeros(rng: np.random.Generator, hours: int) -> np.ndarray:
    dry = slow(0.8)(rng, hours) < 0.5
    return np.where(dry, 0.0, np.round(rng.gamma(2, 3, hours), 1))


def sessions(rng: np.random.Generator, rows: int) -> np.ndarray:
    lengths = np.where(
        rng.random(rows) < 0.01, 1 + rng.pareto(2, rows) * 10, rng.geometric(0.3, rows)
    )
    return np.repeat(rng.integers(18, 80, rows), lengths.astype(int))[:rows].astype(float)


def independent(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.normal(size=rows)


def levels(memory: float) -> Draw:
    def draw(rng: np.random.Generator, hours: int) -> np.ndarray:
        return np.array(["low", "mid", "high"])[
            np.digitize(slow(memory)(rng, hours), [-0.43, 0.43])
        ]

    return draw


# What is drawn, and rows an hour.
MADE: dict[str, tuple[Draw, int]] = {
    "memory .9": (slow(0.9), 1),
    "memory .97": (slow(0.97), 1),
    "memory .99": (slow(0.99), 1),
    "levels .9": (levels(0.9), 1),
    "levels .97": (levels(0.97), 1),
    "levels .99": (levels(0.99), 1),
    "season": (season, 1),
    "counts": (counts, 1),
    "zeros": (zeros, 1),
    "sessions": (sessions, 12),
    "independent": (independent, 12),
}


def made(kind: str, seed: int, days: int) -> pd.DataFrame:
    draw, per_hour = MADE[kind]
    rng = np.random.default_rng([seed, *kind.encode()])
    rows = 24 * days * per_hour
    columns = {f"x{at}": draw(rng, rows) for at in range(COLUMNS)}
    return with_times(pd.DataFrame(columns).assign(ts=0), pd.Series(np.arange(rows) / per_hour))


def all_made(seeds: int) -> Iterator[Stream]:
    for kind in MADE:
        for seed in range(seeds):
            for days, window in ((28, 1), (365, 7)):
                if window == 7 and MADE[kind][1] > 1 and seed:
                    continue
                rows = partial(made, kind, seed, days + 365)
                yield Stream("made", f"{kind} {days} {seed}", rows, days, window)


def weather_or_visits(kind: str, seed: int, days: int) -> pd.DataFrame:
    """Draw hourly weather, or rows by visits whose number stays or grows."""
    rng = np.random.default_rng([seed, *kind.encode()])
    if kind == "weather":
        hours = np.arange(24 * days)
        noise = rng.normal(size=hours.size)
        for at in range(1, hours.size):
            noise[at] = 0.97 * noise[at - 1] + np.sqrt(1 - 0.97**2) * noise[at]
        season = 10 * np.sin(hours / 8766 * 2 * np.pi) + 4 * np.sin(hours / 24 * 2 * np.pi)
        first = np.round(10 + season + 5 * noise, 1)
        return pd.DataFrame(
            {
                "first": first,
                "second": np.round(first - rng.gamma(2, 2, hours.size), 1),
                "third": np.round(first + 4 * rng.normal(size=hours.size) + 5, 1),
                "ts": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(hours, unit="h"),
            }
        )
    growth = 1.0 if kind == "visits" else 3.0
    visits = rng.poisson(60 * days)
    at = np.sort(days * rng.random(visits) ** (1 / growth))
    length = rng.geometric(0.2, visits)
    hour = (at % 1) * 24
    open_now = rng.random(visits) < np.where((hour > 6) & (hour < 22), 1.0, 0.15)
    at, length = at[open_now], length[open_now]
    times = np.repeat(at * 86_400, length) + rng.uniform(0, 600, length.sum())
    price = np.round(rng.lognormal(3, 1, length.sum()), 2)
    return pd.DataFrame(
        {
            "price": price,
            "paid": np.round(price * rng.choice([1, 1, 0.9, 0.8], price.size), 2),
            "item": rng.choice([f"i{at}" for at in range(40)], price.size),
            "visitor": np.repeat(rng.integers(18, 80, len(at)), length),
            "ts": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(times, unit="s"),
        }
    ).sort_values("ts", ignore_index=True)


def clusters(seed: int, days: int) -> pd.DataFrame:
    """Draw rows of sessions: those of one visitor follow each other, most of them by day."""
    rng = np.random.default_rng([seed, *b"sessions"])
    hours = 24 * days
    columns: dict[str, np.ndarray] = {}
    start, step = pd.Timestamp("2024-01-01", tz="UTC"), pd.Timedelta(hours=1)
    rows = 12 * hours
    lengths = rng.geometric(0.1, rows)
    columns["age"] = np.repeat(rng.normal(size=rows), lengths)[:rows]
    systems = np.array(list("abc"))[rng.choice(3, rows, p=[0.5, 0.3, 0.2])]
    columns["system"] = np.repeat(systems, lengths)[:rows]
    visitor = np.repeat(0.5 * rng.normal(size=rows), lengths)[:rows]
    columns["amount"] = np.exp(rng.normal(size=rows) + visitor)
    busy = 0.65 + 0.35 * np.sin(2 * np.pi * np.arange(rows) / 12 / 24)
    frame = pd.DataFrame(columns | {"ts": start + step / 12 * np.arange(rows)})
    return frame[rng.random(rows) < busy].reset_index(drop=True)
