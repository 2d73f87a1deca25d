"""How soon faults of rows are found, and how often one is told where there is none.

The folder given holds air, bike, elec and prsa as Parquet, the time column named ``ts`` (UCI Air
Quality, Bike Sharing and Beijing PM2.5; Harries' electricity). Weekly windows against the first
part of each table, as a monitor judges them. Faults begin at five onsets and last three weeks.
Prints Markdown: ``python bench/row_faults.py FOLDER > bench/row_faults.md``.
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

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.results.violation import Violation
from driftline.monitors.rows import Rows, WindowFacts

WEEK = timedelta(weeks=1)
FAULT_WEEKS = 3
BUDGET = Budget(windows_per_year=52)
CHECKS = ("order_check", "lost_hour_check")
REFERENCES = {
    "air": datetime(2004, 4, 20, tzinfo=UTC),
    "bike": datetime(2012, 1, 1, tzinfo=UTC),
    "elec": datetime(1997, 2, 1, tzinfo=UTC),
    "prsa": datetime(2012, 1, 1, tzinfo=UTC),
}
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Table:
    """A table's baseline, and its rows of later weeks."""

    baseline: Baseline
    rows: pd.DataFrame
    start: datetime

    @classmethod
    def of(cls, rows: pd.DataFrame, start: datetime) -> Table:
        is_reference = rows["ts"] < start
        return cls(Baseline.fit(rows[is_reference], timestamp="ts"), rows[~is_reference], start)

    @property
    def weeks(self) -> int:
        """Whole weeks after the reference."""
        return int((self.rows["ts"].max() - self.start) / WEEK)

    def week(self, place: int) -> pd.DataFrame:
        start = self.start + place * WEEK
        return self.rows[(self.rows["ts"] >= start) & (self.rows["ts"] < start + WEEK)]

    def judge(self, place: int, rows: pd.DataFrame) -> list[Violation]:
        """Return what is told of faults of rows in one week."""
        start = self.start + place * WEEK
        batch = pa.RecordBatch.from_pandas(
            rows.rename(columns={"ts": "event_time"}), preserve_index=False
        )
        judged = Rows(lambda: iter([batch]), facts=WindowFacts(Window(start, start + WEEK)))
        report = evaluate(CheckContext(self.baseline, judged, budget=BUDGET))
        return [one for one in report.violations if one.constraint_check_type in CHECKS]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the rows of a week, and what should be told."""

    table: str
    words: str
    change: Change
    check: str
    features: frozenset[str]  # Any of them is right.


def exchanged(first: str, second: str) -> Change:
    return lambda rows, _: rows.rename(columns={first: second, second: first})


def without_hour(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return rows[rows["ts"].dt.hour != rng.integers(24)]


FAULTS = (
    Fault("prsa", "TEMP and DEWP exchanged", exchanged("TEMP", "DEWP"), "order_check",
          frozenset({"TEMP", "DEWP"})),
    Fault("bike", "cnt and registered exchanged", exchanged("cnt", "registered"), "order_check",
          frozenset({"cnt", "registered"})),
    Fault("prsa", "an hour of the day lost", without_hour, "lost_hour_check",
          frozenset({"Lost hours"})),
    Fault("bike", "an hour of the day lost", without_hour, "lost_hour_check",
          frozenset({"Lost hours"})),
)  # fmt: skip


def planted(tables: dict[str, Table], onsets: int) -> Iterator[str]:
    for number, fault in enumerate(FAULTS):
        table, found, right = tables[fault.table], [], 0
        for seed in range(onsets):
            onset = 2 + seed * (table.weeks - FAULT_WEEKS - 2) // onsets
            first = None
            for place in range(onset, onset + FAULT_WEEKS):
                rng = np.random.default_rng([number, seed])
                told = table.judge(place, fault.change(table.week(place), rng))
                own = [one for one in told if one.constraint_check_type == fault.check]
                if own:
                    first = place - onset + 1
                    right += own[0].feature_name in fault.features
                    break
            found.append("-" if first is None else str(first))
        count = sum(one != "-" for one in found)
        yield (
            f"| {fault.table} | {fault.words} | {fault.check} | {' '.join(found)} | "
            f"{count} of {onsets} | {right} of {count} |"
        )


def made(kind: str, seed: int, days: int) -> pd.DataFrame:
    """Draw a stream in which nothing is at fault: hourly, by visits, or growing."""
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


def quiet(tables: dict[str, Table], seeds: int) -> Iterator[str]:
    streams = [(name, [table]) for name, table in tables.items()]
    for kind in ("weather", "visits", "growing visits"):
        for days in (60, 365):
            start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days)
            made_tables = (Table.of(made(kind, seed, days + 365), start) for seed in range(seeds))
            streams.append((f"{kind}, {days} days of reference", [*made_tables]))
    for name, several in streams:
        told, windows = Counter[str](), 0
        for table in several:
            for place in range(table.weeks):
                week = table.week(place)
                if len(week):
                    windows += 1
                    told.update(
                        f"{one.feature_name}: {one.cause}" for one in table.judge(place, week)
                    )
        first = "; ".join(list(told)[:3])
        yield f"| {name} | {windows} | {windows / 52:.1f} | {sum(told.values())} | {first} |"


def read(folder: Path) -> dict[str, Table]:
    found = {}
    for name, start in REFERENCES.items():
        rows = pd.read_parquet(folder / f"{name}.parquet")
        found[name] = Table.of(rows.assign(ts=pd.to_datetime(rows["ts"], utc=True)), start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--onsets", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    tables = read(given.folder)
    print("# Faults of rows\n")
    today, version = datetime.now(UTC), platform.python_version()
    print(f"`bench/row_faults.py`, {today:%Y-%m-%d}, Python {version}.")
    print("Weekly windows; the number is the week of the fault in which it is told.\n")
    print("| table | fault | check | week, by onset | found | column right |")
    print("|---|---|---|---|---|---|")
    print("\n".join(planted(tables, given.onsets)))
    print("\nThe same tables as they are, and made streams of a year without a fault:\n")
    print("| stream | windows | years | told | such as |\n|---|---|---|---|---|")
    print("\n".join(quiet(tables, given.seeds)))


if __name__ == "__main__":
    main()
