"""False alarms, power and intervals of the kind bias on streams whose law is known.

``nice -n 19 python bench/bias_streams.py [years] [references] [seed]`` prints Markdown. Rows of
others and of a group are drawn by label and prediction; a day moves the group's share of positive
predictions and its recall on the logit. The kind's own metrics are judged by the engine, as a
monitor judges them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from driftline.monitors.engine.block_test import Tested, judge
from driftline.monitors.engine.pooling import (
    MOST_PAST,
    WindowSums,
    judge_spans,
    smallest_p_value,
)
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.sums import GROUPS
from driftline.monitors.kinds.bias.metrics import measure
from driftline.monitors.kinds.bias.reference import JUDGED
from driftline.monitors.kinds.bias.sums import (
    NAMES,
    bias_metrics,
    interval_ends,
    pairs_of,
    shown_reference,
)

START, DAY = datetime(2026, 1, 5, tzinfo=UTC), timedelta(days=1)
LEVEL = 1.0 / 365.0
# Of a week's days, as traffic of weekdays and weekends differs; variance 1.
WEEKDAY = np.array([0.3, 0.2, 0.1, 0.0, 0.1, -0.9, -1.0])
WEEKDAY = (WEEKDAY - WEEKDAY.mean()) / WEEKDAY.std()

Sums = NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """What days add on the logit: its deviation, its correlation from day to day, weekdays."""

    name: str
    deviation: float = 0.0
    memory: float = 0.0
    weekday: float = 0.0

    def effects(self, rng: np.random.Generator, days: int) -> Sums:
        """Draw what each day adds to the group's share of positives, and to its recall."""
        fresh = rng.normal(size=(days, 2))
        found = fresh.copy()
        for day in range(1, days):
            found[day] *= np.sqrt(1.0 - self.memory**2)
            found[day] += self.memory * found[day - 1]
        week = np.array([WEEKDAY[day % 7] for day in range(days)])
        return self.deviation * found + self.weekday * week[:, None]


@dataclass(frozen=True)
class People:
    """Rows of the others and of a group."""

    member: float = 0.5  # The group's share of the rows.
    shares: tuple[float, float] = (0.3, 0.25)  # Positive predictions, others and group.
    recall: float = 0.7
    positives: float = 0.3
    less: float = 0.0  # So much lower is the group's share of positive predictions.

    def law(self, effect: Sums) -> Sums:
        """Return the probability of each side, label and prediction: shape (2, 2, 2)."""
        found = np.zeros((2, 2, 2))
        for side, share in enumerate((1.0 - self.member, self.member)):
            moved = effect * side
            said = special.expit(special.logit(self.shares[side]) + moved[0]) - self.less * side
            recall = special.expit(special.logit(self.recall) + moved[1])
            recall = min(recall, max(said, 0.0) / self.positives)
            other = np.clip((said - self.positives * recall) / (1.0 - self.positives), 0.0, 1.0)
            for label, base, yes in ((0, 1 - self.positives, other), (1, self.positives, recall)):
                found[side, label] = share * base * np.array([1.0 - yes, yes])
        return found / found.sum()

    def days(self, rng: np.random.Generator, rows: int, effects: Sums) -> Sums:
        """Draw days: rows by group of rows, shape (days, GROUPS, 18)."""
        found = np.zeros((len(effects), GROUPS, 2, 3, 3))
        each = np.full(GROUPS, 1.0 / GROUPS)
        for day, effect in zip(found, effects, strict=True):
            counts = rng.multinomial(rows, self.law(effect).ravel())
            drawn = rng.multinomial(counts, each)  # (8, GROUPS)
            day[:, :, :2, :2] = drawn.T.reshape(GROUPS, 2, 2, 2)
        return found.reshape(len(effects), GROUPS, -1)


def reference_of(days: Sums, *, timed: bool) -> Reference:
    """Learn a reference of drawn days."""
    buckets = days.sum(axis=0)
    metrics = bias_metrics([(0, name) for name in JUDGED], buckets.sum(axis=0))
    return Reference(metrics, buckets, days.sum(axis=1) if timed else None)


def windows(expected: Reference, days: Sums) -> Iterator[list[Tested]]:
    """Judge daily windows as a monitor does: with those before them."""
    past: list[WindowSums] = []
    for day, buckets in enumerate(days):
        window = WindowSums(START + day * DAY, START + (day + 1) * DAY, buckets)
        tested = judge_spans(expected, window, past, level=LEVEL)
        past = [*past, replace(window, p_value=smallest_p_value(tested))][-MOST_PAST:]
        yield tested


STREAMS = (
    Stream("independent rows"),
    Stream("days differ by 0.3", 0.3),
    Stream("days of 0.3 that remember 0.7", 0.3, 0.7),
    Stream("days of 0.2, weekdays of 0.3", 0.2, 0.0, 0.3),
)


