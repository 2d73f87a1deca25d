"""False alarms, power and intervals of the engine on simulated monitors.

A population draws the rows of a day; days may differ and remember. ``alarms`` runs years of daily
windows (alone, and 4 and 16 together) against new references; ``power`` plants a change and sets
the plain two-sample test of the same metric at the same level beside it; ``coverage`` counts how
often 95% intervals hold the truth. Prints Markdown: ``python bench/calibration.py alarms --kind
classes --stream "days 0.3" --years 20 --seed 1``.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from scipy import special, stats

from driftline.baseline.answers import Answers
from driftline.baseline.times import EPOCH
from driftline.monitors.engine.block_test import judge
from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.jackknife import jackknife
from driftline.monitors.engine.metric import Array, MetricSet
from driftline.monitors.engine.pooling import MOST_PAST, WindowSums, judge_spans, smallest_p_value
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kinds.model_quality.metrics import QualityMetrics
from driftline.monitors.kinds.model_quality.sums import QualitySums
from driftline.monitors.state import State

DAY = timedelta(days=1)
START: datetime = EPOCH + 20_480 * DAY  # Where spans of 16 days begin.
YEAR, GAP = 365, 3  # Windows of a year; days between reference and windows.
LEVEL = 1.0 / YEAR  # One false alarm a year.
# Standard deviation of days, on logit or ln error, and their correlation with the day before.
STREAMS = {
    "independent": (0.0, 0.0),
    "days 0.1": (0.1, 0.0),
    "days 0.3": (0.3, 0.0),
    "days 0.5": (0.5, 0.0),
    "days 0.3, remember 0.7": (0.3, 0.7),
}
Rng = np.random.Generator


@dataclass(frozen=True)
class Population:
    """Rows of a day, and the metrics that are judged.

    Parameters
    ----------
    draw
        Draws rows: generator, number, the day's two effects, size of the change.
    judged
        By metric which way is worse in its tested form.
    changed
        The metric that the change is about, and its size.
    """

    draw: Callable[[Rng, int, Array, float], Answers]
    judged: dict[str, int]
    changed: tuple[str, float]


def classes(prevalence: float) -> Callable[[Rng, int, Array, float], Answers]:
    """Scores N(mu y, 1) as calibrated chances; a change hides a share of the positives."""
    mu = 1.466

    def draw(rng: Rng, rows: int, effect: Array, change: float) -> Answers:
        share = special.expit(special.logit(prevalence) + effect[0])
        label = (rng.random(rows) < share).astype(np.intp)
        seen = label * (rng.random(rows) >= change)
        z = rng.normal(size=rows) + mu * math.exp(0.5 * effect[1]) * seen
        chance = special.expit(mu * z - mu**2 / 2 + special.logit(prevalence))
        said = (chance > 0.5).astype(np.intp)
        return Answers("binary", label, said, ("0", "1"), chance, None, 0, np.arange(rows))

    return draw


def numbers(tails: float | None) -> Callable[[Rng, int, Array, float], Answers]:
    """Labels N(0, 2), errors normal or Student's; a change makes them larger."""

    def draw(rng: Rng, rows: int, effect: Array, change: float) -> Answers:
        label = rng.normal(0.0, 2.0, rows)
        error = rng.normal(size=rows) if tails is None else rng.standard_t(tails, rows)
        said = label + error * math.exp(0.5 * effect[1]) * (1.0 + change)
        return Answers("regression", label, said, (), None, None, 0, np.arange(rows))

    return draw


OF_CLASSES = {"accuracy": -1, "precision": -1, "recall": -1, "f1": -1, "auc": -1,
              "brier_skill": 1, "log_loss": 1}  # fmt: skip
OF_NUMBERS = {"mae": 1, "rmse": 1, "r2": 1}
POPULATIONS = {
    "classes": Population(classes(0.3), OF_CLASSES, ("recall", 0.15)),
    "rare classes 1%": Population(classes(0.01), OF_CLASSES, ("auc", 0.3)),
    "normal errors": Population(numbers(None), OF_NUMBERS, ("rmse", 0.1)),
    "t(5) errors": Population(numbers(5.0), OF_NUMBERS, ("rmse", 0.2)),
    "t(3) errors": Population(numbers(3.0), OF_NUMBERS, ("rmse", 0.4)),
}


