"""How often the drift test alarms on streams in which nothing drifts, by stream-years.

Real tables whose weeks are exchanged among the years (within a week of their place in the year),
rolled by whole years or turned backwards, so that season and memory stay and drift goes; the folder
given holds air, bike, elec and prsa as Parquet, the time column named ``ts`` (UCI Air Quality, Bike
Sharing and Beijing PM2.5; Harries' electricity). And made streams: memory, season, counts, zeros,
sessions, independent rows. An episode is alarming windows of a stream with at most 8 quiet ones
between. Prints a line of JSON for each stream, or with ``--show`` the table of such lines:
``python bench/clean_streams.py FOLDER --part 1/8 >> RUNS``,
``python bench/clean_streams.py --show RUNS``.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import signal, stats

import driftline as dl

DAY = timedelta(days=1)
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


def watch(stream: Stream) -> dict[str, object]:
    """Judge a stream as a monitor would, with all spans and the budget of one alarm a year."""
    rows = stream.rows()
    until = (rows["ts"].min().normalize() + stream.reference_days * DAY).to_pydatetime()
    found = dl.backtest(
        rows,
        timestamp="ts",
        reference_until=until,
        window=f"{stream.window_days}d",
    )
    loud = [at for at, one in enumerate(found.verdicts) if one.alarms]
    return {
        "group": stream.group,
        "name": stream.name,
        "reference_days": stream.reference_days,
        "window_days": stream.window_days,
        "years": len(found.verdicts) * stream.window_days / YEAR_DAYS,
        "windows": len(loud),
        "episodes": sum(
            now - before > EPISODE_GAP + 1 for before, now in zip([-99, *loud], loud, strict=False)
        ),
        "columns": found.alarms_by_column,
    }


def show(paths: list[Path]) -> Iterator[str]:
    """Lay the runs of one or more versions side by side."""
    runs = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    titles = " | ".join(f"{path.stem}: episodes, windows" for path in paths)
    yield f"| streams | reference | windows of | years | {titles} |\n|{'---|' * (4 + len(paths))}"
    groups: dict[tuple[str, str, int], list[list[dict]]] = defaultdict(lambda: [[] for _ in paths])
    for place, run in enumerate(runs):
        for one in run:
            days = one["reference_days"]
            length = "under 3 months" if days < 90 else "to a year" if days < 700 else "two years"
            kind = one["name"].rsplit(" ", 2)[0] if one["group"] == "made" else ""
            key = (f"{one['group']} {kind}".strip(), length, one["window_days"])
            groups[key][place].append(one)
            groups["all", "", 0][place].append(one)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0] == "all", item[0]))
    for (name, length, days), parts in ordered:
        years = sum(one["years"] for one in parts[0])
        cells = []
        for part in parts:
            count = sum(one["episodes"] for one in part)
            limit = stats.chi2.ppf(0.95, 2 * count + 2) / 2 / years
            cells.append(
                f"{count}, {sum(one['windows'] for one in part)}"
                + (f" ({count / years:.2f} a year, at most {limit:.2f})" if name == "all" else "")
            )
        span = f"{days} d" if days else ""
        yield f"| {name} | {length} | {span} | {years:.1f} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--part", default="1/1", help="such as 2/8")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--show", type=Path, nargs="+")
    given = parser.parse_args()
    if given.show:
        print("\n".join(show(given.show)))
        return
    part, parts = map(int, given.part.split("/"))
    streams = [*real(given.folder, given.seeds), *all_made(given.seeds)]
    for stream in streams[part - 1 :: parts]:
        print(json.dumps(watch(stream)), flush=True)


if __name__ == "__main__":
    main()
