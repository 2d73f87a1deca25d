"""All bias metrics of seven facets over ten million rows, beside reading the same columns.

A Parquet file of ten million rows is read by pyarrow alone, and judged by ``driftline.check``, in
turns, in one process, each with one thread. CPU seconds, medians. With ``--write`` the table goes
into bench/bias_rows.md.
"""

from __future__ import annotations

import argparse
import cProfile
import platform
import pstats
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import driftline as dl
from driftline.roles import Facet

HERE = Path(__file__).parent
PART = 1 << 20
FACETS = (
    Facet("sex", ("1",)),
    Facet("region"),
    Facet("kind"),
    Facet("age", (), 40.0),
    Facet("plan"),
    # Rows of two columns at once, looked up once for all facets.
    Facet.parse("sex=1 & age>40"),
    Facet.parse("region & plan"),
)
TEXTS = {
    "region": ["north", "south", "east", "west"],
    "kind": [f"kind-{one}" for one in range(6)],
    "plan": ["basic", "plus", "pro"],
    "branch": [f"branch-{one}" for one in range(20)],
}
# What is asked for: facets, stratum, label, prediction, time. Features lie beside them.
COLUMNS = ("sex", "region", "kind", "age", "plan", "branch", "truth", "answer", "time")
FEATURES = 10


def make(rows: int, seed: int) -> pa.Table:
    """Make rows of five groupings, three as text, answers, a stratum and features."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01", "us")
    times = start + np.sort(rng.integers(0, 90 * 86_400_000_000, rows))
    texts = {
        name: pa.DictionaryArray.from_arrays(
            rng.integers(0, len(values), rows).astype(np.int32), values
        ).dictionary_decode()
        for name, values in TEXTS.items()
    }
    return pa.table(
        {
            "sex": rng.integers(0, 2, rows),
            "age": rng.integers(180, 800, rows) / 10,
            **texts,
            "truth": rng.integers(0, 2, rows),
            "answer": rng.integers(0, 2, rows),
            "time": pa.array(times).cast(pa.timestamp("us", "UTC")),
            **{f"feature {at}": rng.normal(size=rows) for at in range(FEATURES)},
        }
    )


def cpu_s(work: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds of one run."""
    wall, own = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - own, time.perf_counter() - wall


def read(path: Path, coded: list[str] | None = None) -> int:
    """Read the columns, batch by batch, some as numbers of a dictionary, and give their rows."""
    file = pq.ParquetFile(path, read_dictionary=coded)
    batches = file.iter_batches(columns=list(COLUMNS), use_threads=False)
    return sum(batch.num_rows for batch in batches)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--write", action="store_true", help="write bench/bias_rows.md")
    chosen = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    baseline = dl.Baseline.fit(
        make(100_000, 0).select(COLUMNS), label="truth", prediction="answer", timestamp="time",
        group="branch", facet=FACETS, positive=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        with pq.ParquetWriter(path, make(1, 0).schema) as writer:
            for at in range(0, chosen.rows, PART):
                writer.write_table(make(min(PART, chosen.rows - at), at + 1))

        def check() -> None:
            report = dl.check(path, baseline, kind="bias")
            assert report.row_count == chosen.rows

        if chosen.profile:
            with cProfile.Profile() as profile:
                check()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        works = {
            f"reading {len(COLUMNS)} columns, pyarrow": lambda: read(path),
            "the same, texts as numbers of a dictionary": lambda: read(path, [*TEXTS]),
            '`dl.check(kind="bias")`': check,
        }
        runs = [[cpu_s(work) for work in works.values()] for _ in range(chosen.rounds)]
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    lines = ["| what | CPU s, median | least | most | wall s, median |", "|---|---|---|---|---|"]
    for name, seconds in zip(works, np.array(runs).transpose(1, 2, 0), strict=True):
        cpu, wall = seconds
        lines.append(
            f"| {name} | {np.median(cpu):.2f} | {cpu.min():.2f} | {cpu.max():.2f} "
            f"| {np.median(wall):.2f} |"
        )
    ratios = [check[0] / plain[0] for plain, _, check in runs]
    lines += [
        "",
        f"Check over reading, by round: {', '.join(f'{one:.2f}' for one in ratios)}; median "
        f"**{statistics.median(ratios):.2f}**. Memory grew by {memory:.0f} MiB at most.",
    ]
    text = "\n".join(
        [
            f"# Bias over {chosen.rows:,} rows",
            "",
            f"`python bench/bias_rows.py`, {datetime.now(UTC):%Y-%m-%d}, Python "
            f"{platform.python_version()}, numpy {np.__version__}, pyarrow {pa.__version__}, one "
            f"thread. Seven facets (three of text, one split by a threshold, two of two columns), "
            f"{FEATURES} features beside them that neither side reads, a stratum, labels, "
            "predictions and times, in one Parquet file on a warm disk; each round does all in "
            "turns. The check opens the file, measures and judges all metrics of 28 groups and "
            "writes nothing.",
            "",
            *lines,
        ]
    )
    print(text)
    if chosen.write:
        (HERE / "bias_rows.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
