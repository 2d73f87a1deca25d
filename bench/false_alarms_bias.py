"""How often a bias monitor raises a false violation, and what it finds of a planted change.

Streams of three groups without change (independent rows; days that share a fate; such days with a
memory), a reference of 90 days, and years of daily or weekly windows after it, judged on DPPL, DI,
RD and SD of each group against the rest. Beside it: the same without the blocks of the reference,
and SageMaker's rule (farther from 0 than the baseline). Then the real year of the demo's flights.
Prints Markdown: ``python bench/false_alarms_bias.py > bench/false_alarms_bias.md``.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.app.demo.flights import EVENT_TIME, FEATURES, LABEL, load, year_end
from driftline.app.demo.model import PREDICTION, PROBABILITY, train
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.bias import evaluation as bias
from driftline.monitors.kinds.bias.change import Blocks
from driftline.monitors.kinds.bias.judgement import JUDGED, GroupCounts, judge_groups
from driftline.monitors.rows import Rows, WindowFacts
from driftline.stats.blocks import DAY_US, series_length

REFERENCE_DAYS = 90
FIRST_SEED = 300
# The other rule, and the planted change, are tried in every so many windows.
EVERY = 4
GROUPS = ("A", "B", "C")
SHARES = np.array([0.5, 0.35, 0.15])
POSITIVE = np.array([0.25, 0.2, 0.15])
# How often a positive, and a negative, is predicted as positive.
FOUND, MISTAKEN = 0.6, 0.1
Days = Callable[[np.random.Generator, int], Iterator[np.ndarray]]


def independent(rng: np.random.Generator, rows: int) -> Iterator[np.ndarray]:
    """Rows that know nothing of each other."""
    while True:
        yield draw(rng, rows, np.zeros(3))


def fate(rng: np.random.Generator, rows: int) -> Iterator[np.ndarray]:
    """Days that lift or lower all groups, and each of them alone."""
    while True:
        yield draw(rng, rows, rng.normal(0, 0.6) + rng.normal(0, 0.4, 3))


def memory(rng: np.random.Generator, rows: int) -> Iterator[np.ndarray]:
    """Such days, one like the day before: a memory of three days."""
    state, kept = rng.normal(0, 0.4, 3), np.exp(-1 / 3)
    while True:
        state = kept * state + rng.normal(0, 0.4 * np.sqrt(1 - kept**2), 3)
        yield draw(rng, rows, state)


def draw(rng: np.random.Generator, rows: int, effect: np.ndarray) -> np.ndarray:
    """Draw one day: counts of shape (3, 3, 3): group, true and predicted answer."""
    counts = np.zeros((3, 3, 3), np.int64)
    sizes = rng.poisson(rows * SHARES)

    def moved(share: np.ndarray | float) -> np.ndarray:
        odds = np.log(np.asarray(share) / (1 - np.asarray(share))) + effect
        return 1 / (1 + np.exp(-odds))

    positive = rng.binomial(sizes, moved(POSITIVE))
    counts[:, 1, 1] = rng.binomial(positive, moved(FOUND))
    counts[:, 1, 0] = positive - counts[:, 1, 1]
    counts[:, 0, 1] = rng.binomial(sizes - positive, moved(MISTAKEN))
    counts[:, 0, 0] = sizes - positive - counts[:, 0, 1]
    return counts


def pairs(days: np.ndarray, place: int) -> np.ndarray:
    """Return the others and the group: (..., 3, 3, 3) to (..., 2, 3, 3)."""
    group = days[..., place, :, :]
    return np.stack([days.sum(axis=-3) - group, group], axis=-3)


def known(days: np.ndarray, length: int) -> list[GroupCounts]:
    """Return what the reference tells of each group; the window comes later."""
    each = series_length(len(days) * DAY_US, timedelta(days=length)) // DAY_US
    blocks = days[: len(days) // each * each].reshape(-1, each, 3, 3, 3).sum(axis=1)
    nothing = np.zeros((2, 1, 3, 3), np.int64)
    return [
        GroupCounts("group", name, nothing, pairs(days.sum(axis=0), place)[:, None],
                    Blocks(pairs(blocks, place), each, length / each))
        for place, name in enumerate(GROUPS)
    ]  # fmt: skip


@dataclass
class Tally:
    """Windows, and how many of them each rule finds fault with."""

    windows: int = 0
    compared: int = 0
    ours: int = 0
    without_blocks: int = 0
    sagemaker: int = 0
    planted: int = 0


def judge_years(stream: Days, rows: int, length: int, years: int, seed: int) -> Tally:
    """Judge the windows of some years, each year with a reference of its own."""
    tally = Tally()
    budget = Budget(1.0, 365 / length)
    for year in range(years):
        rng = np.random.default_rng([seed, year])
        days = stream(rng, rows)
        reference = known(np.stack([next(days) for _ in range(REFERENCE_DAYS)]), length)
        for _ in range(365 // length):
            own = np.stack([next(days) for _ in range(length)]).sum(axis=0)
            tally.windows += 1
            groups = [
                replace(group, window=pairs(own, place)[:, None])
                for place, group in enumerate(reference)
            ]
            found, _ = judge_groups(groups, stratified=False, budget=budget)
            tally.ours += any(one.result.violated for one in found)
            tally.sagemaker += any(
                one.result.name in JUDGED
                and one.result.value is not None
                and one.required is not None
                and abs(one.result.value) > abs(one.required)
                for one in found
            )
            if tally.windows % EVERY:
                continue
            tally.compared += 1
            plain = [replace(group, blocks=None) for group in groups]
            found, _ = judge_groups(plain, stratified=False, budget=budget)
            tally.without_blocks += any(one.result.violated for one in found)
            found, _ = judge_groups(planted(groups, rng), stratified=False, budget=budget)
            tally.planted += any(one.result.violated and one.group == 2 for one in found)
    return tally


def planted(groups: list[GroupCounts], rng: np.random.Generator) -> list[GroupCounts]:
    """Turn half of the positive answers for group C into negative ones."""
    whole = groups[2].window.copy()
    for truth in (0, 1):
        turned = rng.binomial(whole[1, 0, truth, 1], 0.5)
        whole[1, 0, truth, 1] -= turned
        whole[1, 0, truth, 0] += turned
    return [*groups[:2], replace(groups[2], window=whole)]


def flights(length: int) -> tuple[int, list[str]]:
    """Judge the demo's year after its reference; give the windows, and what was found."""
    year = load(year_end(datetime(2026, 11, 20, tzinfo=UTC)))
    trained = train(year.reference())
    chance = trained.estimator.predict_proba(year.table.select(FEATURES).to_pandas())[:, 1]
    table = year.table.append_column(PREDICTION, pa.array((chance > 0.5).astype(np.int64)))
    baseline = Baseline.fit(
        trained.reference, label=LABEL, prediction=PREDICTION, probability=PROBABILITY,
        timestamp=EVENT_TIME, problem="binary", positive=1, facet="origin",
    )  # fmt: skip
    assert baseline.outcomes is not None
    found, windows = [], 0
    step, start = timedelta(days=length), year.start + timedelta(days=REFERENCE_DAYS)
    while start + step <= year.end:
        kind = table[EVENT_TIME].type
        inside = pc.and_(
            pc.greater_equal(table[EVENT_TIME], pa.scalar(start, kind)),
            pc.less(table[EVENT_TIME], pa.scalar(start + step, kind)),
        )
        rows = table.filter(inside)
        judged = Rows(
            lambda rows=rows: iter(rows.to_batches()),
            facts=WindowFacts(Window(start, start + step)),
        )
        budget = Budget(1.0, 365 / length)
        report = bias.evaluate(CheckContext(baseline, judged, baseline.outcomes.roles, budget))
        windows += 1
        if report.violations:
            day = start - year.shift
            found.append(f"{day:%d %B %Y}: {report.cause}")
        start += step
    return windows, found


