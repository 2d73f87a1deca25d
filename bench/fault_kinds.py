"""Which kind of fault is told behind a planted one, and whether any is told where there is none.

Each trial fits a baseline on half of a table's rows and plants a fault in a window of the others.
Beside the planted kinds: windows as they are, and changes that are none of these kinds (random
rows set to a new text, to a known one, to nothing; all numbers moved a little; rows of one level
missing).

    python bench/fault_kinds.py FOLDER      # of Parquet files; flights come with a package
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import driftline as dl
from bench.segments import tables

SEEDS = 5
SIZES = (500, 5_000)
Plant = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def exchange(one: str, other: str) -> Plant:
    """Exchange two columns."""
    return lambda rows, _: rows.rename(columns={one: other, other: one})


def flood(column: str, value: float, share: float) -> Plant:
    """Set some rows to one value."""

    def plant(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        return rows.assign(**{column: rows[column].mask(rng.random(len(rows)) < share, value)})

    return plant


def renumber(column: str) -> Plant:
    """Return a fault that writes each frequent code as another one."""

    def plant(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        codes = rows[column].value_counts().index[:12].to_numpy()
        moved = np.roll(codes, int(rng.integers(1, len(codes))))
        return rows.assign(**{column: rows[column].replace(dict(zip(codes, moved, strict=True)))})

    return plant


def cut(column: str, length: int) -> Plant:
    """Cut texts to a length."""
    return lambda rows, _: rows.assign(**{column: rows[column].str[:length]})


def scale(column: str, factor: float, share: float = 1.0) -> Plant:
    """Convert the numbers of some rows, or all."""

    def plant(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        numbers = rows[column].astype(float)
        chosen = rng.random(len(rows)) < share
        return rows.assign(**{column: numbers.mask(chosen, numbers * factor)})

    return plant


def rounded(change: Plant, column: str) -> Plant:
    """Round what a fault did to whole numbers."""

    def plant(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        changed = change(rows, rng)
        return changed.assign(**{column: changed[column].round()})

    return plant


def comma(column: str, share: float) -> Plant:
    """Write numbers with a decimal comma."""

    def plant(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        texts = rows[column].astype(float).map("{:.2f}".format)
        chosen = rng.random(len(rows)) < share
        return rows.assign(**{column: texts.mask(chosen, texts.str.replace(".", ",", regex=False))})

    return plant


FAULTS: dict[str, list[tuple[str, str, Plant]]] = {
    "flights": [
        ("columns_exchanged", "distance", exchange("distance", "air_time")),
        ("columns_exchanged", "origin", exchange("origin", "dest")),
        ("default_value", "air_time", flood("air_time", 99.0, 0.08)),
        ("default_value", "distance", flood("distance", 9999.0, 0.05)),
        ("codes_renumbered", "carrier", renumber("carrier")),
        ("texts_cut", "dest", cut("dest", 2)),
        ("unit_change", "distance", scale("distance", 1.609344, 0.3)),
        ("unit_change", "distance", rounded(scale("distance", 1.609344), "distance")),
        ("unit_change", "air_time", scale("air_time", 1 / 60)),
        ("decimal_comma", "distance", comma("distance", 0.4)),
    ],
    "bike": [
        ("columns_exchanged", "temp", exchange("temp", "hum")),
        ("columns_exchanged", "casual", exchange("casual", "registered")),
        ("default_value", "hum", flood("hum", 0.375, 0.10)),
        ("default_value", "cnt", flood("cnt", -1.0, 0.03)),
        ("codes_renumbered", "weathersit", renumber("weathersit")),
        ("texts_cut", "weathersit", cut("weathersit", 4)),
        ("unit_change", "temp", scale("temp", 100.0)),
        ("unit_change", "casual", scale("casual", 1000.0)),
        ("decimal_comma", "windspeed", comma("windspeed", 0.5)),
    ],
}


def random_rows(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Change a column in a way that is no kind of fault."""
    column = str(rng.choice(rows.columns))
    chosen = rng.random(len(rows)) < rng.choice([0.02, 0.05, 0.2])
    if not pd.api.types.is_numeric_dtype(rows[column]):
        how = rng.choice(["new", "known", "empty", "lost"])
        if how == "lost":
            return rows[rows[column] != rows[column].value_counts().index[0]]
        value = {"new": "ZZ", "known": rows[column].mode()[0], "empty": None}[str(how)]
        return rows.assign(**{column: rows[column].astype(object).mask(chosen, value)})
    numbers = rows[column].astype(float)
    how = rng.choice(["empty", "moved", "grown", "noise"])
    if how == "empty":
        numbers = numbers.mask(chosen)
    elif how == "moved":
        numbers += 0.5 * numbers.std()
    elif how == "grown":
        numbers = (numbers * rng.choice([1.3, 1.6, 1.67, 2.0])).round(6)
    else:
        numbers += rng.normal(0, numbers.std(), len(rows))
    return rows.assign(**{column: numbers})


