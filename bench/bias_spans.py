"""A small bias in each window, found over windows: how often and soon, and at which false alarms.

A reference of 90 days and daily windows after it, of two groups. Planted: from one day on the group
gets 2 points fewer positive answers. Beside it years without a change, of independent rows, of
days that lift or lower both groups, and of days that do so to each alone.
Prints Markdown: ``python bench/bias_spans.py > bench/bias_spans.md``.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.kinds.bias.change import Blocks
from driftline.monitors.kinds.bias.judgement import GroupCounts, chances_of, judge_groups, level_of
from driftline.monitors.kinds.bias.spans import judge_span, scale_budget
from driftline.stats.blocks import DAY_US, series_length

REFERENCE_DAYS, WATCHED_DAYS = 90, 64
FIRST_SEED = 700
# Positive answers of both groups, recall of them and false alarms among the others.
POSITIVE, FOUND, MISTAKEN = 0.3, 0.6, 0.15
PLANTED = 0.02
BUDGET = Budget(1.0, 365.0)
# What days do to the odds of both groups, and of each alone (standard deviations).
STREAMS = {"independent rows": (0.0, 0.0), "days that both share": (0.4, 0.0),
           "days of each alone": (0.0, 0.1)}  # fmt: skip


def draw(rng: np.random.Generator, rows: int, days: int, stream: tuple[float, float],
         less: float = 0.0) -> np.ndarray:  # fmt: skip
    """Draw days: shape (days, 2, 3, 3), others and group, true and predicted answer."""
    both, each = stream
    effect = rng.normal(0, both, (days, 1)) + rng.normal(0, each, (days, 2))
    counts = np.zeros((days, 2, 3, 3), np.int64)

    def moved(share: float) -> np.ndarray:
        return 1 / (1 + np.exp(-np.log(share / (1 - share)) - effect))

    truth = rng.binomial(rows // 2, POSITIVE, (days, 2))
    hits = rng.binomial(truth, moved(FOUND))
    wrong = rng.binomial(rows // 2 - truth, moved(MISTAKEN))
    # As many of its positive answers turn as make the planted difference.
    turned = less / (POSITIVE * FOUND + (1 - POSITIVE) * MISTAKEN)
    for answers in (hits, wrong):
        answers[:, 1] -= rng.binomial(answers[:, 1], turned)
    counts[:, :, 1, 1], counts[:, :, 1, 0] = hits, truth - hits
    counts[:, :, 0, 1], counts[:, :, 0, 0] = wrong, rows // 2 - truth - wrong
    return counts


@dataclass
class Watch:
    """A reference, and the windows after it one by one."""

    reference: np.ndarray

    def group(self, window: np.ndarray, scale: int) -> GroupCounts:
        """Return one group as a span of so many days has it."""
        each = series_length(REFERENCE_DAYS * DAY_US, timedelta(days=scale)) // DAY_US
        whole = self.reference[: len(self.reference) // each * each]
        return GroupCounts(
            "sex", "F", window[:, None], self.reference.sum(axis=0)[:, None],
            Blocks(whole.reshape(-1, each, 2, 3, 3).sum(axis=1), each, scale / each),
            lasts=scale > 1,
        )  # fmt: skip

    def found(self, days: np.ndarray, at: int) -> int:
        """Return over how many windows the shortest span that ends with a day finds it; 0: none."""
        single = scale_budget(BUDGET, 1, remembers=True)
        own = [self.group(days[at], 1)]
        if any(
            one.result.violated for one in judge_groups(own, stratified=False, budget=single)[0]
        ):
            return 1
        for scale in SCALES[1:]:
            if (at + 1) % scale == 0 and at + 1 >= scale:
                part = days[at + 1 - scale : at + 1]
                told = judge_span(
                    scale, [self.group(part.sum(axis=0), scale)],
                    lambda part=part: [[self.group(one, 1)] for one in part], BUDGET,
                )  # fmt: skip
                if told:
                    return scale
        return 0


def is_broken(groups: list[GroupCounts], budget: Budget) -> bool:
    """Whether anything that is judged in one window is a violation."""
    # As several windows, of which less is computed and a smaller change matters: a first look.
    looks = (chances_of(replace(one, lasts=True)).values() for one in groups)
    if min((one for look in looks for one in look), default=1.0) >= level_of(budget):
        return False
    found, _ = judge_groups(groups, stratified=False, budget=budget)
    return any(one.result.violated for one in found)


def main() -> None:
    """Run everything and print the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    chosen = parser.parse_args()
    began = time.process_time()
    print("# A small bias over windows\n")
    if chosen.runs:
        plant(chosen.runs, chosen.seed)
    if chosen.years:
        watch_years(chosen.years, chosen.seed)
    print(f"\nMeasured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
          f"{np.__version__}, {time.process_time() - began:.0f} CPU seconds.")  # fmt: skip


def plant(runs: int, seed: int) -> None:
    """Plant the change in runs of days, and print how soon it is found."""
    print("Planted: 2 points fewer positive answers for one of two groups, in each daily window.\n")
    print("| days | rows a day | found in 30 days, windows alone | over windows, in 30 days "
          "| in 64 days | days until, median |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for name, stream in STREAMS.items():
        for rows in (2_000, 5_000, 10_000):
            alone, first = 0, []
            for run in range(runs):
                rng = np.random.default_rng([seed, run])
                watch = Watch(draw(rng, rows, REFERENCE_DAYS, stream))
                # Days before it, so that it begins anywhere in a span.
                quiet = int(rng.integers(0, 64))
                days = np.concatenate([
                    draw(rng, rows, quiet, stream), draw(rng, rows, WATCHED_DAYS, stream, PLANTED)
                ])  # fmt: skip
                alone += any(
                    is_broken([watch.group(one, 1)], BUDGET) for one in days[quiet : quiet + 30]
                )
                places = (at for at in range(quiet, len(days)) if watch.found(days, at))
                first.append(next(places, np.inf) - quiet + 1)
            soon = [np.mean(np.array(first) <= most) for most in (30, 64)]
            middle = f"{np.median(first):.0f}" if np.isfinite(np.median(first)) else "more"
            print(f"| {name} | {rows:,} | {alone / runs:.0%} | {soon[0]:.0%} "
                  f"| {soon[1]:.0%} | {middle} |", flush=True)  # fmt: skip


def watch_years(count: int, seed: int) -> None:
    """Watch years without a change, and print what is found all the same."""
    print("\nWithout a change, violations of single windows and of spans:\n")
    print("| days | rows a day | monitor-years | violations a year | of them over windows |")
    print("|---|---|---|---|---|")
    total = years = 0
    for name, stream in STREAMS.items():
        for rows in (500, 5_000):
            found = []
            for year in range(count):
                rng = np.random.default_rng([seed + 1, year])
                watch = Watch(draw(rng, rows, REFERENCE_DAYS, stream))
                days = draw(rng, rows, 365, stream)
                found += [one for at in range(365) if (one := watch.found(days, at))]
            total, years = total + len(found), years + count
            over = sum(one > 1 for one in found) / count
            print(f"| {name} | {rows:,} | {count} | {len(found) / count:.2f} "
                  f"| {over:.2f} |", flush=True)  # fmt: skip
    print(f"\nTogether {total} in {years} monitor-years; the budget is 1 a year.")


if __name__ == "__main__":
    main()
