"""How often model quality raises a false violation, and how early it finds a true loss.

Nothing changes: days of a real reference (the demo's flights, first quarter, predicted out of fold)
are drawn at random, whole days at a time, as reference and as windows of a monitor-year; both are
new in each year, so the reference's own luck counts. Then the same with a planted loss. Then the
real year, week by week. Prints Markdown:
``python bench/false_alarms_quality.py > bench/false_alarms_quality.md``.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from scipy import stats
from threadpoolctl import threadpool_limits

from driftline.app.demo import flights, model
from driftline.baseline.answers import Answers, read_answers
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.model_quality.blocks import blocks_of
from driftline.monitors.kinds.model_quality.documents import suggested
from driftline.monitors.kinds.model_quality.evaluation import evaluate
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.judgement import judge_quality
from driftline.monitors.kinds.model_quality.metrics import measure_answers
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.rows import Rows, WindowFacts
from driftline.roles import Roles
from driftline.stats.clusters import cluster_rows

DAY_US = 86_400_000_000
REFERENCE_DAYS = 90
FIRST_SEED = 2000
ROLES = Roles(
    label=flights.LABEL,
    prediction=model.PREDICTION,
    probability=(model.PROBABILITY,),
    timestamp=flights.EVENT_TIME,
    problem="binary",
    positive="1",
)
Loss = Callable[[Answers, np.random.Generator], Answers]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one monitor-year gave: windows judged, violations by metric, windows that paged."""

    windows: int
    violations: Counter[str]
    pages: int


def days_of(answers: Answers) -> list[Answers]:
    """Part the rows by day, each day's times counted from its midnight."""
    assert answers.time_us is not None
    days = answers.time_us // DAY_US
    return [
        replace(one, time_us=one.time_us - day * DAY_US)
        for day in np.unique(days)
        if (one := answers.take(days == day)).time_us is not None
    ]


def drawn(days: list[Answers], count: int, rng: np.random.Generator) -> Answers:
    """Draw days with replacement and put them one behind the other."""
    chosen = [days[place] for place in rng.integers(0, len(days), count)]
    times = [
        one.time_us + place * DAY_US for place, one in enumerate(chosen) if one.time_us is not None
    ]
    return replace(
        chosen[0],
        label=np.concatenate([one.label for one in chosen]),
        answer=np.concatenate([one.answer for one in chosen]),
        probability=np.concatenate([one.probability for one in chosen]),
        time_us=np.concatenate(times),
        places=np.arange(sum(len(one) for one in chosen)),
    )


def expected_of(reference: Answers) -> Expectation:
    """Make what a baseline of these rows expects."""
    measures = measure_answers(reference, cluster_rows(reference.time_us))
    constraints = suggested("binary", measures)
    return Expectation("binary", ROLES, constraints, measures, frozenset(), reference)


def simulate(
    days: list[Answers],
    length: int,
    seed: int,
    *,
    windows: int | None = None,
    loss: Loss | None = None,
) -> Outcome:
    """Run one monitor-year of windows of so many days."""
    rng = np.random.default_rng([seed, length])
    expected = expected_of(drawn(days, REFERENCE_DAYS, rng))
    count = windows or 365 // length
    budget = Budget(1.0, 365 / length)
    found: Counter[str] = Counter()
    pages = 0
    blocks = None
    for _ in range(count):
        window = drawn(days, length, rng)
        if loss is not None:
            window = loss(window, rng)
        blocks = blocks or blocks_of(expected.answers, window, timedelta(days=length))
        results = judge_quality(expected, window, blocks, budget=budget).results
        broken = [one for one in results.values() if one.violated]
        found.update(one.name for one in broken)
        pages += any(one.severity == "page" for one in broken)
    return Outcome(count, found, pages)


def shuffled(share: float) -> Loss:
    """Exchange the probabilities of so many rows among them: ranking is lost there."""

    def change(answers: Answers, rng: np.random.Generator) -> Answers:
        assert answers.probability is not None
        hit = np.flatnonzero(rng.random(len(answers)) < share)
        probability = answers.probability.copy()
        probability[hit] = probability[rng.permutation(hit)]
        return replace(answers, probability=probability, answer=(probability > 0.5).astype(np.intp))

    return change


def shifted(logits: float) -> Loss:
    """Move all probabilities: ranking stays, calibration is lost."""

    def change(answers: Answers, rng: np.random.Generator) -> Answers:
        assert answers.probability is not None
        odds = answers.probability / (1.0 - answers.probability) * np.exp(logits)
        probability = odds / (1.0 + odds)
        return replace(answers, probability=probability, answer=(probability > 0.5).astype(np.intp))

    return change


LOSSES: dict[str, Loss] = {
    "probabilities of 50% of the rows given to others": shuffled(0.5),
    "of all rows (AUC 0.5)": shuffled(1.0),
    "odds times 2 (45% said late for 23%)": shifted(float(np.log(2))),
    "odds times 4": shifted(float(np.log(4))),
    "odds over 8 (hardly ever said late)": shifted(-float(np.log(8))),
}


