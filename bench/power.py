"""What model quality and attribution find of a planted change, and how often without one.

A reference of 60 days of 500 rows; windows of one day, of 300 to 100,000 rows, each size with the
same references and the same days, so that lines differ by rows alone. Rows are independent, or days
differ, or days resemble the day before. Beside driftline's decisions, with and without times in the
reference, stand the plain two-sample test at the same level, AWS's rule and those of peers
(Evidently: a metric worse than the reference's by a tenth; NannyML: beyond three standard
deviations of the reference's chunks). Prints Markdown:
``python bench/power.py``.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy import special, stats

from driftline.baseline.answers import Answers
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.engine.block_test import judge as judge_sums
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kinds.attribution.metrics import attribution_metrics, ndcg
from driftline.monitors.kinds.attribution.sums import Importance, sums_by_block
from driftline.monitors.kinds.model_quality.blocks import blocks_of
from driftline.monitors.kinds.model_quality.documents import suggested
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.judgement import judge_quality
from driftline.monitors.kinds.model_quality.metrics import measure_answers
from driftline.roles import Roles
from driftline.stats.clusters import cluster_rows

DAYS, DAY_ROWS, LATER = 60, 500, 70
DAY_US = 86_400_000_000
SIZES = (300, 1_000, 3_000, 10_000, 30_000, 100_000)
# How far days lie apart, on the scale of each problem, and how long they remember.
SWING = {
    "regression": 0.15, "quantiles": 0.15, "classification": 0.3, "attribution": 0.3,
    "outliers": 0.1, "joint": 0.1,
}  # fmt: skip
# Of a reference's 2,000 explained rows, or 5,000 of a model that explains itself, those of one day;
# and rows explained of a window.
EXPLAINED_A_DAY, EXPLAINED_ITSELF_A_DAY, EXPLAINED = 33, 83, (100, 214, 1_000)
# Mean attributions of six features.
SIZE = np.array([30.0, 25.0, 20.0, 12.0, 8.0, 5.0])
STREAMS = {"independent": (0.0, 0.0), "days differ": (1.0, 0.0), "days remember": (1.0, 0.7)}
BUDGET = Budget()
# The level of comparisons at equal error: so many of the windows without change are found.
EQUAL = 0.05
# Of quantile forecasts, and the coverage of the interval that they bound.
LEVELS, WITHIN = (0.1, 0.5, 0.9), "interval_coverage[0.8]"
RULES = ("timed", "untimed", "two-sample", "AWS", "NannyML", "Evidently")


@dataclass(frozen=True, slots=True)
class Said:
    """What each rule says of a window: whether it rings, and how surprising it finds it."""

    rings: dict[str, bool]
    p_values: dict[str, float]  # Of the rules that have one.


Judge = Callable[[int, float], Said]
Draw = Callable[[np.random.Generator, int, int, float, float], Answers]


def effects(rng: np.random.Generator, kind: str, stream: str) -> Iterator[float]:
    """Yield what each day adds, one after the other."""
    scale, memory = STREAMS[stream]
    swing = SWING[kind] * scale
    state = rng.normal(0.0, swing) if swing else 0.0
    while True:
        yield state
        fresh = rng.normal(0.0, swing * math.sqrt(1.0 - memory**2)) if swing else 0.0
        state = memory * state + fresh


def regression(
    rng: np.random.Generator, rows: int, day: int, effect: float, worse: float
) -> Answers:
    """Draw one day of values; errors are `worse` times as large, and exp(effect) times by day."""
    label = rng.normal(0.0, 2.0, rows)
    answer = label + rng.normal(0.0, math.exp(effect) * worse, rows)
    return Answers("regression", label, answer, (), None, times(day, rows), 0, np.arange(rows))


def quantiles(
    rng: np.random.Generator, rows: int, day: int, effect: float, worse: float
) -> Answers:
    """Draw one day of values and their quantiles, which know of neither the day nor the change."""
    found = regression(rng, rows, day, effect, worse)
    said = found.answer[:, None] + stats.norm.ppf(LEVELS)
    return replace(found, quantiles=said, levels=LEVELS)


def classification(
    rng: np.random.Generator, rows: int, day: int, effect: float, worse: float
) -> Answers:
    """Draw one day of two classes, AUC 0.85; `worse` divides the distance of their scores."""
    label = (rng.random(rows) < 0.3).astype(np.intp)
    score = rng.normal(0.0, 1.0, rows) + 1.466 * math.exp(effect) / worse * label
    chance = special.expit(1.466 * score - 1.466**2 / 2 + special.logit(0.3))
    said = (chance > 0.5).astype(np.intp)
    return Answers("binary", label, said, ("0", "1"), chance, times(day, rows), 0, np.arange(rows))


def times(day: int, rows: int) -> np.ndarray:
    """Return times that fill a day."""
    return day * DAY_US + np.arange(rows, dtype=np.int64) * DAY_US // rows


def quality_year(
    rng: np.random.Generator, stream: str, kind: str, draw: Draw, metric: str
) -> Judge:
    """Return the judge of windows of a new reference of a model, by one of its metrics."""
    days = effects(rng.spawn(1)[0], kind, stream)
    parts = [draw(rng, DAY_ROWS, day, next(days), 1.0) for day in range(DAYS)]
    for _ in range(LATER - DAYS):
        next(days)
    reference = joined(parts)
    expected = {
        "timed": expected_of(reference),
        "untimed": expected_of(replace(reference, time_us=None)),
    }
    level = 0.0
    chunks = [measure_answers(one)[metric].value for one in parts]
    blocks = blocks_of(reference, parts[0], timedelta(days=1))
    before = measure_answers(reference)[metric]
    is_two_sided = expected["timed"].constraints[metric].is_two_sided

    def judge(rows: int, worse: float) -> Said:
        nonlocal level
        window = draw(rng, rows, LATER, next(days), worse)
        rings, p_values = {}, {}
        for name, known in (("timed", blocks), ("untimed", [])):
            found = judge_quality(expected[name], window, known, budget=BUDGET)
            line, level = found.results[metric], found.alpha[metric]
            rings[name] = line.violated
            p_values[name] = 1.0 if line.p_value is None else line.p_value
        now = measure_answers(window)[metric]
        side = 1.0 if metric in ("rmse", "pinball_loss") else -1.0
        gap = side * (now.value - before.value)
        z = gap / math.sqrt(now.independent + before.independent)
        # On as many sides as driftline looks at, whose level is that of one.
        p_values["two-sample"] = float(stats.norm.sf(abs(z) if is_two_sided else z))
        rings["two-sample"] = p_values["two-sample"] < level
        rings["AWS"] = gap > 0
        rings["NannyML"] = abs(now.value - np.mean(chunks)) > 3 * np.std(chunks)
        rings["Evidently"] = gap > 0.1 * before.value
        return Said(rings, p_values)

    return judge


def joined(parts: list[Answers]) -> Answers:
    """Put days one behind the other."""
    first = parts[0]
    return replace(
        first,
        label=np.concatenate([one.label for one in parts]),
        answer=np.concatenate([one.answer for one in parts]),
        probability=None
        if first.probability is None
        else np.concatenate([one.probability for one in parts if one.probability is not None]),
        quantiles=None
        if first.quantiles is None
        else np.concatenate([one.quantiles for one in parts if one.quantiles is not None]),
        time_us=np.concatenate([one.time_us for one in parts if one.time_us is not None]),
        places=np.arange(sum(len(one) for one in parts)),
    )


def expected_of(reference: Answers) -> Expectation:
    """Make what a baseline of these rows expects."""
    measures = measure_answers(reference, cluster_rows(reference.time_us))
    problem = reference.problem
    constraints = suggested(problem, measures)
    return Expectation(
        problem, Roles(problem=problem), constraints, measures, frozenset(), reference
    )


def share_errors(rows: np.ndarray) -> np.ndarray:
    """Return the standard errors of features' shares by the delta method, rows (N, M)."""
    totals = rows.sum(axis=1, keepdims=True)
    influence = (rows - rows.sum(axis=0) / totals.sum() * totals) / totals.mean()
    return np.asarray(influence.std(axis=0, ddof=1) / math.sqrt(len(rows)))


