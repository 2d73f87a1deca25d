"""How often a data quality monitor at its defaults alarms falsely, over all of its checks.

Streams in which nothing is wrong (clean_streams.py, hourly_streams.py) go through what a deployed
monitor does with each window: all checks, the windows before it, its warm-up, and which causes were
told before. Counted is what is told anew, and how often the alarms that ``driftline deploy``
declares begin: "broken input" on `pages`, "drift" on `new_tickets`. An episode is windows that tell
news with at most 8 between that do not. Then the faults of planted_faults.py in real weather, told
by any check. The folder given holds air, bike, elec and prsa as Parquet, the time column named
``ts``. Appends a line of JSON for each stream that RUNS lacks, and prints the page:
``python bench/together.py FOLDER RUNS > bench/together.md``. With ``--seconds`` it ends in time, to
be called again.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten

import clean_streams
import hourly_streams
import pandas as pd
import planted_faults
import pyarrow as pa
from clean_streams import EPISODE_GAP, YEAR_DAYS, Stream, exchanged
from scipy import stats

import driftline as dl
from driftline.capture.windows.window import Window
from driftline.monitors.report.report import Report
from driftline.monitors.window_history import store

DAY = timedelta(days=1)
CAUSE_WIDTH = 110
# They are known to change, or to be dead: no controls.
CHANGING = {"air": ["NMHC_GT"], "elec": ["vicprice", "vicdemand", "transfer"]}
# What no reference of a month or a year foretells: sessions without a longest length.
HEAVY = "made sessions"
HOURLY_SEEDS = 3  # For each seed of the others: their streams are shorter.
LENGTHS = {7: "7 d", 1: "1 d", hourly_streams.HOUR_DAYS: "1 h"}


def without_changing(stream: Stream) -> Stream:
    names, rows = CHANGING.get(stream.group, []), stream.rows
    return replace(stream, rows=lambda: rows().drop(columns=names))


def streams(folder: Path, seeds: int) -> Iterator[Stream]:
    """Return the streams of the other benches, by the week, the day and the hour."""
    yield from map(without_changing, clean_streams.real(folder, seeds))
    for name, days in (("bike", 364), ("elec", 270), ("prsa", 364)):
        rows = partial(exchanged, clean_streams.read(folder, name), 200, by_season=True)
        yield without_changing(Stream(name, f"weeks exchanged {days} d", rows, days, 1))
    yield from clean_streams.all_made(seeds)
    lengths = ((60, 1), (365, 7))
    for seed in range(seeds):
        for kind in ("weather", "visits", "growing visits"):
            for days, window in lengths:
                rows = partial(clean_streams.weather_or_visits, kind, seed, days + 365)
                yield Stream("made", f"{kind} {days} {seed}", rows, days, window)
        for days, window in lengths:
            rows = partial(clean_streams.clusters, seed, days + 365)
            yield Stream("made", f"clusters {days} {seed}", rows, days, window)
    yield from hourly_streams.all_hourly(HOURLY_SEEDS * seeds)


def windows_of(
    rows: pd.DataFrame, until: datetime, days: float
) -> Iterator[tuple[Window, pa.Table]]:
    """Cut what comes after the reference as the timetable does: at midnight, or on Mondays."""
    start = until + (-until.weekday() % 7) * DAY if days == 7 else until
    table = pa.Table.from_pandas(rows, preserve_index=False)
    times, end = rows["ts"], rows["ts"].max()
    while start + days * DAY <= end:
        first, last = times.searchsorted([start, start + days * DAY]).tolist()
        if last > first:
            yield Window(start, start + days * DAY), table.slice(first, last - first)
        start += days * DAY


def monitor_of(reference: pd.DataFrame, window_days: float) -> dl.Monitor:
    """Return a monitor that judges as one that `driftline deploy` makes."""
    baseline = dl.Baseline.fit(reference, timestamp="ts")
    return dl.Monitor(baseline, period=window_days * DAY)


def unpack_once() -> None:
    """Keep what is read of the windows before: by the hour each window reads the same 63."""
    store.unpack = lru_cache(2048)(store.unpack)  # type: ignore[assignment]


def copied(monitor: dl.Monitor) -> dl.Monitor:
    with TemporaryDirectory() as folder:
        monitor.save(folder)
        return dl.Monitor.load(folder)


def watch(stream: Stream) -> dict[str, object]:
    """Return what is told of a stream, each violation with its window's place."""
    rows = stream.rows().sort_values("ts", ignore_index=True)
    until = (rows["ts"].min().normalize() + stream.reference_days * DAY).to_pydatetime()
    monitor = monitor_of(rows[rows["ts"] < until], stream.window_days)
    told, count = [], 0
    for window, table in windows_of(rows, until, stream.window_days):
        told += [
            {
                "at": count,
                "window": f"{window.start:%Y-%m-%d}",
                "new": one.first_window is None,
                "severity": one.severity,
                "check": one.constraint_check_type,
                "feature": one.feature_name,
                "cause": shorten(one.cause, 2 * CAUSE_WIDTH, placeholder=" …"),
            }
            for one in monitor.check(table, time=window.start).violations
        ]
        count += 1
    return {
        "group": stream.group,
        "name": stream.name,
        "window_days": stream.window_days,
        "years": count * stream.window_days / YEAR_DAYS,
        "told": told,
    }