def real_weeks(trained: model.Trained, year: flights.Flights) -> Iterator[str]:
    """Judge the real year in weeks: the reference's own first, then those that follow."""
    start = year.start + timedelta(days=REFERENCE_DAYS)
    rest = year.between(start, year.end)
    with threadpool_limits(limits=1):
        late = trained.estimator.predict_proba(rest.select(flights.FEATURES).to_pandas())[:, 1]
    rest = rest.append_column(model.PREDICTION, pa.array((late > 0.5).astype(np.int64)))
    rest = rest.append_column(model.PROBABILITY, pa.array(late))
    baseline = Baseline.of(trained.reference, ROLES)
    week = timedelta(days=7)
    for table, first, last in ((trained.reference, year.start, start), (rest, start, year.end)):
        while first + week <= last:
            times = table[flights.EVENT_TIME].to_numpy()
            low, high = (
                np.datetime64(one.replace(tzinfo=None), "us") for one in (first, first + week)
            )
            rows = table.filter(pa.array((times >= low) & (times < high)))
            facts = WindowFacts(Window(first, first + week), labelled_count=rows.num_rows)
            judged = Rows(lambda rows=rows: iter(rows.to_batches()), facts=facts)
            report = evaluate(CheckContext(baseline, judged, ROLES, Budget(1.0, 365 / 7)))
            values = {one.name: one for one in report.metrics}
            skill, area = values["brier_skill"], values["auc"]
            verdict = "page" if report.page_count else "ticket" if report.violations else ""
            late_share = report.details["positive_share"]
            plain = sum(_breaks_plainly(one) for one in report.metrics)
            yield (
                f"| {first:%d %b} | {late_share:.2f} | {skill.value:+.2f} ({skill.low:+.2f} to "
                f"{skill.high:+.2f}) | {area.value:.2f} | {verdict} | {plain} |"
            )
            first += week


def _breaks_plainly(one: MetricResult) -> bool:
    """Whether a metric breaks the reference's own value, as SageMaker judges."""
    if not one.operator or one.name == "brier_skill" or one.value is None or one.reference is None:
        return False
    is_lower = one.operator == "LessThanThreshold"
    return one.value < one.reference if is_lower else one.value > one.reference


def upper_limit(violations: int, years: float) -> float:
    """95% upper limit of the yearly rate, by Poisson."""
    return float(stats.chi2.ppf(0.95, 2 * violations + 2)) / 2 / years


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--years", type=int, default=24)
    asked = parser.parse_args()
    began = time.perf_counter()
    year = flights.load(datetime(2014, 1, 1, tzinfo=UTC))
    trained = model.train(year.reference())
    days = days_of(read_answers(trained.reference, ROLES, "binary"))
    print("# False violations of model quality, and how early a loss is found\n")
    print("Days of the reference drawn at random: nothing changes. The budget is 1 a year.\n")
    print(
        "| windows | monitor-years | judged | violations | a year (95% at most) | pages | which |"
    )
    print("|---|---|---|---|---|---|---|")
    for length in (7, 1):
        parts = [simulate(days, length, FIRST_SEED + seed) for seed in range(asked.years)]
        total: Counter[str] = sum((one.violations for one in parts), Counter())
        named = ", ".join(f"{name} {count}" for name, count in total.most_common()) or "-"
        rate = f"{total.total() / asked.years:.2f} ({upper_limit(total.total(), asked.years):.2f})"
        judged, pages = sum(one.windows for one in parts), sum(one.pages for one in parts)
        kind = "weekly" if length == 7 else "daily"
        print(
            f"| {kind} | {asked.years} | {judged} | {total.total()} | {rate} | {pages} | {named} |"
        )
    print("\nThe same with a planted loss: share of windows that page, and that raise anything.\n")
    print("| loss | weekly: page, any | daily: page, any |")
    print("|---|---|---|")
    for name, loss in LOSSES.items():
        cells = []
        for length in (7, 1):
            parts = [
                simulate(days, length, FIRST_SEED + 100 + seed, windows=20, loss=loss)
                for seed in range(5)
            ]
            pages = sum(one.pages for one in parts)
            least = sum(max(one.violations.values(), default=0) for one in parts)
            cells.append(f"{pages}%, {max(pages, least)}%")
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nThe real year (the first 12 weeks are the reference):\n")
    print(
        "| week from | late | Brier skill (95%) | AUC | verdict | SageMaker's thresholds broken |"
    )
    print("|---|---|---|---|---|---|")
    for line in real_weeks(trained, year):
        print(line)
    print(
        f"\nMeasured {datetime.now(UTC).date().isoformat()} on Python {platform.python_version()}, "
        f"numpy {np.__version__}, in {time.perf_counter() - began:.0f} s."
    )


if __name__ == "__main__":
    main()
