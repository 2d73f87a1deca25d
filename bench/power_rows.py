"""What outliers and joint drift find of a planted change, and how often without one.

As bench/power.py: a reference of 60 days of 500 rows, windows of one day, rows independent, days
that differ, or days that resemble the day before; the whole path of a check, from rows to report.
Outliers: five columns of numbers, days differ by their scale, planted rows have one value eight
deviations out; the two-sample test is Fisher's exact one of the outliers of both sides.
Joint: four columns, the first two of correlation 0.8, which days move; the two-sample tests
are Fisher's z of the six pairs, and Mann and Whitney's of the
scores of a classifier. NannyML's rules: beyond three standard deviations of the reference's chunks,
for a classifier an AUC over 0.65. Neither AWS nor Evidently has a rule of these.
Prints Markdown: ``python -m bench.power_rows``.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

import driftline as dl
from bench.power import (
    BUDGET,
    DAY_ROWS,
    DAYS,
    LATER,
    STREAMS,
    Kind,
    Said,
    effects,
    heads,
    lines,
    times,
)
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.joint.classifier import ROWS_MAX
from driftline.monitors.kinds.joint.evaluation import evaluate as evaluate_jointly
from driftline.monitors.kinds.joint.judgement import SHARES
from driftline.monitors.kinds.outliers.evaluation import evaluate as evaluate_outliers
from driftline.monitors.kinds.outliers.scorer import row_scorer
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.rows import Rows, WindowFacts
from driftline.roles import Roles

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBERS, FAR = 5, 8.0
CORRELATION = 0.8
# NannyML's limit of a classifier's AUC.
TOLD_APART = 0.65
# Rows of a reference that driftline keeps.
SAMPLED = 20_000
# What one window is told by each question.
Answers = Mapping[str, Said]
Judge = Callable[[int, float], Answers]
Evaluate = Callable[[CheckContext], Report]


def table(values: np.ndarray, days: np.ndarray | None = None) -> pa.Table:
    """Name the columns; with times where the rows' days are given."""
    found = {f"c{place}": column for place, column in enumerate(values.T)}
    if days is not None:
        found["at"] = np.concatenate(
            [times(day, int((days == day).sum())) for day in np.unique(days)]
        )
        found["at"] = pa.array(found["at"], pa.timestamp("us", "UTC"))
    return pa.table(found)


class Both:
    """The same reference with its rows' times and without."""

    def __init__(self, values: np.ndarray, evaluate: Evaluate) -> None:
        days = np.repeat(np.arange(DAYS), DAY_ROWS)
        self.timed: Baseline = dl.Baseline.fit(table(values, days), timestamp="at")
        self._untimed = dl.Baseline.fit(table(values))
        self._evaluate = evaluate

    def judge(self, values: np.ndarray) -> dict[str, Report]:
        """Judge a window of one day by both."""
        start = EPOCH + timedelta(days=LATER)
        facts = WindowFacts(Window(start, start + timedelta(days=1)))
        timed = table(values, np.full(len(values), LATER))
        return {
            name: self._evaluate(CheckContext(baseline, rows, Roles(), BUDGET))
            for name, baseline, rows in (
                ("timed", self.timed, Rows(lambda: iter(timed.to_batches()), facts=facts)),
                ("untimed", self._untimed, Rows(lambda: iter(table(values).to_batches()))),
            )
        }


def outliers_year(rng: np.random.Generator, stream: str) -> Judge:
    """Return the judge of windows of a new reference; days differ in the scale of all numbers."""
    days = effects(rng, "outliers", stream)

    def drawn(rows: int, effect: float, planted: float = 0.0) -> np.ndarray:
        values = rng.normal(0.0, math.exp(effect), (rows, NUMBERS))
        values[rng.random(rows) < planted, 0] = FAR
        return values

    parts = [drawn(DAY_ROWS, next(days)) for _ in range(DAYS)]
    for _ in range(LATER - DAYS):
        next(days)
    both = Both(np.concatenate(parts), evaluate_outliers)
    scorer = row_scorer(both.timed)
    held = int((scorer.sample_scores >= scorer.threshold).sum())
    chunks = [
        float((scorer.score(table(part).to_batches()[0]) >= scorer.threshold).mean())
        for part in parts
    ]  # fmt: skip

    def judge(rows: int, planted: float) -> Answers:
        reports = both.judge(drawn(rows, next(days), planted))
        told = {name: one.metrics[0] for name, one in reports.items()}
        rings = {name: one.severity is not None for name, one in told.items()}
        p_values = {name: _p_value(one) for name, one in told.items()}
        count = round((told["timed"].value or 0.0) * rows)
        usual = len(scorer.sample_scores)
        p_values["two-sample"] = float(
            stats.hypergeom.sf(count - 1, usual + rows, held + count, rows)
        )
        rings["two-sample"] = p_values["two-sample"] < BUDGET.per_window
        rings["NannyML"] = bool(abs(count / rows - np.mean(chunks)) > 3 * np.std(chunks))
        return {"share": Said(rings, p_values)}

    return judge


