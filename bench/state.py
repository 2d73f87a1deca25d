"""How much room a baseline takes, file by file, in KiB a column; two checkouts side by side.

Five made tables: a million rows without times, 200,000 over 90 days and over two years, texts of
many values, and a thousand columns. CPU seconds (fit, load, check of the last tenth of the rows)
are the least of the rounds, both checkouts in turn.

Prints Markdown: ``python bench/state.py ../before . > bench/state.md``.
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
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

SEED = 7
DOCUMENT = "statistics.json"
TABLES = {
    "1M x 25": (1_000_000, 20, 5, None),
    "200,000 x 25, 90 days": (200_000, 19, 5, 90),
    "200,000 x 25, 2 years": (200_000, 19, 5, 730),
    "texts: 200,000 x 8": (200_000, 0, 8, None),
    "5,000 x 1,000": (5_000, 800, 200, None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path()])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--measure", type=Path, help="measure one table with this checkout, as JSON"
    )
    given = parser.parse_args()
    if given.measure is not None:
        json.dump(measured(given.measure), sys.stdout)
        return
    names = [revision(one) for one in given.checkouts]
    print("# Room that a baseline takes\n")
    print(
        f"`bench/state.py`, {datetime.now(UTC):%Y-%m-%d}, {' and '.join(names)}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"{given.rounds} rounds. KiB a column, and CPU seconds in turn, the least of the rounds.\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, (rows, numbers, texts, days) in TABLES.items():
            place = Path(folder) / "rows.parquet"
            parquet.write_table(table(rows, numbers, texts, days), place)
            print(section(name, place, given), flush=True)


def section(name: str, place: Path, given: argparse.Namespace) -> str:
    """Return a table's lines: a file each, then what reads and writes them."""
    found: list[dict[str, float]] = [{} for _ in given.checkouts]
    for number in range(given.rounds):
        order = list(enumerate(given.checkouts))
        for at, checkout in order if number % 2 else reversed(order):
            for key, value in in_checkout(checkout.resolve(), place).items():
                found[at][key] = min(value, found[at].get(key, value))
    heads = " | ".join(revision(one) for one in given.checkouts)
    lines = [f"## {name}\n", f"| | {heads} |", f"|---|{'---:|' * len(found)}"]
    for key in sorted(set().union(*found), key=lambda one: (one.startswith("CPU"), one)):
        cells = " | ".join(f"{one[key]:.2f}" if key in one else "-" for one in found)
        lines.append(f"| {key} | {cells} |")
    return "\n".join(lines) + "\n"


def in_checkout(checkout: Path, place: Path) -> dict[str, float]:
    """Measure in a process of its own, with a checkout's code."""
    done = subprocess.run(
        [checkout / ".venv/bin/python", Path(__file__).resolve(), "--measure", place],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{checkout}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measured(place: Path) -> dict[str, float]:
    """Fit, save, load and check; return KiB a column by file, and CPU seconds."""
    # Another checkout's, where one is named: heavy, and not wanted by the process that prints.
    import driftline as dl

    rows = parquet.read_table(place)
    timestamp = "at" if "at" in rows.column_names else None
    found: dict[str, float] = defaultdict(float)
    start = time.process_time()
    baseline = dl.Baseline.fit(rows, timestamp=timestamp)
    found["CPU s: fit"] = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        baseline.save(folder)
        for file in (one for one in Path(folder).rglob("*") if one.is_file()):
            size = file.stat().st_size / 1024 / len(rows.column_names)
            found[f"`{file.name}`"] += size
            if file.name != DOCUMENT:
                found["**all but the document statistics.json**"] += size
        start = time.process_time()
        loaded = dl.Baseline.load(folder)
        found["CPU s: load"] = time.process_time() - start
    start = time.process_time()
    dl.check(rows.slice(len(rows) * 9 // 10), loaded)
    found["CPU s: check"] = time.process_time() - start
    return dict(found)


def table(rows: int, numbers: int, texts: int, days: int | None) -> pa.Table:
    """Return made rows: normal numbers, texts of twelve values or, alone, of very many."""
    rng = np.random.default_rng(SEED)
    columns: dict[str, object] = {}
    if days is not None:
        start = np.datetime64("2024-01-01T00:00:00", "us").astype(np.int64)
        times = np.sort(rng.integers(0, days * 86_400_000_000, rows)) + start
        columns["at"] = pa.array(times, pa.timestamp("us", tz="UTC"))
    columns |= {f"x{at}": rng.normal(size=rows) for at in range(numbers)}
    if numbers:
        levels = np.array([f"level {at}" for at in range(12)])
        return pa.table(
            columns | {f"t{at}": levels[rng.integers(0, 12, rows)] for at in range(texts)}
        )
    for at, most in enumerate((3_000, 20_000, 200_000)):
        drawn = np.minimum(rng.zipf(1.2, rows), most)
        columns[f"zipf{at}"] = np.char.add("customer-", drawn.astype("U"))
        columns[f"even{at}"] = np.char.add("city of ", rng.integers(0, most, rows).astype("U"))
    words = np.array([f"word{at}" for at in range(500)])
    columns["free"] = [" ".join(words[rng.integers(0, 500, 8)]) for _ in range(rows)]
    columns["id"] = np.char.add("user-", np.arange(rows).astype("U"))
    return pa.table(columns)


def revision(checkout: Path) -> str:
    """Return the short name of a checkout's commit."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
