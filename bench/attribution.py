"""What explaining a window of the demo's flights costs, and how sure the result is.

The demo's model is trained, saved and asked in a process of its own, as a scheduler does. CPU time
of both processes counts, not the wall. Prints a table; ``--write`` puts it into
bench/attribution.md.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from driftline.app.demo.flights import FEATURES, LABEL, load
from driftline.app.demo.model import pipeline, save
from driftline.monitors.kinds.attribution.importance import Importance
from driftline.monitors.kinds.attribution.ranking import ndcg
from driftline.monitors.kinds.attribution.shapley import explain
from driftline.serving.hosting.model_process import ModelProcess, open_model

HERE = Path(__file__).parent
SIZES = ((100, 10), (200, 5), (200, 10), (400, 5), (1_000, 2), (1_000, 10))
TRUTH_BACKGROUND = 60


def cpu_s(process: ModelProcess) -> float:
    """Return the CPU seconds of this process and of the model's so far."""
    fields = Path(f"/proc/{process.process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / 100


def importance(
    process: ModelProcess, rows: pa.Table, background: pa.Table, seed: int
) -> tuple[Importance, float]:
    """Explain rows, and say what it cost in CPU seconds."""
    before = cpu_s(process)
    found = explain(rows, background, process, seed=seed)
    cost = cpu_s(process) - before
    size = np.abs(found.values[:, 0]).astype(np.float32)
    return Importance.of_rows(rows.column_names, size), cost


def measure(process: ModelProcess, rows: pa.Table, rounds: int) -> list[str]:
    random = np.random.default_rng(0)

    def draw(count: int) -> pa.Table:
        return rows.take(pa.array(random.choice(rows.num_rows, count, replace=False)))

    fixed = draw(300)
    truth, _ = importance(process, fixed, draw(TRUTH_BACKGROUND), 0)
    lines = []
    for count, depth in SIZES:
        costs, spread, near, off = [], [], [], []
        background = draw(depth)
        for seed in range(rounds):
            one, cost = importance(process, draw(count), background, seed)
            costs.append(cost)
            spread.append(one.shares)
            its, _ = importance(process, fixed, draw(depth), seed)
            near.append(ndcg(truth.mean, its.mean)[0])
            off.append(np.abs(its.shares - truth.shares).max())
        cost = float(np.median(costs))
        error = float(np.std(spread, axis=0).max())
        lines.append(
            f"| {count:,} | {depth} | {cost:.2f} | {52 * cost:.1f} | {error:.3f} "
            f"| {np.mean(near):.3f} | {np.mean(off):.3f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="write bench/attribution.md")
    options = parser.parse_args()
    flights = load(datetime(2026, 11, 18, tzinfo=UTC)).reference()
    known = flights[LABEL].is_valid().to_numpy()
    rows = flights.select(FEATURES)
    model = pipeline().fit(rows.to_pandas()[known], flights[LABEL].drop_null().to_numpy())
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "late.skops")
        with open_model(Path(folder) / "late.skops", trust_pickle=False) as process:
            process(rows.slice(0, 10))
            started = cpu_s(process) - time.process_time()
            before = cpu_s(process)
            process(rows)
            per_row = (cpu_s(process) - before) / rows.num_rows
            table = measure(process, rows, options.rounds)
    text = "\n".join(
        [
            "# Explaining a window",
            "",
            f"`python bench/attribution.py --rounds {options.rounds}`, "
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, Python "
            f"{platform.python_version()}, numpy {np.__version__}, pyarrow {pa.__version__}. "
            "Histogram-boosted trees on 15 columns, three of them text, in a process of its own; "
            "CPU seconds of both processes. "
            f"Starting it: {started:.1f} s. Asking: {per_row * 1e6:.1f} µs a row "
            f"({1 / per_row:,.0f} rows a second), the way there and back included.",
            "",
            "| rows | background | CPU s a window | 52 weeks | error of a share (sd, largest) "
            f"| NDCG to {TRUTH_BACKGROUND} background rows | largest share off |",
            "|---|---|---|---|---|---|---|",
            *table,
            "",
            "The error is what the sample of rows leaves, with the background fixed; the last two "
            "columns are what drawing other background rows changes, on 300 fixed rows. The latter "
            "cancels in a comparison, for a window is explained against the reference's own.",
        ]
    )
    print(text)
    if options.write:
        (HERE / "attribution.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