def joint_year(rng: np.random.Generator, stream: str) -> Judge:
    """Return the judge of windows of a new reference; days differ in one pair's correlation."""
    days = effects(rng, "joint", stream)

    def drawn(rows: int, effect: float, rho: float = CORRELATION) -> np.ndarray:
        values = rng.normal(size=(rows, 4))
        now = math.tanh(math.atanh(rho) + effect)
        values[:, 1] = now * values[:, 0] + math.sqrt(1 - now**2) * values[:, 1]
        return values

    parts = [drawn(DAY_ROWS, next(days)) for _ in range(DAYS)]
    for _ in range(LATER - DAYS):
        next(days)
    reference = np.concatenate(parts)
    both = Both(reference, evaluate_jointly)

    def judge(rows: int, rho: float) -> Answers:
        values = drawn(rows, next(days), rho)
        told = {name: _by_question(one) for name, one in both.judge(values).items()}
        plain = {
            "correlation": _pairs_alike(reference, values),
            "domain_auc": _not_told_apart(reference, values, rng),
        }
        found = {}
        for name, share in zip(plain, ("correlation", "domain"), strict=True):
            rings = {side: one[name].severity is not None for side, one in told.items()}
            p_values = {side: _p_value(one[name]) for side, one in told.items()}
            rings["two-sample"] = plain[name] < BUDGET.per_window * SHARES[share]
            found[name] = Said(rings, p_values | {"two-sample": plain[name]})
        auc = told["untimed"]["domain_auc"].value
        found["domain_auc"].rings["NannyML"] = auc is not None and auc > TOLD_APART
        return found

    return judge


def _p_value(told: MetricResult) -> float:
    return 1.0 if told.p_value is None else told.p_value


def _by_question(report: Report) -> dict[str, MetricResult]:
    """Return the first of each name: of pairs the one most changed."""
    return {one.name: one for one in reversed(report.metrics)}


def _pairs_alike(reference: np.ndarray, window: np.ndarray) -> float:
    """Return the p-value of the most changed pair among all; nobody knows which it will be."""
    corner = np.triu_indices(reference.shape[1], 1)
    then, now = (np.arctanh(np.corrcoef(one.T)[corner]) for one in (reference, window))
    error = math.sqrt(1 / (len(reference) - 3) + 1 / (len(window) - 3))
    furthest = float(np.abs(now - then).max()) / error
    return min(1.0, len(corner[0]) * 2 * float(stats.norm.sf(furthest)))


def _not_told_apart(reference: np.ndarray, window: np.ndarray, rng: np.random.Generator) -> float:
    """Return the p-value of a classifier's AUC on the half of the rows that was held out.

    It is shown as many rows as driftline looks at, all as independent.
    """
    rows = np.vstack([rng.permutation(reference)[:SAMPLED], rng.permutation(window)[:ROWS_MAX]])
    is_window = np.arange(len(rows)) >= min(len(reference), SAMPLED)
    half = np.arange(len(rows)) % 2 == 0
    model = HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=15, learning_rate=0.2, early_stopping=False,
        class_weight="balanced", random_state=0,
    ).fit(rows[half], is_window[half])  # fmt: skip
    scores = model.predict_proba(rows[~half])[:, 1]
    own = is_window[~half]
    test = stats.mannwhitneyu(scores[own], scores[~own], alternative="greater", method="asymptotic")
    return float(test.pvalue)


OUTLIERS = Kind(
    "outliers", "share", outliers_year, 0.0, (("0.3% odd rows", 0.003), ("2%", 0.02)),
)  # fmt: skip
JOINT = Kind(
    "joint", "correlation", joint_year, CORRELATION,
    (("0.8 to 0.7", 0.7), ("0.8 to 0.6", 0.6)), (300, 1_000, 3_000, 10_000, 100_000),
)  # fmt: skip
QUESTIONS = {
    "share": "outliers (their share)",
    "correlation": "joint (correlation of pairs)",
    "domain_auc": "joint (a classifier)",
}


def tables(kind: Kind, stream: str, references: int, windows: int, seed: int) -> Iterator[str]:
    """Yield a table for each question of a kind."""
    said: dict[tuple[int, float], list[Answers]] = {}
    for place in range(references):
        rng = np.random.default_rng([seed, place, list(STREAMS).index(stream)])
        judge = kind.year(rng, stream)
        for rows in kind.sizes:
            for change in (kind.nothing, *(value for _, value in kind.planted)):
                count = windows if change == kind.nothing else max(1, windows // 2)
                own = said.setdefault((rows, change), [])
                own.extend(judge(rows, change) for _ in range(count))
    found: dict[str, list[str]] = {}
    for rows in kind.sizes:
        for question in said[rows, kind.nothing][0]:
            own = {
                change: [one[question] for one in told]
                for (size, change), told in said.items()
                if size == rows
            }
            found.setdefault(question, []).extend(lines(kind, rows, own))
    for question, told in found.items():
        yield f"## {QUESTIONS[question]}, {stream}\n"
        yield "\n".join([*heads(), *told, ""])


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--kind", default="", choices=["", "outliers", "joint"])
    parser.add_argument("--stream", default="", choices=["", *STREAMS], help="this one alone")
    asked = parser.parse_args()
    began = time.process_time()
    print("# Power and false alarms of outliers and joint drift\n")
    print(f"References of {DAYS} days of {DAY_ROWS} rows; windows of one day, {asked.references} "
          f"references and {asked.windows} windows of each without change, half as many of each "
          "change. Budget: one false alarm a year of days.\n")  # fmt: skip
    for kind in (one for one in (OUTLIERS, JOINT) if asked.kind in one.name):
        for stream in [asked.stream] if asked.stream else STREAMS:
            for part in tables(kind, stream, asked.references, asked.windows, asked.seed):
                print(part, flush=True)
    print(f"Measured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
          f"{np.__version__}, in {time.process_time() - began:.0f} CPU seconds.")  # fmt: skip


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