def false_alarms(years: int, seed: int) -> None:
    """Count violations of monitors whose data do not change, in daily windows."""
    print("| stream | reference | rows a day | monitor-years | false alarms a year (95%) | by |")
    print("|---|---|---|---|---|---|", flush=True)
    people = People()
    for number, stream in enumerate(STREAMS):
        for days, rows in ((28, 1_000), (60, 3_000)):
            found: dict[str, int] = {}
            for year in range(years):
                rng = np.random.default_rng([seed, number, days, rows, year])
                effects = stream.effects(rng, days + 365)
                drawn = people.days(rng, rows, effects)
                expected = reference_of(drawn[:days], timed=True)
                for tested in windows(expected, drawn[days:]):
                    for one in tested:
                        found[one.name] = found.get(one.name, 0) + one.violated
            total = sum(found.values())
            low = stats.chi2.ppf(0.025, 2 * total) / 2 / years if total else 0.0
            high = stats.chi2.ppf(0.975, 2 * total + 2) / 2 / years
            by = ", ".join(f"{name} {count}" for name, count in found.items() if count)
            rate = f"{total / years:.2f} ({low:.2f} to {high:.2f})"
            print(f"| {stream.name} | {days} days | {rows} | {years} | {rate} | {by} |", flush=True)


CHANGES = {
    "DPPL +5": (People(), 0.05),
    "DPPL +10": (People(), 0.10),
    "DPPL +15": (People(), 0.15),
    "a group of 10% gets nothing": (People(0.1, (0.18, 0.10), 0.3), 0.10),
}


def power(references: int, seed: int, each: int = 10) -> None:
    """Print how many single windows find a change, beside the plain two-sample test."""
    print("| change | rows | reference | DPPL | any metric | two-sample test of DPPL |")
    print("|---|---|---|---|---|---|", flush=True)
    for number, (name, (people, less)) in enumerate(CHANGES.items()):
        for rows in (1_000, 3_000):
            for days, timed, quiet in ((28, False, 0), (28, True, 0), (28, True, 30)):
                shares = np.mean(
                    [
                        _found(people, less, rows, days, each, timed, quiet,
                               np.random.default_rng([seed, number, rows, days, quiet, one]))
                        for one in range(references)
                    ],
                    axis=0,
                )  # fmt: skip
                known = f"{days} days" if timed else f"{days} days, without times"
                known += f", {quiet} days since then" * bool(quiet)
                numbers = " | ".join(f"{share:.0%}" for share in shares)
                print(f"| {name} | {rows} | {known} | {numbers} |", flush=True)


def _found(
    people: People, less: float, rows: int, days: int, each: int, timed: bool, quiet: int,
    rng: np.random.Generator,
) -> Sequence[float]:  # fmt: skip
    """Return the share of windows in which DPPL, any metric, and the plain test find a change."""
    none = np.zeros((days, 2))
    expected = reference_of(people.days(rng, 1_000, none), timed=timed)
    if quiet:
        since = people.days(rng, rows, np.zeros((quiet, 2))).sum(axis=1)
        expected = expected.with_later(since)
    found = []
    for buckets in replace(people, less=less).days(rng, rows, np.zeros((each, 2))):
        tested = judge(expected, buckets, length=1.0, level=LEVEL)
        sides = [pairs_of(one)[0, :, 0] for one in (buckets.sum(axis=0), expected.total)]
        shares = [side[..., 1].sum(axis=-1) / side.sum(axis=(-1, -2)) for side in sides]
        counts = [side.sum(axis=(-1, -2)) for side in sides]
        pooled = (shares[0] * counts[0] + shares[1] * counts[1]) / (counts[0] + counts[1])
        error = np.sqrt((pooled * (1 - pooled) * (1 / counts[0] + 1 / counts[1])).sum())
        z = abs(np.subtract(*shares[0]) - np.subtract(*shares[1])) / error
        plain = 2.0 * special.ndtr(-z) < LEVEL / len(JUDGED)
        found.append((tested[0].violated, any(one.violated for one in tested), plain))
    return np.mean(found, axis=0)


def coverage(draws: int, seed: int) -> None:
    """Print how often 95% intervals hold the truth, beside 28 days of 300 rows."""
    people = {"halves": People(), "a group of 10%": People(0.1, (0.18, 0.10), 0.3),
              "1% positive": People(0.3, (0.01, 0.01), 0.5, 0.01)}  # fmt: skip
    print("| population | rows | intervals that hold the truth (left open) |")
    print("|---|---|---|", flush=True)
    for number, (name, one) in enumerate(people.items()):
        exact = np.zeros((2, 1, 3, 3))
        exact[:, 0, :2, :2] = one.law(np.zeros(2)) * 1e9
        truth = {metric: round(float(value), 12) for metric, value in measure(exact).items()}
        for rows in (50, 300, 1_000, 5_000):
            rng = np.random.default_rng([seed, number, rows])
            held: dict[str, list[float]] = {metric: [] for metric in truth}
            for draw in range(draws):
                if draw % 20 == 0:
                    usual = one.days(rng, 300, np.zeros((28, 2))).sum(axis=0)
                    shown = shown_reference(usual)
                [window] = one.days(rng, rows, np.zeros((1, 2)))
                for metric, (low, high) in zip(NAMES, interval_ends(shown, window), strict=True):
                    is_open = np.isnan(low + high)
                    inside = not is_open and low <= truth[metric] <= high
                    held[metric].append(np.nan if is_open else inside)
            parts = []
            for metric, values in held.items():
                left = float(np.isnan(values).mean())
                if left < 0.99:
                    share = f"{metric} {np.nanmean(values):.0%}"
                    parts.append(share + (f" ({left:.0%})" if left > 0.005 else ""))
            print(f"| {name} | {rows} | {', '.join(parts)} |", flush=True)


if __name__ == "__main__":
    years, references, seed = (
        int(given) if given else usual
        for given, usual in zip([*sys.argv[1:4], *[""] * 3], (10, 40, 1), strict=False)
    )
    power(references, seed)
    coverage(200, seed)
    false_alarms(years, seed)