def planted(folder: Path, known: Container[tuple[str, str]]) -> Iterator[dict[str, object]]:
    """Plant each fault of planted_faults.py at its onsets: the first window with news of its own.

    Those that are known, by fault and onset, are left out.
    """
    table, until = planted_faults.read(folder, "prsa"), planted_faults.REFERENCES["prsa"]
    reference, rest = planted_faults.halves(table, until)
    monitor, clean = monitor_of(reference, 7), monitor_of(reference, 7)
    windows = list(windows_of(rest, until, 7))
    usual = {window.start: news(clean.check(rows, time=window.start)) for window, rows in windows}
    # Windows begin on Mondays.
    onsets = {
        datetime(*day, tzinfo=UTC) + DAY: kind
        for kind, days in planted_faults.ONSETS.items()
        for day in days
    }
    for window, rows in windows:
        onset = f"{window.start:%Y-%m-%d}"
        for fault in planted_faults.FAULTS if window.start in onsets else ():
            if (fault, onset) in known:
                continue
            watcher, found = copied(monitor), None
            wrong = written(planted_faults.broken(rest, fault, window.start), rest)
            for place, (one, own) in enumerate(windows_of(wrong, window.start, 7)):
                if new := news(watcher.check(own, time=one.start)) - usual[one.start]:
                    found = place + 1, *min(new)
                    break
            kind = onsets[window.start]
            yield {"fault": fault, "onset": onset, "kind": kind, "found": found}
        monitor.check(rows, time=window.start)


def written(broken: pd.DataFrame, usual: pd.DataFrame) -> pd.DataFrame:
    """Round columns that are mostly whole in the usual rows: else decimals tell the fault."""
    whole = [
        name
        for name in usual.select_dtypes("number")
        if (usual[name].dropna() % 1 == 0).mean() > 0.9 and broken[name].dtype.kind == "f"
    ]
    return broken.assign(**{name: broken[name].round() for name in whole})


def news(report: Report) -> set[tuple[str, str, str]]:
    """Return what is told anew; pages first when ordered."""
    return {
        (one.severity, one.constraint_check_type, one.feature_name)
        for one in report.violations
        if one.first_window is None
    }


def kind_of(run: Mapping) -> str:
    """Return what a stream is counted with: its table, or how it is made."""
    return f"made {run['name'].rsplit(' ', 2)[0]}" if run["group"] == "made" else run["group"]


def begun(places: Iterable[int], gap: int = 0) -> list[int]:
    """Return the places that follow on more than so many others."""
    ordered = sorted(set(places))
    return [now for before, now in pairwise([-99, *ordered]) if now - before > gap + 1]


def counted(run: Mapping) -> dict[str, list[int]]:
    """Return the windows in which news begin, and those in which each alarm does."""
    new = [one for one in run["told"] if one["new"]]
    return {
        "news": begun((one["at"] for one in new), EPISODE_GAP),
        "pages": begun(one["at"] for one in run["told"] if one["severity"] == "page"),
        "tickets": begun(one["at"] for one in new if one["severity"] == "ticket"),
    }


def rate(count: int, years: float) -> str:
    """Word a count with its rate and the exact 95% limits of a Poisson count."""
    low = stats.chi2.ppf(0.025, 2 * count) / 2 / years if count else 0.0
    high = stats.chi2.ppf(0.975, 2 * count + 2) / 2 / years
    return f"{count} ({count / years:.2f} a year, {low:.2f} to {high:.2f})"


