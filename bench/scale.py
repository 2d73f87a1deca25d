"""How much faster a baseline and a check are with more processes, by Dask and by the local pool.

A scheduler and workers of one thread run as processes on this machine; the same files are read by
one worker and by two, in turns. The figure to look at is the ratio of the wall times: cores that
others use slow both. Prints a table; ``--write`` puts it into bench/scale.md with machine and date.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import distributed
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from driftline.baseline.store import Baseline
from driftline.monitors.check import check

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.servers.dask import dask_cluster  # noqa: E402 - the folder above is not installed

FILE_ROWS = 2_000_000
GROUP_ROWS = 1 << 18
NUMBERS, TEXTS = 20, 5
TARGET = 1.5


def make(folder: Path, files: int) -> int:
    """Write a file of 20 numeric and 5 text columns, and give it so many names; give the rows.

    The names are links: the disk holds it once, and every name is read and counted in full.
    """
    rng = np.random.default_rng(3)
    first = folder / "part-000.parquet"
    writer = None
    for at in range(0, FILE_ROWS, GROUP_ROWS):
        rows = min(GROUP_ROWS, FILE_ROWS - at)
        columns: dict[str, object] = {
            f"n{index}": np.round(rng.normal(10 * index, 1 + index, rows), 3)
            for index in range(NUMBERS)
        }
        for index in range(TEXTS):
            levels = np.array([f"v{level}" for level in range(10 * (index + 1))])
            columns[f"t{index}"] = levels[rng.integers(0, len(levels), rows)]
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(first, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    for number in range(1, files):
        os.link(first, folder / f"part-{number:03}.parquet")
    return files * FILE_ROWS


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """Run a cluster and have its workers import what they need before the clock runs."""
    place = folder / f"dask-{workers}"
    place.mkdir(exist_ok=True)
    with dask_cluster(place, workers=workers) as found:
        with distributed.Client(found.address, set_as_default=False) as client:
            client.run(_import)
        yield f"dask:{found.address}"


def _import() -> None:
    import driftline.monitors.kinds.data_quality.evaluation
    import driftline.monitors.kinds.data_quality.segments  # noqa: F401


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds that some work takes, and what came of it."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def measure(data: Path, scratch: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Return the least wall seconds of each work in each place; all results must be equal."""
    seconds: dict[str, dict[str, float]] = {"baseline": {}, "check": {}}
    with cluster(scratch, 1) as one, cluster(scratch, 2) as two:
        places = {
            "dask, 1 worker": {"engine": one},
            "dask, 2 workers": {"engine": two},
            "local, 1 process": {"jobs": 1},
            "local, 2 processes": {"jobs": 2},
        }
        versions, reports = set(), set()
        for turn in range(rounds):
            for name, place in places.items():
                spent, fitted = timed(lambda place=place: Baseline.fit(data, **place))
                assert isinstance(fitted, Baseline)
                versions.add(fitted.version)
                again, report = timed(
                    lambda place=place, fitted=fitted: check(data, fitted, **place)
                )
                reports.add(report.documents()["report.json"])
                for work, wall in (("baseline", spent), ("check", again)):
                    seconds[work][name] = min(wall, seconds[work].get(name, wall))
                print(f"round {turn + 1}: {name}: {spent:.1f} s, {again:.1f} s", file=sys.stderr)
    assert len(versions) == len(reports) == 1, "results differ"
    return seconds


def table(seconds: dict[str, dict[str, float]], rows: int) -> str:
    """Write the result as Markdown."""
    lines = [
        f"{rows:,} rows x {NUMBERS + TEXTS} columns, Parquet; wall seconds, best of the rounds.",
        "All results are equal, byte for byte.",
        "",
        "| work | " + " | ".join(seconds["baseline"]) + " | Dask 2 : 1 | local 2 : 1 |",
        "|---|" + "---:|" * (len(seconds["baseline"]) + 2),
    ]
    for work, walls in seconds.items():
        dask = walls["dask, 1 worker"] / walls["dask, 2 workers"]
        local = walls["local, 1 process"] / walls["local, 2 processes"]
        cells = " | ".join(f"{wall:.1f}" for wall in walls.values())
        lines.append(f"| {work} | {cells} | {dask:.2f} times | {local:.2f} times |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines += [
        "",
        f"Target: two Dask workers at least {TARGET} times as fast as one. Peak memory of the "
        f"process that asks and, locally, counts: {peak:.0f} MiB.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20, help="how many times 2 million rows")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="into bench/scale.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, scratch = Path(folder) / "data", Path(folder) / "scratch"
        data.mkdir()
        scratch.mkdir()
        rows = make(data, given.files)
        text = table(measure(data, scratch, given.rounds), rows)
    print(text)
    if given.write:
        machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
        head = f"# Scale-out\n\n{datetime.now(UTC):%Y-%m-%d}, {machine}, {platform.system()}\n\n"
        (HERE / "scale.md").write_text(head + text + "\n")


if __name__ == "__main__":
    main()
