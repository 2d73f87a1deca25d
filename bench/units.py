"""How often the unit is named when all numbers of a window come in another one.

Beijing's weather (UCI Beijing PM2.5) varies so slowly that a day or a week in another unit is often
no drift: references of 60 days and of a year, two days and two weeks after each, drawn at random.
Converted values stay as they are, or are rounded to the decimals of the column (two more where it
was divided). Right: the unit is named; weak: the column is violated and no unit is named.

    python bench/units.py FOLDER > bench/units.md      # holds prsa as Parquet
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

import driftline as dl

CONVERSIONS: dict[str, tuple[str, Callable[[pd.Series], pd.Series], int]] = {
    "× 1.8 + 32": ("Fahrenheit instead of Celsius", lambda x: x * 1.8 + 32, 0),
    "+ 273.15": ("Kelvin instead of Celsius", lambda x: x + 273.15, 0),
    "× 1.609344": ("kilometres instead of miles", lambda x: x * 1.609344, 0),
    "/ 0.3048": ("feet instead of metres", lambda x: x / 0.3048, 0),
    "× 100": (" 100 times the expected unit", lambda x: x * 100, 0),
    "× 1,000": ("1,000 times the expected unit", lambda x: x * 1000, 0),
    "/ 100": ("1/100 of the expected unit", lambda x: x / 100, 2),
}
COLUMNS = {
    "TEMP": (0, ("× 1.8 + 32", "+ 273.15", "× 100", "/ 100")),
    "PRES": (0, ("× 100", "/ 100")),
    "pm2.5": (0, ("× 1,000", "/ 100")),
    "Iws": (2, ("× 1.609344", "/ 0.3048", "× 100")),
}
OUTCOMES = ("right", "wrong", "weak", "not violated")


def windows(rows: pd.DataFrame) -> Iterator[tuple[str, dl.Baseline, pd.DataFrame]]:
    """Return each window with its length and its baseline."""
    start, end = rows["ts"].iloc[0], rows["ts"].iloc[-1]
    for reference_days in (365, 60):
        until = start + pd.Timedelta(days=reference_days)
        baseline = dl.Baseline.fit(rows[rows["ts"] < until], timestamp="ts")
        rng = np.random.default_rng(reference_days)
        for name, days in (("day", 1), ("week", 7)):
            for place in rng.choice((end - until).days // days, 2, replace=False).tolist():
                first = until + pd.Timedelta(days=place * days)
                inside = rows["ts"].between(first, first + pd.Timedelta(days=days), "left")
                yield name, baseline, rows[inside]


def outcome(window: pd.DataFrame, baseline: dl.Baseline, column: str, unit: str) -> str:
    """Return what is told of a column."""
    own = [one for one in dl.check(window, baseline).violations if one.feature_name == column]
    told = [one.fault.text for one in own if one.fault is not None]
    if not own or not told:
        return OUTCOMES[3 - bool(own)]
    return "right" if any(unit in f" {one}" for one in told) else "wrong"


def main() -> None:
    """Print the table."""
    rows = pd.read_parquet(Path(sys.argv[1]) / "prsa.parquet")
    rows = rows.assign(ts=pd.to_datetime(rows["ts"], utc=True)).sort_values("ts")
    found: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    clean = Counter[str]()
    for length, baseline, window in windows(rows):
        for column, (decimals, conversions) in COLUMNS.items():
            if window[column].notna().sum() < 10:
                continue
            clean[outcome(window, baseline, column, "")] += 1
            for words in conversions:
                unit, convert, more = CONVERSIONS[words]
                values = convert(window[column].astype(float))
                for written in (values, values.round(decimals + more)):
                    kind = "rounded" if written is not values else "as they are"
                    broken = window.assign(**{column: written})
                    found[words, length, kind][outcome(broken, baseline, column, unit)] += 1
    say = sys.stdout.write
    say(f"# Units of whole windows\n\n`bench/units.py`, {datetime.now(UTC):%Y-%m-%d}.\n\n")
    say(f"| conversion | window | values | {' | '.join(OUTCOMES)} |\n|{'---|' * 7}\n")
    total = sum(found.values(), Counter[str]())
    for key, counts in [*sorted(found.items()), (("all", "", ""), total)]:
        say(f"| {' | '.join([*key, *(str(counts[one]) for one in OUTCOMES)])} |\n")
    told = clean["right"] + clean["wrong"]
    say(f"\nA unit is told of {told} of {clean.total()} columns of the same windows as they are.\n")


if __name__ == "__main__":
    main()
