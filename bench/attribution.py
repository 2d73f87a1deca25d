"""What explaining a window of the demo's flights costs, and how sure the result is.

The demo's model is trained, saved and asked in a process of its own, as a scheduler does. CPU time
of both processes counts, not the wall. Prints a table; ``--write`` puts it into
bench/attribution.md. ``--clean 250`` counts false alarms in so many windows without a change, of
attributions with heavy tails, and windows in which a planted change is found.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from driftline.app.demo.flights import FEATURES, LABEL, load
from driftline.app.demo.model import pipeline, save
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.formats.source import open_source
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.kinds.attribution.evaluation import evaluate
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.attribution.importance import Importance
from driftline.monitors.kinds.attribution.ranking import ndcg
from driftline.monitors.kinds.attribution.shapley import explain
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts
from driftline.serving.hosting.model_process import ModelProcess, open_model

HERE = Path(__file__).parent
SIZES = ((100, 10), (200, 5), (200, 10), (400, 5), (1_000, 2), (1_000, 10))
TRUTH_BACKGROUND = 60
# Of windows without a change: rows of a reference, and windows beside each.
REFERENCE, WINDOWS = 3_000, 25
PLANTED = np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0])
START_US, DAY_US = 1_700_006_400_000_000, 86_400_000_000


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


def drawn(law: str, random: np.random.Generator, rows: int) -> np.ndarray:
    """Draw attributions of six features, shape (rows, 6), which count as 1, 1/2 ... 1/6."""
    shape = (rows, 6)
    found = {
        "normal": lambda: random.standard_normal(shape),
        "lognormal, sigma 1.5": lambda: np.exp(1.5 * random.standard_normal(shape)),
        "Student's t(3)": lambda: random.standard_t(3, shape),
        "a flag in 0.5% of rows": lambda: random.standard_normal(shape),
    }[law]() / np.arange(1, 7)
    if "flag" in law:
        found[:, 5] = np.where(random.random(rows) < 0.005, 50.0, 0.0)
    return found


def as_rows(values: np.ndarray, days: int) -> pa.Table:
    """Name the columns, and spread rows evenly over days; without times where there are none."""
    found = {f"f{at + 1}": column for at, column in enumerate(values.T)}
    if days:
        moments = START_US + np.arange(len(values)) * days * DAY_US // len(values)
        found["when"] = pa.array(moments, pa.timestamp("us", "UTC"))
    return pa.table(found)


def added(rows: pa.Table) -> np.ndarray:
    """Answer as a model whose attributions are its features, but for the background's mean."""
    return sum(rows[f"f{at}"].to_numpy() for at in range(1, 7))


def monitored(baseline: Baseline, rows: pa.Table, past: PastWindows) -> Report:
    """Judge a day as a monitor does, which keeps what follows from its baseline."""
    start = datetime.fromtimestamp(START_US / 1e6, UTC)
    facts = WindowFacts(Window(start, start + timedelta(days=1)))
    given = Rows(lambda: iter(rows.to_batches()), facts=facts)
    return evaluate(CheckContext(baseline, given, past=past))


def clean_windows(law: str, way: str, rows: int, count: int) -> str:
    """Count violations in windows without a change, and with the second feature's part doubled."""
    random = np.random.default_rng([rows, len(law), len(way)])
    days = 60 if way == "a monitor, of 60 days" else 0
    predict = added if way == "a function" else None
    flags, names, found = 0, dict[str, int](), 0
    for at in range(count):
        if at % WINDOWS == 0:
            reference = as_rows(drawn(law, random, REFERENCE), days)
            fitted = Baseline.fit(reference, timestamp="when" if days else None)
            baseline = explain_reference(open_source(reference), fitted, predict)
            past = PastWindows(drift_tests=DriftTestCache())
        windows = [
            as_rows(drawn(law, random, rows) * change, days // 60) for change in (1.0, PLANTED)
        ]
        if days:
            report, planted = (monitored(baseline, window, past) for window in windows)
        else:
            report, planted = (
                check(window, baseline, kind="attribution", predict=predict) for window in windows
            )
        flags += not report.passed
        found += not planted.passed
        for one in report.violations:
            names[one.feature_name] = names.get(one.feature_name, 0) + 1
    which = ", ".join(f"{name} {times}" for name, times in sorted(names.items()))
    year = f"{365 * flags / count:.1f}"
    return (
        f"| {law} | {way} | {rows:,} | {flags} of {count:,} | {year} | {which or '-'} | {found} |"
    )


def clean(count: int) -> None:
    """Print how many windows without a change are violations."""
    print(
        f"`python bench/attribution.py --clean {count}`: six features, references of "
        f"{REFERENCE:,} rows, {WINDOWS} windows each; ready attributions checked without times, or "
        "by a monitor of days, and a function that is asked about rows without times. One false "
        "alarm a year of days is one of 365 windows. Found: the second feature's attributions "
        "doubled.\n\n"
        "| attributions | reference | rows | violations | a year of days | which | found |\n"
        "|---|---|---|---|---|---|---|"
    )
    for law in ("normal", "lognormal, sigma 1.5", "Student's t(3)", "a flag in 0.5% of rows"):
        for way in ("a check, no times", "a monitor, of 60 days", "a function"):
            # Of a function at most 1,000 rows are asked about.
            for rows in (300,) if way == "a function" else (300, 3_000):
                print(clean_windows(law, way, rows, count), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="write bench/attribution.md")
    parser.add_argument("--clean", type=int, metavar="WINDOWS")
    options = parser.parse_args()
    if options.clean is not None:
        clean(options.clean)
        return
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