@dataclass(frozen=True)
class Monitor:
    """A reference of simulated days, and how windows are counted beside it."""

    reference: Reference
    sums: QualitySums
    effects: Array  # Of the days after the reference, (days, 2).

    @property
    def metrics(self) -> MetricSet:
        """The metrics."""
        return self.reference.metrics


def effects(rng: Rng, days: int, stream: str) -> Array:
    """Draw what days add, (days, 2): an autoregression of order one."""
    deviation, memory = STREAMS[stream]
    fresh = rng.normal(size=(days, 2))
    found = fresh.copy()
    for day in range(1, days):
        found[day] = memory * found[day - 1] + math.sqrt(1.0 - memory**2) * fresh[day]
    return deviation * found


def joined(parts: list[Answers]) -> Answers:
    """Put the rows of several days behind one another."""
    scores = [one.probability for one in parts if one.probability is not None]
    return replace(
        parts[0],
        label=np.concatenate([one.label for one in parts]),
        answer=np.concatenate([one.answer for one in parts]),
        probability=np.concatenate(scores) if scores else None,
        places=np.arange(sum(len(one) for one in parts)),
    )


def start_monitor(
    rng: Rng, population: Population, stream: str, days: int, rows: int, *, is_timed: bool = True
) -> Monitor:
    """Draw a reference of some days and rows a day."""
    every = effects(rng, days + GAP + YEAR, stream)
    parts = [population.draw(rng, rows, effect, 0.0) for effect in every[:days]]
    whole = joined(parts)
    sums = QualitySums.of(whole)
    buckets = sums.by_group(whole)
    metrics = QualityMetrics.of(sums, buckets.sum(axis=0), ()).metric_set(population.judged)
    by_day = np.stack([sums.by_group(part).sum(axis=0) for part in parts]) if is_timed else None
    return Monitor(Reference(metrics, buckets, by_day), sums, every[days + GAP :])


def alarms(population: Population, stream: str, days: int, rows: int, rng: Rng) -> int:
    """Count the windows of one year with a false alarm, at any number of windows together."""
    monitor = start_monitor(rng, population, stream, days, rows)
    past: list[WindowSums] = []
    count = 0
    for number, effect in enumerate(monitor.effects):
        answers = population.draw(rng, rows, effect, 0.0)
        start = START + number * DAY
        window = WindowSums(start, start + DAY, monitor.sums.by_group(answers))
        tested = judge_spans(monitor.reference, window, past, level=LEVEL)
        count += any(one.violated for one in tested)
        kept = replace(window, p_value=smallest_p_value(tested))
        past = [*past, kept][-MOST_PAST:]
    return count


def plain_p_value(monitor: Monitor, buckets: Array, name: str) -> float:
    """Return the p-value of the two-sample test of one metric with each side's own variance."""
    metrics, known = monitor.metrics, monitor.reference
    at = [one.name for one in metrics.metrics].index(name)
    total = buckets.sum(axis=0)
    own = jackknife(metrics, buckets).variance[at] / max(metrics.support(total)[at], 1.0)
    usual = known.rows.variance[at] / known.support[at]
    distance = (metrics.measure(total)[at] - known.value[at]) * metrics.worse[at]
    return float(special.ndtr(-distance / math.sqrt(max(own + usual, 1e-100))))


def power(
    population: Population, stream: str, days: int, rows: int, rng: Rng, *, is_timed: bool
) -> Iterator[tuple[bool, bool, bool]]:
    """Yield for 20 changed windows: whether the metric, any, and the plain test find them."""
    name, change = population.changed
    monitor = start_monitor(rng, population, stream, days, 1_000, is_timed=is_timed)
    for effect in monitor.effects[:20]:
        buckets = monitor.sums.by_group(population.draw(rng, rows, effect, change))
        tested = judge(monitor.reference, buckets, length=1.0, level=LEVEL)
        judged = max(sum(one.state == State.JUDGED for one in tested), 1)
        plain = plain_p_value(monitor, buckets, name) < LEVEL / judged
        own = any(one.violated for one in tested if one.name == name)
        yield own, any(one.violated for one in tested), plain


