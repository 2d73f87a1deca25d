"""How long bias takes: all metrics of five facets on a million rows, from Arrow and from counts.

Prints Markdown: ``python bench/bias.py > bench/bias.md``.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.bias.facet_counts import count_batches
from driftline.monitors.kinds.bias.judgement import GroupCounts, judge_groups
from driftline.monitors.kinds.bias.metrics import Pair, measure
from driftline.roles import Facet, Roles

ROWS = 1_000_000
FACETS = (
    Facet("sex", ("1",)),
    Facet("region"),
    Facet("kind"),
    Facet("age", (), 40.0),
    Facet("plan"),
)


def make(seed: int) -> pa.Table:
    """Make rows of five groupings, three as text, and answers."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01", "us")
    times = start + np.sort(rng.integers(0, 90 * 86_400_000_000, ROWS))
    return pa.table(
        {
            "sex": rng.integers(0, 2, ROWS),
            "region": rng.choice(["north", "south", "east", "west"], ROWS),
            "kind": rng.choice([f"kind-{one}" for one in range(6)], ROWS),
            "age": rng.uniform(18, 80, ROWS),
            "plan": rng.choice(["basic", "plus", "pro"], ROWS),
            "branch": rng.choice([f"branch-{one}" for one in range(20)], ROWS),
            "truth": rng.integers(0, 2, ROWS),
            "answer": rng.integers(0, 2, ROWS),
            "time": pa.array(times).cast(pa.timestamp("us", "UTC")),
        }
    )


def seconds(work: Callable[[], object], times: int = 5) -> str:
    """Return the median and the best of several runs, of processor time too."""
    taken, busy = [], []
    for _ in range(times):
        clock, own = time.perf_counter(), time.process_time()
        work()
        taken.append(time.perf_counter() - clock)
        busy.append(time.process_time() - own)
    return f"{statistics.median(taken):.3f} | {min(taken):.3f} | {min(busy):.3f}"


def main() -> None:
    """Measure and print."""
    table = make(1)
    roles = Roles(
        label="truth", prediction="answer", positive="1", problem="binary", group="branch"
    )
    counted = [Facet(one.column, (), one.threshold) for one in FACETS]
    tallies, _ = count_batches(table.to_batches(max_chunksize=1 << 16), roles, counted)
    pairs = [Pair.of(tally.pair([value])) for tally in tallies.values() for value in tally.values]
    groups = [GroupCounts("facet", str(i), one.counts, one.counts) for i, one in enumerate(pairs)]

    def count_and_measure() -> None:
        found, _ = count_batches(table.to_batches(max_chunksize=1 << 16), roles, counted)
        for facet in counted:
            for value in found[facet].values:
                measure(Pair.of(found[facet].pair([value])), stratified=True)

    def measured() -> None:
        for one in pairs:
            measure(one, stratified=True)

    print(f"# Bias: {ROWS:,} rows, five facets ({len(pairs)} groups), 20 strata\n")
    print("| what | median s | best s | processor s |")
    print("|---|---|---|---|")
    print("| count from Arrow, all metrics |", seconds(count_and_measure), "|")
    print("| all metrics from counts |", seconds(measured), "|")
    judged = seconds(lambda: judge_groups(groups, stratified=True, budget=Budget()))
    print("| the same with intervals and judgement |", judged, "|")
    baseline = Baseline.fit(
        table, label="truth", prediction="answer", timestamp="time", group="branch", facet=FACETS
    )
    window = make(2)
    whole = seconds(lambda: check(window, baseline, kind="bias"), 3)
    print("| a whole check, reference of as many rows counted by blocks of time |", whole, "|")
    print(
        f"\nMeasured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
        f"{np.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}."
    )


if __name__ == "__main__":
    main()