def attribution_year(rng: np.random.Generator, stream: str, a_day: int = EXPLAINED_A_DAY) -> Judge:
    """Return the judge of windows of a new reference; days lift one feature's attributions."""
    days = effects(rng.spawn(1)[0], "attribution", stream)
    features = [f"f{place}" for place in range(len(SIZE))]

    def explained(rows: int, effect: float, planted: float = 0.0) -> np.ndarray:
        share = SIZE[0] * math.exp(effect) / (SIZE[0] * math.exp(effect) + SIZE[1:].sum()) + planted
        size = np.append(share, (1.0 - share) * SIZE[1:] / SIZE[1:].sum())
        return (rng.exponential(size=(rows, len(SIZE))) * size).astype(np.float32)

    rows = np.concatenate([explained(a_day, next(days)) for _ in range(DAYS)])
    for _ in range(LATER - DAYS):
        next(days)
    blocks = sums_by_block([rows], np.repeat(np.arange(DAYS), a_day) * DAY_US, DAY_US)
    known = Importance.of_rows(features, rows)
    metrics, sums = attribution_metrics(features, 1, has_level=False), known.buckets
    references = {"timed": Reference(metrics, sums, blocks), "untimed": Reference(metrics, sums)}

    def judge(count: int, planted: float) -> Said:
        explained_rows = explained(count, next(days), planted)
        window = Importance.of_rows(features, explained_rows)
        rings, p_values = {}, {}
        for name, reference in references.items():
            found = judge_sums(reference, window.buckets, length=1.0, level=BUDGET.per_window)
            rings[name] = any(one.violated for one in found)
            p_values[name] = min(1.0, len(SIZE) * min(one.p_value for one in found))
        # It does not know which feature is going to move either.
        error = np.hypot(share_errors(explained_rows), share_errors(rows))
        z = np.abs(window.shares - known.shares) / error
        p_values["two-sample"] = min(1.0, len(SIZE) * float(2 * stats.norm.sf(z.max())))
        rings["two-sample"] = p_values["two-sample"] < BUDGET.per_window / 3
        rings["AWS"] = ndcg(known.mean, window.mean) < 0.90
        return Said(rings, p_values)

    return judge


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of monitor: its judge, what changes nothing, and what is planted."""

    name: str
    metric: str
    year: Callable[[np.random.Generator, str], Judge]
    nothing: float
    planted: tuple[tuple[str, float], ...]
    sizes: tuple[int, ...] = SIZES


KINDS = (
    Kind(
        "model quality, regression", "RMSE",
        lambda rng, stream: quality_year(rng, stream, "regression", regression, "rmse"),
        1.0, (("+10%", 1.1), ("+20%", 1.2)),
    ),
    Kind(
        "model quality, quantiles", "coverage of 80% intervals",
        lambda rng, stream: quality_year(rng, stream, "quantiles", quantiles, WITHIN),
        1.0, (("errors +10%: 80% to 76%", 1.1), ("+20%: 80% to 71%", 1.2)),
    ),
    Kind(
        "model quality, quantiles", "pinball loss",
        lambda rng, stream: quality_year(rng, stream, "quantiles", quantiles, "pinball_loss"),
        1.0, (("errors +10%", 1.1), ("+20%", 1.2)),
    ),
    Kind(
        "model quality, classification", "AUC",
        lambda rng, stream: quality_year(rng, stream, "classification", classification, "auc"),
        1.0, (("0.85 to 0.80", 1.466 / 1.19), ("0.85 to 0.75", 1.466 / 0.954)),
    ),
    Kind(
        "attribution", "a share of 30%", attribution_year, 0.0,
        (("+8 points", 0.08), ("+15 points", 0.15)), EXPLAINED,
    ),
    Kind(
        "attribution of a model that explains itself", "a share of 30%",
        lambda rng, stream: attribution_year(rng, stream, EXPLAINED_ITSELF_A_DAY), 0.0,
        (("+8 points", 0.08), ("+15 points", 0.15)), (1_000,),
    ),
)  # fmt: skip


def measured(
    kind: Kind, stream: str, rows: int, references: int, windows: int, seed: int
) -> dict[float, list[Said]]:
    """Judge windows without and with a change against several references."""
    found: dict[float, list[Said]] = {}
    for place in range(references):
        rng = np.random.default_rng([seed, place, list(STREAMS).index(stream)])
        judge = kind.year(rng, stream)
        for change in (kind.nothing, *(value for _, value in kind.planted)):
            times_over = windows if change == kind.nothing else max(1, windows // 2)
            found.setdefault(change, []).extend(judge(rows, change) for _ in range(times_over))
    return found


def share(said: list[Said], rule: str) -> str:
    """Return the share of windows in which a rule rings, as a percentage."""
    rings = [one.rings[rule] for one in said if rule in one.rings]
    return f"{np.mean(rings):.0%}" if rings else "–"


def equal(nothing: list[Said], changed: list[Said], rule: str) -> str:
    """Return the share found at the level at which the rule rings on `EQUAL` of quiet windows.

    Where so many have no p-value below 1, since the others lie within the tolerance, every one
    below 1 counts: the error is then smaller still.
    """
    level = np.quantile([one.p_values[rule] for one in nothing], EQUAL)
    found = [one.p_values[rule] <= level and one.p_values[rule] < 1.0 for one in changed]
    return f"{np.mean(found):.0%}"


def heads() -> tuple[str, str]:
    """Return the first two lines of a table."""
    names = ["rows", "change", *RULES, f"timed, untimed, two-sample at {EQUAL:.0%} each"]
    return f"| {' | '.join(names)} |", "|---" * len(names) + "|"


def lines(kind: Kind, rows: int, found: dict[float, list[Said]]) -> Iterator[str]:
    """Yield the lines of windows of so many rows."""
    nothing = found[kind.nothing]
    yield f"| {rows:,} | none | {' | '.join(share(nothing, one) for one in RULES)} | |"
    for name, change in kind.planted:
        changed = found[change]
        even = ", ".join(equal(nothing, changed, one) for one in RULES[:3])
        yield f"| | {' | '.join([name, *(share(changed, one) for one in RULES), even])} |"


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=20)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--kind", default="", help="kinds whose name or metric holds this alone")
    parser.add_argument("--stream", default="", choices=["", *STREAMS], help="this one alone")
    asked = parser.parse_args()
    began = time.monotonic()
    print("# Power and false alarms of model quality and attribution\n")
    print(f"References of {DAYS} days of {DAY_ROWS} rows; windows of one day, {asked.references} "
          f"references and {asked.windows} windows of each without change, half as many of each "
          "change. Budget: one false alarm a year of days.\n")  # fmt: skip
    for kind in (one for one in KINDS if asked.kind in f"{one.name} ({one.metric})"):
        for stream in [asked.stream] if asked.stream else STREAMS:
            print(f"## {kind.name} ({kind.metric}), {stream}\n")
            print("\n".join(heads()))
            for rows in kind.sizes:
                found = measured(kind, stream, rows, asked.references, asked.windows, asked.seed)
                print("\n".join(lines(kind, rows, found)), flush=True)
            print()
    print(f"Measured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
          f"{np.__version__}, in {time.monotonic() - began:.0f} s.")  # fmt: skip


if __name__ == "__main__":
    main()
