"""How soon a value that stands still is found, and how often one is told that does not.

Real tables, window by window: the folder given holds air, bike, elec and prsa as Parquet, the time
column named ``ts`` (UCI Air Quality, Bike Sharing and Beijing PM2.5; Harries' electricity). Then
faults planted into the weather of prsa, and made streams in which nothing stands still. Prints
Markdown:
``python bench/standstill.py FOLDER > bench/standstill.md``.
"""

from __future__ import annotations

import argparse
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.baseline.value_runs import TimeOrder
from driftline.monitors.drift_test.drift import ReferenceColumn, reference_columns
from driftline.monitors.drift_test.window_counts import WindowCounts, runs_before
from driftline.monitors.kinds.data_quality.flatline_check import Standstill, standstill

DAY, WEEK = timedelta(days=1), timedelta(days=7)
REFERENCES = {
    "air": datetime(2004, 4, 20, tzinfo=UTC),
    "bike": datetime(2012, 1, 1, tzinfo=UTC),
    "elec": datetime(1997, 2, 1, tzinfo=UTC),
    "prsa": datetime(2012, 1, 1, tzinfo=UTC),
}
ONSETS = [
    datetime(year, month, day, tzinfo=UTC)
    for year, month, day in ((2012, 1, 29), (2012, 5, 20), (2012, 9, 30), (2013, 3, 3))
]
FAULT_WEEKS = 12
# Alarming windows with at most so many quiet ones between are one episode.
EPISODE_GAP = 8
Alarm = tuple[int, datetime, str, Standstill]


