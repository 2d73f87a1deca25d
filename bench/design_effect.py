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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

import driftline as dl
from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import number_cells, text_cells
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts

DAYS, DAY_ROWS, TRIALS = 28, 500, 96
ROWS = DAYS * DAY_ROWS
COLUMNS, NUMBERS = 10, 8
LEVELS, SHARES = list("abcde"), (0.4, 0.2, 0.2, 0.1, 0.1)
GAINS = (0.1, 0.15, 0.2, 0.3)
SHIFTS = (0.0, 0.15, 0.2, 0.25, 0.3, 0.4)
ATOM_TRIALS, ATOM_SHARES, ATOM = 200, (0.0, 0.04, 0.06, 0.09, 0.12), 0.37
REFERENCES = {
    "air": datetime(2004, 4, 20, tzinfo=UTC),
    "bike": datetime(2012, 1, 1, tzinfo=UTC),
    "elec": datetime(1997, 2, 1, tzinfo=UTC),
    "prsa": datetime(2012, 1, 1, tzinfo=UTC),
}
SHUFFLES = 3


def found(window: pd.DataFrame, baseline: dl.Baseline, column: str) -> bool:
    report = dl.check(window, baseline)
    return any(one.feature_name == column for one in report.violations)


@dataclass(frozen=True, slots=True)
class Trial:
    """A reference of independent rows, eight columns of numbers and two of levels, and a window."""

    references: dict[str, ReferenceColumn]
    blocks: BlockCounts
    window: dict[str, np.ndarray]
    chance: np.ndarray  # Of each row of the window, 0-1, by which a share of them is changed.

    @classmethod
    def drawn(cls, seed: int) -> Trial:
        rng = np.random.default_rng([seed, 5])
        hours, at = np.unique(np.sort(rng.integers(0, 24 * DAYS, ROWS)), return_inverse=True)
        references, by_hour, window = {}, {}, {}
        for place in range(COLUMNS):
            if place < NUMBERS:
                name, values = f"x{place}", rng.normal(size=ROWS)
                cells = number_cells(name, "double", np.sort(values), np.ones(ROWS))
                window[name] = rng.normal(size=DAY_ROWS)
            else:
                name, values = f"k{place - NUMBERS}", rng.choice(LEVELS, ROWS, p=SHARES)
                levels = Counter(values.tolist())
                cells = text_cells(name, "string", levels, complete=True, row_count=ROWS)
                window[name] = rng.choice(LEVELS, DAY_ROWS, p=SHARES)
            flat = np.bincount(at * cells.size + cells.assign(pa.array(values)))
            table = np.pad(flat, (0, hours.size * cells.size - flat.size)).reshape(hours.size, -1)
            references[name] = ReferenceColumn(cells, table.sum(axis=0).astype(np.float64))
            by_hour[name] = table.astype(np.int32)
        blocks = BlockCounts(hours.astype(np.int64), by_hour)
        return cls(references, blocks, window, rng.random(DAY_ROWS))

    def changes(self) -> Iterator[tuple[str, np.ndarray]]:
        """Return each changed column: shifts of the first one, then gains of a level."""
        for shift in SHIFTS:
            yield "x0", self.window["x0"] + shift
        for gain in GAINS:
            yield "k0", np.where(self.chance < gain, "a", self.window["k0"])


def power() -> Iterator[str]:
    """Count the trials in which the changed column is found, and the columns that are not one."""
    counts, false = np.zeros((2, len(SHIFTS) + len(GAINS)), dtype=int), [0, 0]
    for seed in range(TRIALS):
        trial = Trial.drawn(seed)
        for timed, blocks in enumerate((None, trial.blocks)):
            test = DriftTest(trial.references, blocks)
            for place, (changed, values) in enumerate(trial.changes()):
                now = {
                    name: one.cells.count(pa.array(values if name == changed else own))
                    for (name, one), own in zip(
                        trial.references.items(), trial.window.values(), strict=True
                    )
                }
                drifted = test.judge(WindowCounts(None, None, DAY_ROWS, now)).drifted
                counts[timed, place] += changed in drifted
                false[timed] += 0 if place else len(drifted)
    titles = [*(f"+{one:g} sd" for one in SHIFTS), *(f"{one:g} to a" for one in GAINS)]
    yield f"| found of {TRIALS} | {' | '.join(titles)} | false of {COLUMNS * TRIALS} |"
    yield f"|{'---|' * (2 + len(titles))}"
    for timed, name in enumerate(("without times", "28 days with times")):
        yield f"| {name} | {' | '.join(map(str, counts[timed]))} | {false[timed]} |"


def atoms() -> Iterator[str]:
    """Count the trials in which a new frequent value is found."""
    counts = np.zeros(len(ATOM_SHARES), dtype=int)
    for seed in range(ATOM_TRIALS):
        rng = np.random.default_rng([seed, 1])
        baseline = dl.Baseline.fit(pd.DataFrame({"x": rng.normal(size=ROWS)}))
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
        first = f"{plain.alarms[0].start:%Y-%m-%d}" if plain.alarms else "-"
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
    parser.add_argument("--only", choices=("power", "atoms", "real"))
    given = parser.parse_args()
    version = platform.python_version()
    print(f"`bench/design_effect.py`, {datetime.now(UTC):%Y-%m-%d}, Python {version}.\n")
    for name, table in (("power", power()), ("atoms", atoms()), ("real", real(given.folder))):
        if given.only in (None, name):
            print("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