def by_stream(runs: Sequence[Mapping]) -> Iterator[str]:
    yield "| streams | windows of | years | episodes of news | broken input | drift |"
    yield f"|{'---|' * 6}"
    groups: dict[tuple[str, str], list[Mapping]] = defaultdict(list)
    for run in runs:
        groups[kind_of(run), LENGTHS[run["window_days"]]].append(run)
    lines = [*sorted(groups.items())]
    for title, chosen in (
        ("all", runs),
        (f"all but {HEAVY}", [run for run in runs if kind_of(run) != HEAVY]),
    ):
        lines.append(((f"**{title}**", ""), chosen))
        for days, length in LENGTHS.items():
            own = [run for run in chosen if run["window_days"] == days]
            lines += [((title, length), own)] if own else []
    for (name, windows), own in lines:
        years = sum(run["years"] for run in own)
        sums: Counter[str] = Counter()
        for run in own:
            sums.update({what: len(places) for what, places in counted(run).items()})
        is_sum = name.strip("*").startswith("all")
        cells = [
            rate(sums[what], years) if is_sum else str(sums[what])
            for what in ("news", "pages", "tickets")
        ]
        yield f"| {name} | {windows} | {years:.1f} | {' | '.join(cells)} |"


def words(told: Mapping) -> str:
    """Word one violation, shortly."""
    text = f"{told['check']} {told['feature']}: {told['cause']}"
    return shorten(text, CAUSE_WIDTH, placeholder=" …").replace("|", "/")


def by_fault(found: Sequence[Mapping]) -> Iterator[str]:
    yield "| fault | first week | found by |\n|---|---|---|"
    count = 0
    for fault in dict.fromkeys(one["fault"] for one in found):
        own = [one["found"] for one in found if one["fault"] == fault]
        count += sum(one is not None for one in own)
        weeks = " ".join("-" if one is None else str(one[0]) for one in own)
        by = sorted({f"{one[2]} ({one[1]})" for one in own if one is not None})
        yield f"| {fault} | {weeks} | {', '.join(by)} |"
    yield f"| **found** | **{count} of {len(found)}** | |"


def by_check(runs: Sequence[Mapping]) -> Iterator[str]:
    yield "| check | severity | news | episodes with it | of streams |\n|---|---|---|---|---|"
    news, episodes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
    for run in runs:
        new = [one for one in run["told"] if one["new"]]
        for key in {(one["check"], one["severity"]) for one in new}:
            own = [one["at"] for one in new if (one["check"], one["severity"]) == key]
            news[key] += len(own)
            episodes[key] += len(begun(own, EPISODE_GAP))
            kinds[key].add(kind_of(run))
    for key in sorted(news):
        of = ", ".join(sorted(kinds[key]))
        yield f"| {key[0]} | {key[1]} | {news[key]} | {episodes[key]} | {of} |"


def listed(runs: Sequence[Mapping]) -> Iterator[str]:
    """Return each episode with what it tells first."""
    for run in runs:
        new = [one for one in run["told"] if one["new"]]
        for at in counted(run)["news"]:
            own = [one for one in new if one["at"] == at]
            told = "; ".join(words(one) for one in own[:2])
            yield f"- {run['group']} {run['name']}, {own[0]['window']}: {told}"


def read_runs(path: Path) -> tuple[list[dict], list[dict]]:
    """Return the streams that were judged, and the faults that were planted."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [one for one in found if "fault" not in one], [one for one in found if "fault" in one]


def append(path: Path, run: Mapping) -> None:
    with path.open("a") as file:
        file.write(json.dumps(run) + "\n")


def page(runs: Sequence[Mapping], found: Sequence[Mapping]) -> Iterator[str]:
    yield "# Everything together\n"
    yield (
        f"`bench/together.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}. "
        "Rates with exact 95% limits.\n"
    )
    yield from by_stream(runs)
    yield "\nBy check:\n"
    yield from by_check(runs)
    yield "\nEach episode:\n"
    yield from listed(runs)
    for kind in planted_faults.ONSETS if found else ():
        own = [one for one in found if one["kind"] == kind]
        onsets = ", ".join(dict.fromkeys(str(one["onset"]) for one in own))
        yield f"\nFaults of 12 weeks in prsa, reference 2010-11, weekly windows, from {onsets}:\n"
        yield from by_fault(own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default="", help="what a stream's group and name contain")
    parser.add_argument("--seconds", type=float, default=math.inf)
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    runs, found = read_runs(given.runs)
    unpack_once()
    known = {(run["name"], run["group"], run["window_days"]) for run in runs}
    for stream in streams(given.folder, given.seeds):
        key = (stream.name, stream.group, stream.window_days)
        if key not in known and given.only in f"{stream.group} {stream.name}":
            append(given.runs, watch(stream))
        if time.monotonic() > until:
            return
    faults = {(one["fault"], one["onset"]) for one in found}
    for one in () if given.only else planted(given.folder, faults):
        append(given.runs, one)
        if time.monotonic() > until:
            return
    print("\n".join(page(*read_runs(given.runs))))


if __name__ == "__main__":
    main()
