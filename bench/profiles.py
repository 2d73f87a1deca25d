"""How long profiling takes, beside bare reading of the same Parquet file.

Prints a table; ``--write`` puts it into bench/profiles.md with machine and date. Readings and
profiles take turns, so that a busy machine slows both; the figure to look at is the ratio.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.formats.source import open_source

HERE = Path(__file__).parent
SHAPES = {"tall": (1_000_000, 25), "wide": (200_000, 60)}


def make(path: Path, rows: int, columns: int) -> None:
    """Write a table of 60% decimal numbers, 20% whole numbers, 16% text and one time."""
    rng = np.random.default_rng(7)
    texts = columns * 16 // 100
    wholes = columns * 20 // 100
    data: dict[str, pa.Array] = {
        "time": pa.array(1_700_000_000_000_000 + np.arange(rows) * 3_000_000).cast(
            pa.timestamp("us", "UTC")
        )
    }
    for index in range(texts):
        names = np.array([f"level-{number:04d}" for number in range(min(4 * 10**index, 40_000))])
        data[f"text{index}"] = pa.array(
            names[(rng.pareto(1.1, rows) * 3).astype(np.int64) % len(names)]
        )
    for index in range(wholes):
        data[f"whole{index}"] = pa.array(rng.poisson(10 * 4**index, rows))
    for index in range(columns - 1 - texts - wholes):
        data[f"number{index}"] = pa.array(rng.lognormal(index / 10, 1.0, rows).round(index % 8))
    pq.write_table(pa.table(data), path)


def read(path: Path) -> None:
    """Read every batch, and nothing else."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1 << 17):
        batch.num_rows  # noqa: B018


def profile(path: Path, reference: Baseline) -> None:
    """Profile as a monitor does with a window: counts on the reference's cells included."""
    found = Profile.empty(reference.signature, reference.cells)
    for batch in open_source(path).batches():
        found.update(batch)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return seconds on the wall and of all cores together."""
    wall, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cores


def measure(rows: int, columns: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median seconds of each kind of work."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.parquet"
        make(path, rows, columns)
        reference = Baseline.fit(path)
        works: dict[str, Callable[[], object]] = {
            "read": lambda: read(path),
            "profile": lambda: profile(path, reference),
            "fit": lambda: Baseline.fit(path),
            "fit with event time": lambda: Baseline.fit(path, timestamp="time"),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                times[name].append(timed(work))
    return {
        name: (statistics.median(w for w, _ in found), statistics.median(c for _, c in found))
        for name, found in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write bench/profiles.md")
    options = parser.parse_args()
    lines = [
        "# Profiling beside bare reading",
        "",
        f"`python bench/profiles.py --rounds {options.rounds}`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, numpy {np.__version__}, pyarrow {pa.__version__}. "
        "Medians in seconds; the ratio is to reading the same Parquet file and doing nothing.",
        "",
        "| rows x columns | work | wall s | ratio to read | CPU s | ratio to read |",
        "|---|---|---|---|---|---|",
    ]
    for rows, columns in SHAPES.values():
        found = measure(rows, columns, options.rounds)
        wall, cores = found["read"]
        lines += [
            f"| {rows:,} x {columns} | {name} | {mine:.2f} | {mine / wall:.1f} "
            f"| {cpu:.2f} | {cpu / cores:.1f} |"
            for name, (mine, cpu) in found.items()
        ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        (HERE / "profiles.md").write_text(text)


if __name__ == "__main__":
    main()