@dataclass(frozen=True, slots=True)
class Monitor:
    """A baseline, and its rows of later windows."""

    baseline: Baseline
    references: dict[str, ReferenceColumn]

    @classmethod
    def of(cls, reference: pd.DataFrame) -> Monitor:
        baseline = Baseline.fit(reference, timestamp="ts")
        return cls(baseline, reference_columns(baseline))

    def alarms(self, rows: pd.DataFrame, start: datetime, length: timedelta) -> Iterator[Alarm]:
        """Judge window after window as a monitor does, each with the runs before it."""
        assert self.baseline.profile is not None
        known, past = self.baseline.profile.columns, list[WindowCounts]()
        places = ((rows["ts"] - start) // length).to_numpy()
        for place in range(int(places.max()) + 1):
            own = rows[places == place]
            begin = start + place * length
            profile = Profile.empty(self.baseline.signature, self.baseline.cells)
            if len(own):
                batch = pa.RecordBatch.from_pandas(own, preserve_index=False)
                profile.update(batch, order=TimeOrder.of(batch.column("ts")))
            before = runs_before(past, begin)
            past = [WindowCounts.of(profile, begin, begin + length, before)]
            for name, reference in self.references.items():
                runs = profile.columns[name].runs
                found = standstill(runs, known[name].runs, reference, before.get(name))
                if found is not None:
                    yield place, begin, name, found


def read(folder: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a table's reference and what follows."""
    table = pd.read_parquet(folder / f"{name}.parquet")
    table["ts"] = pd.to_datetime(table["ts"], utc=True)
    is_reference = table["ts"] < REFERENCES[name]
    return table[is_reference], table[~is_reference]


def episodes(alarms: list[Alarm]) -> list[Alarm]:
    """Return the alarms with which an episode of a column begins."""
    last: dict[str, int] = {}
    first = []
    for alarm in alarms:
        place, _, name, _ = alarm
        if place - last.get(name, -99) > EPISODE_GAP + 1:
            first.append(alarm)
        last[name] = place
    return first


def real(folder: Path, length: timedelta) -> Iterator[str]:
    for name in REFERENCES:
        reference, rest = read(folder, name)
        alarms = list(Monitor.of(reference).alarms(rest, REFERENCES[name], length))
        windows = int((rest["ts"].max() - REFERENCES[name]) / length) + 1
        loud = len({place for place, *_ in alarms})
        firsts = "; ".join(
            f"{column} {found.value:g}, window {place + 1} ({begin:%Y-%m-%d}): "
            f"{found.length} times (reference {found.usual})"
            for place, begin, column, found in episodes(alarms)
        )
        yield f"| {name} | {length.days} d | {windows} | {loud} | {firsts} |"


def stuck(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(rows["TEMP"].iloc[0], rows.index)


FAULTS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "TEMP stuck at its last value": stuck,
    "TEMP = -3": lambda rows: pd.Series(-3.0, rows.index),
}


def planted(folder: Path) -> Iterator[str]:
    reference, rest = read(folder, "prsa")
    monitor = Monitor.of(reference)
    for fault, change in FAULTS.items():
        column, found = fault.split()[0], []
        for start in ONSETS:
            rows = rest[(rest["ts"] >= start) & (rest["ts"] < start + FAULT_WEEKS * WEEK)]
            plain = {
                place for place, _, name, _ in monitor.alarms(rows, start, WEEK) if name == column
            }
            rows = rows.assign(**{column: change(rows)})
            loud = [
                place for place, _, name, _ in monitor.alarms(rows, start, WEEK) if name == column
            ]
            new = [place for place in loud if place not in plain]
            found.append(str(new[0] + 1) if new else "-")
        yield f"| {fault} | {' '.join(found)} |"


def made(kind: str, seed: int, days: int) -> pd.DataFrame:
    """Draw a year or so of a stream in which nothing stands still by a fault."""
    rng = np.random.default_rng([seed, *kind.encode()])
    hours = 24 * days
    per_hour = 12 if kind == "sessions" else 1
    noise = rng.normal(size=hours)
    if kind.startswith("slow"):
        memory = float(kind.split()[1])
        for at in range(1, hours):
            noise[at] = memory * noise[at - 1] + np.sqrt(1 - memory**2) * noise[at]
        values = np.round(10 * noise, 0 if seed % 2 else 1)
    elif kind == "counts":
        values = rng.poisson(4 + 3 * np.sin(np.arange(hours) / 24 * 2 * np.pi)).astype(float)
    elif kind == "zero-inflated":
        values = np.where(rng.random(hours) < 0.6, 0.0, np.round(rng.gamma(2, 3, hours), 1))
    else:  # Rows of one visitor follow each other: geometric, and now and then a long visit.
        rows = hours * per_hour
        lengths = np.where(
            rng.random(rows) < 0.01, 1 + rng.pareto(2, rows) * 10, rng.geometric(0.3, rows)
        )
        values = np.repeat(rng.integers(18, 80, rows), lengths.astype(int))[:rows].astype(float)
    step = pd.Timedelta(hours=1) / per_hour
    times = pd.Timestamp("2025-01-01", tz="UTC") + step * np.arange(len(values))
    return pd.DataFrame({"x": values, "ts": times})


def quiet(seeds: int, reference_days: int) -> Iterator[str]:
    for kind in ("slow 0.9", "slow 0.97", "slow 0.99", "counts", "zero-inflated", "sessions"):
        found: Counter[str] = Counter()
        for seed in range(seeds):
            rows = made(kind, seed, reference_days + 365)
            start = datetime(2025, 1, 1, tzinfo=UTC) + reference_days * DAY
            monitor = Monitor.of(rows[rows["ts"] < start])
            alarms = list(monitor.alarms(rows[rows["ts"] >= start], start, DAY))
            found["windows"] += len({place for place, *_ in alarms})
            found["episodes"] += len(episodes(alarms))
        yield f"| {kind} | {seeds} | {found['windows']} | {found['episodes']} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    print("# Values that stand still\n")
    print(
        f"`bench/standstill.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}. "
        f"Episodes: alarming windows with at most {EPISODE_GAP} quiet ones between.\n"
    )
    print("Real tables, as they are: what stands still in them does so in truth.\n")
    print("| table | windows of | windows | alarm | episodes begin with |\n|---|---|---|---|---|")
    for length in (WEEK, DAY):
        print("\n".join(real(given.folder, length)))
    print("\nFaults of 12 weeks in prsa, weekly windows: the first that alarms, at four onsets.\n")
    print("| fault | first window |\n|---|---|")
    print("\n".join(planted(given.folder)))
    print("\nMade streams of a year, daily windows, 28 days of reference: nothing stands still.\n")
    print("| stream | years | alarming windows | episodes |\n|---|---|---|---|")
    print("\n".join(quiet(given.seeds, 28)))


if __name__ == "__main__":
    main()
