"""What the search for segments costs: a check of a clean table, and of one with 17 violations.

Then with times, of a clean table and of one in which a whole level changed, or all rows did.

python bench/segments_cost.py [ROWS] [COLUMNS]     # CPU seconds, the least of two runs each
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pyarrow as pa

import driftline as dl

REFERENCE_ROWS = 200_000
LEVELS = (3, 5, 8, 12, 20, 30, 40, 2, 6)
RUNS = 2


def drawn(rng: np.random.Generator, rows: int, columns: int) -> dict[str, np.ndarray]:
    """Draw independent texts, two fifths of the columns, and numbers."""
    texts = columns * 2 // 5
    found: dict[str, np.ndarray] = {
        f"t{at}": rng.choice([f"v{one}" for one in range(LEVELS[at % 9])], rows)
        for at in range(texts)
    }
    return found | {f"x{at}": rng.normal(50, 10, rows) for at in range(columns - texts)}


def planted(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Break eleven numbers, seven of them in segments, and two texts."""
    rng = np.random.default_rng(3)
    found = dict(rows)
    count = len(rows["t0"])
    for at in range(4):  # Gaps in one level, two checks each.
        found[f"x{at}"] = np.where(rows[f"t{at}"] == "v1", np.nan, rows[f"x{at}"])
    for at in range(4, 7):  # Of two conditions.
        inside = (rows["t1"] == "v2") & (rows[f"t{at}"] == "v3")
        found[f"x{at}"] = np.where(inside, rows[f"x{at}"] * 1000, rows[f"x{at}"])
    for at in range(7, 9):  # Anywhere.
        found[f"x{at}"] = np.where(rng.random(count) < 0.05, -999.0, rows[f"x{at}"])
    for at in range(9, 11):  # Everywhere.
        found[f"x{at}"] = rows[f"x{at}"] + 5
    for at in (7, 8):
        found[f"t{at}"] = np.where(rng.random(count) < 0.03, "new", rows[f"t{at}"])
    return found


def changed(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Move four numbers in all rows of a level, and eight in all rows."""
    found = dict(rows)
    for at in range(4):
        found[f"x{at}"] = rows[f"x{at}"] + np.where(rows[f"t{at}"] == "v1", 100, 0)
    for at in range(4, 12):
        found[f"x{at}"] = rows[f"x{at}"] + 100
    return found


def timed(rows: dict[str, np.ndarray], start: str, days: int) -> pa.Table:
    """Spread rows over so many days."""
    begin, count = np.datetime64(start, "us"), len(rows["t0"])
    ts = begin + (np.arange(count) * (days * 86_400_000_000 / count)).astype("timedelta64[us]")
    return pa.table(rows | {"ts": pa.array(ts, pa.timestamp("us", "UTC"))})


def main() -> None:
    """Print the CPU seconds of both checks, and how many violations were found and placed."""
    rows, columns = (int(one) for one in (*sys.argv[1:3], 1_000_000, 25)[:2])
    rng = np.random.default_rng(1)
    reference = drawn(rng, min(rows, REFERENCE_ROWS), columns)
    plain = dl.Baseline.fit(pa.table(reference))
    by_time = dl.Baseline.fit(timed(reference, "2025-01-01", 60), timestamp="ts")
    clean = drawn(rng, rows, columns)
    for name, baseline, table in (
        ("clean", plain, pa.table(clean)),
        ("violations", plain, pa.table(planted(clean))),
        ("timed, clean", by_time, timed(clean, "2025-03-02", 1)),
        ("timed, whole levels and all rows", by_time, timed(changed(clean), "2025-03-02", 1)),
    ):
        spent = []
        for _ in range(RUNS):
            before = time.process_time()
            report = dl.check(table, baseline)
            spent.append(time.process_time() - before)
        placed = sum(one.segment is not None for one in report.violations)
        runs = ", ".join(f"{one:.2f}" for one in spent)
        found = f"{len(report.violations)} violations, {placed} placed"
        sys.stdout.write(f"{name}: {min(spent):.2f} s CPU (runs {runs}), {found}\n")


if __name__ == "__main__":
    main()