def main() -> None:
    """Run everything and print the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=5)
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    chosen = parser.parse_args()
    began = time.monotonic()
    print("# False violations of a bias monitor, and planted changes that it finds\n")
    print("| stream | rows a day | window, days | monitor-years | windows | violations a year |"
          " without blocks, a year | SageMaker's rule, a year | planted found |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    total, all_years = 0, 0
    for stream in (independent, fate, memory):
        for rows in (300, 3000):
            for length in (1, 7):
                years = chosen.years * (4 if length == 7 else 1)
                one = judge_years(stream, rows, length, years, chosen.seed)
                total, all_years = total + one.ours, all_years + years
                without = one.without_blocks / one.compared * 365 / length
                print(f"| {stream.__name__} | {rows} | {length} | {years} | {one.windows} | "
                      f"{one.ours / years:.2f} | {without:.0f} | "
                      f"{one.sagemaker / years:.0f} | {one.planted / one.compared:.0%} |",
                      flush=True)  # fmt: skip
    print(f"\nTogether {total} violations in {all_years} monitor-years; the budget is 1 a year. "
          "Planted: half of the positive answers for the smallest group (15% of rows) turned "
          "negative, in one window.\n")  # fmt: skip
    print("## The demo's flights: facet origin, reference January to March\n")
    for length in (1, 7):
        windows, found = flights(length)
        print(f"Windows of {length} days: {len(found)} of {windows} with a violation.\n")
        for line in found:
            print(f"- {line}")
        if found:
            print()
    print(f"Measured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
          f"{np.__version__}, in {time.monotonic() - began:.0f} s.")  # fmt: skip


if __name__ == "__main__":
    main()
