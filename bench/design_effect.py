"""What the drift test finds on independent rows, with times and without, and what it tells falsely.

Columns of independent rows, one of them changed; a value that becomes frequent; real tables as they
are and with their rows exchanged in time: the folder given holds air, bike, elec and prsa as
Parquet, the time column named ``ts`` (UCI Air Quality, Bike Sharing and Beijing PM2.5; Harries'
electricity). Prints Markdown:
``python bench/design_effect.py FOLDER > bench/design_effect.md``.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

import driftline as dl

DAYS, DAY_ROWS, NUMBERS, TRIALS = 28, 500, 8, 32
SHIFTS = (0.0, 0.15, 0.2, 0.25, 0.3, 0.4)
LEVELS, SHARES = list("abcde"), (0.4, 0.2, 0.2, 0.1, 0.1)
GAINS = (0.1, 0.15, 0.2, 0.3)
ATOM_TRIALS, ATOM_SHARES, ATOM = 200, (0.0, 0.04, 0.06, 0.09, 0.12), 0.37
REFERENCES = {
    "air": datetime(2004, 4, 20, tzinfo=UTC),
    "bike": datetime(2012, 1, 1, tzinfo=UTC),
    "elec": datetime(1997, 2, 1, tzinfo=UTC),
    "prsa": datetime(2012, 1, 1, tzinfo=UTC),
}
SHUFFLES = 3


def drawn(rng: np.random.Generator, days: int, first: int = 0) -> pd.DataFrame:
    """Draw independent rows: eight columns of numbers and two of levels."""
    rows = days * DAY_ROWS
    columns = {f"x{i}": rng.normal(size=rows) for i in range(NUMBERS)}
    columns |= {f"k{i}": rng.choice(LEVELS, rows, p=SHARES) for i in range(2)}
    at = np.sort(rng.random(rows)) * days + first
    start = pd.Timestamp("2026-01-01", tz="UTC")
    return pd.DataFrame(columns).assign(ts=start + pd.to_timedelta(at, unit="D"))


def found(window: pd.DataFrame, baseline: dl.Baseline, column: str) -> bool:
    report = dl.check(window, baseline)
    return any(one.feature_name == column for one in report.violations)


def power() -> Iterator[str]:
    """Count the trials in which the changed column is found."""
    counts = np.zeros((2, len(SHIFTS) + len(GAINS)), dtype=int)
    for seed in range(TRIALS):
        rng = np.random.default_rng(seed)
        rows, window = drawn(rng, DAYS), drawn(rng, 1, DAYS)
        moved = rng.random(DAY_ROWS)
        for timed in (0, 1):
            known = rows if timed else rows.drop(columns="ts")
            baseline = dl.Baseline.fit(known, timestamp="ts" if timed else None)
            now = window if timed else window.drop(columns="ts")
            for at, shift in enumerate(SHIFTS):
                counts[timed, at] += found(now.assign(x0=now["x0"] + shift), baseline, "x0")
            for at, gain in enumerate(GAINS, len(SHIFTS)):
                changed = now["k0"].where(moved >= gain, "a")
                counts[timed, at] += found(now.assign(k0=changed), baseline, "k0")
    titles = [*(f"+{one:g} sd" for one in SHIFTS), *(f"{one:g} to a" for one in GAINS)]
    yield f"| found of {TRIALS} | {' | '.join(titles)} |\n|{'---|' * (1 + len(titles))}"
    for timed, name in enumerate(("without times", "28 days with times")):
        yield f"| {name} | {' | '.join(map(str, counts[timed]))} |"


def atoms() -> Iterator[str]:
    """Count the trials in which a new frequent value is found."""
    counts = np.zeros(len(ATOM_SHARES), dtype=int)
    for seed in range(ATOM_TRIALS):
        rng = np.random.default_rng([seed, 1])
        baseline = dl.Baseline.fit(pd.DataFrame({"x": rng.normal(size=DAYS * DAY_ROWS)}))
        values, places = rng.normal(size=DAY_ROWS), rng.random(DAY_ROWS)
        for at, share in enumerate(ATOM_SHARES):
            window = pd.DataFrame({"x": np.where(places < share, ATOM, values)})
            counts[at] += found(window, baseline, "x")
    titles = [f"{share:.0%}" for share in ATOM_SHARES]
    yield f"| found of {ATOM_TRIALS} | {' | '.join(titles)} |\n|{'---|' * (1 + len(titles))}"
    yield f"| one value in so many of {DAY_ROWS} rows | {' | '.join(map(str, counts))} |"


def real(folder: Path) -> Iterator[str]:
    """Judge each table week by week, as it is and with its rows exchanged."""
    yield "| table | weeks | alarm as they are | first | rows exchanged: alarm, of weeks |"
    yield f"|{'---|' * 5}"
    for name, until in REFERENCES.items():
        table = pd.read_parquet(folder / f"{name}.parquet")
        table["ts"] = pd.to_datetime(table["ts"], utc=True)
        plain = weekly(table, until)
        first = (
            "-" if plain.own.first is None else f"{plain.verdicts[plain.own.first].start:%Y-%m-%d}"
        )
        loud = weeks = 0
        for seed in range(SHUFFLES):
            order = np.random.default_rng(seed).permutation(len(table))
            mixed = table.drop(columns="ts").iloc[order].reset_index(drop=True)
            result = weekly(mixed.assign(ts=table["ts"].to_numpy()), until)
            loud, weeks = loud + len(result.alarms), weeks + len(result.verdicts)
        own = f"{len(plain.verdicts)} | {len(plain.alarms)} | {first}"
        yield f"| {name} | {own} | {loud}, {weeks} |"


def weekly(table: pd.DataFrame, until: datetime) -> dl.Backtest:
    return dl.backtest(table, timestamp="ts", reference_until=until, window="7d")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    version = platform.python_version()
    print(f"`bench/design_effect.py`, {datetime.now(UTC):%Y-%m-%d}, Python {version}.\n")
    for table in (power(), atoms(), real(given.folder)):
        print("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
