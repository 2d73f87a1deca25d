"""What the kind "attribution" says of the demo's year, of years without a change, and of faults.

Prints three tables; ``--write`` puts them below the first one of bench/attribution.md.

- The year: each week against the baseline of the first quarter, as the demo's monitor does.
- Years without a change: 52 of the reference's whole weeks, drawn with replacement, against these
  weeks, and against as many drawn from them; the rows of the two are never the same.
- Faults planted into each week of the first quarter.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.app.demo.flights import EVENT_TIME, FEATURES, LABEL, Flights, load
from driftline.app.demo.model import pipeline, save
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.formats.source import open_source
from driftline.monitors.check_context import CheckContext, Predictor
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.attribution.blocks import block_spread, block_tail
from driftline.monitors.kinds.attribution.drift import compare, settle
from driftline.monitors.kinds.attribution.evaluation import evaluate
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.attribution.importance import Attributions, Importance
from driftline.monitors.kinds.attribution.shapley import explain
from driftline.monitors.kinds.catalog import complete
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts
from driftline.serving.hosting.model_process import open_model

HERE = Path(__file__).parent
MARK = "\n## The year\n"
WEEK = timedelta(weeks=1)
WEEK_US = 7 * 86_400_000_000
BUDGET = Budget(1.0, 52.0)
# Rows explained of each week of the reference for the years without a change, and of a window.
POOL, WINDOW_ROWS = 500, 214
# Whole weeks of the reference, and rows explained of each of them for it.
WEEKS, HELD = 12, 154

Fault = Callable[[pa.Table], pa.Table]


def judge(baseline: Baseline, rows: pa.Table, start: datetime, predict: Predictor) -> Report:
    """Judge a week as its monitor would."""
    facts = WindowFacts(Window(start, start + WEEK))
    return evaluate(
        CheckContext(
            baseline,
            Rows(lambda: iter(rows.to_batches()), facts=facts),
            budget=BUDGET,
            predict=predict,
        )
    )


def the_year(baseline: Baseline, flights: Flights, predict: Predictor) -> list[str]:
    """List the weeks with a violation, with and without knowing the hours."""
    stored = Attributions.from_arrow(baseline.attributions)
    older = Attributions(**{**vars(stored), "hours": None})
    before = Baseline(**{**vars(baseline), "attributions": older.to_arrow()})
    lines = []
    for week in range(52):
        start = flights.start + week * WEEK
        rows = flights.between(start, start + WEEK)
        now, then = (judge(one, rows, start, predict) for one in (baseline, before))
        if now.passed and then.passed:
            continue
        lines.append(f"| {week + 1} | {start:%d %b} | {told(then)} | {told(now)} |")
    return lines


def told(report: Report) -> str:
    return "-" if report.passed else "; ".join(one.cause for one in report.violations)


def pools_of(flights: Flights, stored: Attributions, predict: Predictor) -> list[np.ndarray]:
    """Explain rows of each whole week of the reference, shape (POOL, features) each."""
    random = np.random.default_rng(0)
    found = []
    for week in range(WEEKS):
        start = flights.start + week * WEEK
        rows = flights.between(start, start + WEEK).select(FEATURES)
        chosen = rows.take(pa.array(random.choice(rows.num_rows, POOL, replace=False)))
        values = explain(chosen, stored.background, predict, seed=week).values[:, 0]
        found.append(np.abs(values).astype(np.float32))
    return found


def years(features: tuple[str, ...], pools: list[np.ndarray], count: int) -> np.ndarray:
    """Count violations in years without a change, shape (3, count).

    Row 0: the reference has each week once. Else its weeks are drawn too, with replacement: row 1
    counts windows of weeks that it has, row 2 of weeks that it lacks.
    """
    random = np.random.default_rng(0)
    flags = np.zeros((3, count), dtype=int)
    for year in range(count):
        mixed = [random.permutation(pool) for pool in pools]
        for drawn in (np.arange(WEEKS), random.integers(0, WEEKS, WEEKS)):
            rows = np.concatenate(
                [random.permutation(mixed[one][: 2 * HELD])[:HELD] for one in drawn]
            )
            reference = Importance.of_rows(features, rows)
            spread = block_spread(rows, np.repeat(np.arange(WEEKS) * WEEK_US, HELD), WEEK_US)
            tail = block_tail(rows, spread, WINDOW_ROWS, seed=0)
            is_whole = len(set(drawn.tolist())) == WEEKS
            for week in random.integers(0, WEEKS, 52):
                pool = mixed[week][2 * HELD :]
                own = pool[random.integers(0, len(pool), WINDOW_ROWS)]
                window = Importance.of_rows(features, own)
                (one,) = settle([compare(reference, window, tail, spread)], 1 / 52)
                at = 0 if is_whole else 1 if week in drawn else 2
                flags[at, year] += bool(one.order or one.level or one.moved.any())
    return flags


def put(rows: pa.Table, name: str, values: np.ndarray, where: np.ndarray) -> pa.Table:
    own = np.where(where, values, rows[name].cast(pa.float64()).to_numpy())
    column = pa.array(own, from_pandas=True).cast(rows[name].type, safe=False)
    return rows.set_column(rows.column_names.index(name), name, column)


def faults() -> dict[str, Fault]:
    """Name what is planted."""
    found: dict[str, Fault] = {}

    def some(rows: pa.Table, share: float) -> np.ndarray:
        return np.random.default_rng(1).random(rows.num_rows) < share

    def noise(name: str, share: float, low: float, high: float) -> Fault:
        return lambda rows: put(
            rows,
            name,
            np.floor(np.random.default_rng(2).uniform(low, high, rows.num_rows)),
            some(rows, share),
        )

    for share in (0.25, 0.5, 1.0):
        found[f"hour: noise, 0 to 23, in {share:.0%} of rows"] = noise("hour", share, 0, 24)
        found[f"visib: noise, 0 to 10, in {share:.0%} of rows"] = noise("visib", share, 0, 11)
        found[f"visib: stuck at 0 in {share:.0%} of rows"] = noise("visib", share, 0, 0.5)
        found[f"precip: stuck at 1 in {share:.0%} of rows"] = noise("precip", share, 1, 1.5)
    for airports in (("EWR",), ("EWR", "JFK"), ("EWR", "JFK", "LGA")):

        def celsius(rows: pa.Table, airports: tuple[str, ...] = airports) -> pa.Table:
            here = pc.is_in(rows["origin"], pa.array(airports)).to_numpy()
            return put(rows, "temp", (rows["temp"].to_numpy() - 32) / 1.8, here)

        found[f"temp in Celsius at {', '.join(airports)}"] = celsius
    return found


def planted(baseline: Baseline, flights: Flights, predict: Predictor) -> list[str]:
    lines = []
    for name, fault in faults().items():
        seen, moved = 0, {}
        for week in range(WEEKS):
            start = flights.start + week * WEEK
            report = judge(baseline, fault(flights.between(start, start + WEEK)), start, predict)
            seen += not report.passed
            for one in report.metrics:
                if one.violated:
                    moved[one.name] = moved.get(one.name, 0) + 1
        by = ", ".join(f"{name} {count}" for name, count in sorted(moved.items()))
        lines.append(f"| {name} | {seen} of {WEEKS} | {by or '-'} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="write bench/attribution.md")
    options = parser.parse_args()
    flights = load(datetime(2026, 11, 18, tzinfo=UTC))
    reference = flights.reference()
    known = reference[LABEL].is_valid().to_numpy()
    rows = reference.select(FEATURES).to_pandas()[known]
    model = pipeline().fit(rows, reference[LABEL].drop_null().to_numpy())
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "late.skops")
        with open_model(Path(folder) / "late.skops", trust_pickle=False) as predict:
            fitted = Baseline.fit(reference, label=LABEL, timestamp=EVENT_TIME)
            baseline = complete(explain_reference(open_source(reference), fitted, predict))
            stored = Attributions.from_arrow(baseline.attributions)
            year = the_year(baseline, flights, predict)
            pools = pools_of(flights, stored, predict)
            flags = years(stored.features, pools, options.years)
            found = planted(baseline, flights, predict)
    text = "\n".join(
        [
            MARK,
            f"`python bench/attribution_year.py --years {options.years}`. Weekly windows of "
            f"{WINDOW_ROWS} explained rows, {len(stored.hours):,} of the reference, one false "
            "alarm a year. Weeks 1-12 are inside the reference, the 13th ends with it. "
            '"Independent" is how an older baseline, without hours, is judged.',
            "",
            "| week | from | rows independent | weeks of the reference known |",
            "|---|---|---|---|",
            *year,
            "",
            "## Years without a change",
            "",
            f"{options.years} years of 52 weeks, drawn from the reference's {WEEKS} whole ones. "
            f"Against a reference of all {WEEKS}: {flags[0].mean():.2f} violations a "
            f"monitor-year (the worst year {flags[0].max()}). Against references whose weeks are "
            f"drawn as well: {flags[1].mean():.2f} in weeks that such a reference has, "
            f"{flags[2].mean():.2f} in weeks that it lacks.",
            "",
            "## Planted faults",
            "",
            "| fault, in each of the weeks 1-12 | seen in | violated in so many weeks |",
            "|---|---|---|",
            *found,
        ]
    )
    print(text)
    if options.write:
        before = (HERE / "attribution.md").read_text().split(MARK)[0]
        (HERE / "attribution.md").write_text(before.rstrip("\n") + "\n" + text + "\n")


if __name__ == "__main__":
    main()