def coverage(population: Population, rows: int, windows: int, rng: Rng) -> dict[str, str]:
    """Return by metric how often intervals hold the truth, and how many are left open."""
    monitor = start_monitor(rng, population, "independent", 28, 300)
    none = np.zeros(2)
    truth = monitor.metrics.measure(
        monitor.sums.by_group(population.draw(rng, 2_000_000, none, 0.0)).sum(axis=0)
    )
    held, bounded = np.zeros(len(truth)), np.zeros(len(truth))
    for _ in range(windows):
        buckets = monitor.sums.by_group(population.draw(rng, rows, none, 0.0))
        total = buckets.sum(axis=0)
        low, high = intervals(
            monitor.metrics.measure(total), jackknife(monitor.metrics, buckets),
            monitor.metrics.support(total), monitor.reference,
        )  # fmt: skip
        bounded += np.isfinite(low)
        held += (low <= truth) & (truth <= high)
    return {
        metric.name: f"{held[at] / max(bounded[at], 1):.1%} (open {1 - bounded[at] / windows:.0%})"
        for at, metric in enumerate(monitor.metrics.metrics)
        if metric.name in population.judged
    }


def limits(count: int, years: int) -> str:
    """Write a rate a year with its exact 95% limits (Garwood, Biometrika 28, 1936)."""
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = stats.chi2.ppf(0.975, 2 * count + 2) / 2
    return f"{count / years:.2f} ({low / years:.2f}-{high / years:.2f})"


def main() -> None:
    """Run one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["alarms", "power", "coverage"])
    parser.add_argument("--kind", choices=POPULATIONS, action="append")
    parser.add_argument("--stream", choices=STREAMS, action="append")
    parser.add_argument("--days", type=int, action="append")
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--years", type=int, default=10, help="or references, or windows x 100")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    kinds, streams = asked.kind or list(POPULATIONS), asked.stream or list(STREAMS)
    all_days, all_rows = asked.days or [28, 60], asked.rows or [300, 1_000]
    print(f"`{' '.join(sys.argv[1:])}`, Python {platform.python_version()}\n")
    heads = {
        "alarms": "| kind | stream | days x rows | years | false alarms a year | bad years |",
        "power": "| kind | stream | days x rows | metric | any metric | plain two-sample |",
        "coverage": "| kind | rows | intervals that hold the truth |",
    }
    head = heads[asked.what]
    print(head + "\n" + "|---" * (head.count("|") - 1) + "|")
    for kind in kinds:
        population = POPULATIONS[kind]
        if asked.what == "coverage":
            for rows in all_rows:
                found = coverage(
                    population, rows, 100 * asked.years, np.random.default_rng(asked.seed)
                )
                cells = ", ".join(f"{name} {value}" for name, value in found.items())
                print(f"| {kind} | {rows:,} | {cells} |", flush=True)
            continue
        for stream in streams:
            for days in all_days:
                for rows in all_rows:
                    print(row(asked.what, kind, stream, days, rows, asked), flush=True)


def row(what: str, kind: str, stream: str, days: int, rows: int, asked: argparse.Namespace) -> str:
    """Return one line of a table; 0 days stand for a reference of 28 days without times."""
    population, counts = POPULATIONS[kind], []
    for number in range(asked.years):
        rng = np.random.default_rng([asked.seed, number, days, rows])
        if what == "alarms":
            counts.append(alarms(population, stream, days, rows, rng))
        else:
            counts += power(population, stream, days or 28, rows, rng, is_timed=days > 0)
    if what == "alarms":
        bad = sum(one > 0 for one in counts) / asked.years
        found = f"{asked.years} | {limits(sum(counts), asked.years)} | {bad:.0%}"
    else:
        found = " | ".join(f"{share:.0%}" for share in np.mean(counts, axis=0))
    return f"| {kind} | {stream} | {days or 'untimed'} x {rows:,} | {found} |"


if __name__ == "__main__":
    main()