def told(report: dl.Report, column: str | None = None) -> str:
    """Return the kind that is told of a column, or of any."""
    kinds = [
        one.fault.kind
        for one in report.violations
        if one.fault is not None
        and one.fault.kind != "level_renamed"
        and column in (None, one.feature_name)
    ]
    return kinds[0] if kinds else ""


def main() -> None:
    """Print how often the planted kind was told, and how often one where there was none."""
    say = sys.stdout.write
    say("| table | column | planted | right / wrong / silent / not found |\n|---|---|---|---|\n")
    nulls: Counter[tuple[str, str]] = Counter()
    for name, table in tables(Path(sys.argv[1])).items():
        faults = FAULTS.get(name, [])
        counts = [Counter[str]() for _ in faults]
        for seed in range(SEEDS):
            rng = np.random.default_rng([seed, len(table)])
            order = rng.permutation(len(table))
            half = len(table) // 2
            baseline = dl.Baseline.fit(table.iloc[order[:half]])
            others = table.iloc[order[half:]]
            for size in SIZES:

                def drawn(count: int = size, frame: pd.DataFrame = others) -> pd.DataFrame:
                    return frame.sample(count, random_state=int(rng.integers(1 << 31)))  # noqa: B023

                for (kind, column, plant), found in zip(faults, counts, strict=True):
                    report = dl.check(plant(drawn().reset_index(drop=True), rng), baseline)
                    violated = {one.feature_name for one in report.violations}
                    was = told(report, column)
                    found[_answer(was, kind, found=column in violated)] += 1
                    if "-v" in sys.argv and was != kind:
                        sys.stderr.write(f"{name} {size} {kind} {was}: {report.cause}\n")
                for what, how in (("as they are", None), ("other changes", random_rows)):
                    for _ in range(4):
                        rows = drawn().reset_index(drop=True)
                        report = dl.check(rows if how is None else how(rows, rng), baseline)
                        nulls[what, "windows"] += 1
                        nulls[what, "violated"] += not report.passed
                        nulls[what, "told"] += bool(told(report))
                        if "-v" in sys.argv and told(report):
                            sys.stderr.write(f"{name} {size} none: {report.cause}\n")
        for (kind, column, _), found in zip(faults, counts, strict=True):
            shares = " / ".join(str(found[one]) for one in ("right", "wrong", "silent", "missed"))
            say(f"| {name} | {column} | {kind} | {shares} |\n")
    for what in ("as they are", "other changes"):
        windows, violated, wrong = (nulls[what, one] for one in ("windows", "violated", "told"))
        say(f"\n{what}: {wrong} told of {windows} windows, {violated} of them violated\n")


def _answer(was: str, kind: str, *, found: bool) -> str:
    if not found:
        return "missed"
    return "right" if was == kind else "wrong" if was else "silent"


if __name__ == "__main__":
    main()
