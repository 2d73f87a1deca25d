"""Which segment is named when a model became worse: the one behind it, another, or none.

Five levels of one text with error rates of their own, a reference of 20,000 rows, 200 windows of
each kind. Beside a planted level: all rates in proportion, all by the same amount, and no change.
Then losses of scores and of numbers, with normal and heavy tails, of 20 regions of unequal size and
five sites; they hang on site, hour and day, and are added everywhere alike or at one site.

    python bench/loss_segments.py
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import product

import numpy as np
import pyarrow as pa

import driftline as dl
from driftline.baseline.answers import read_answers
from driftline.monitors.kinds.model_quality.expectation import reference_answers
from driftline.monitors.kinds.model_quality.loss_segments import find_loss_segment

LEVELS = ("easy", "fair", "middle", "tough", "hard")
RATES = np.array([0.02, 0.03, 0.05, 0.10, 0.20])
WINDOWS = 200
# Guilty level, its new error rate.
PLANTED = (("easy", 0.12), ("hard", 0.50), ("middle", 0.20))
NULLS = {
    "all rates x 1.6": 1.6 * RATES,
    "all rates + 0.04": RATES + 0.04,
    "no change": RATES,
}


def rows(rng: np.random.Generator, count: int, rates: np.ndarray) -> pa.Table:
    """Draw rows with labels and predictions, wrong at these rates."""
    level = rng.integers(0, len(LEVELS), count)
    label = rng.integers(0, 2, count)
    wrong = rng.random(count) < rates[level]
    return pa.table(
        {
            "seg": np.array(LEVELS)[level],
            "other": rng.choice(["a", "b", "c"], count),
            "y": label,
            "said": np.where(wrong, 1 - label, label),
        }
    )


def valued(
    rng: np.random.Generator, rows: int, days: int, kind: str, worse: float, *, guilty: str = ""
) -> pa.Table:
    """Draw rows of so many days with scores or numbers, whose errors are so many times as large."""
    region = rng.choice(20, rows, p=np.arange(1, 21) / 210)
    site = rng.choice(["n", "o", "p", "q", "r"], rows)
    second = np.sort(rng.integers(0, days * 86_400, rows))
    shared = np.exp(0.1 * rng.normal(size=days))[second // 86_400]
    scale = (1.0 + 0.4 * np.searchsorted(list("nopqr"), site)) * shared
    scale *= 1.0 + 0.5 * np.sin(second // 3_600 % 24 / 4.0)
    scale *= np.where((site == guilty) | (guilty == ""), worse, 1.0)
    said = 2.0 * rng.normal(size=rows)
    noise = rng.standard_t(3, rows) if kind == "heavy tails" else rng.normal(size=rows)
    truth = said + scale * noise
    if kind == "scores":
        truth, said = (rng.logistic(size=rows) < truth).astype(float), 1.0 / (1.0 + np.exp(-said))
    return pa.table(
        {
            "region": np.char.add("r", region.astype(str)),
            "site": site,
            "t": pa.array(second * 1_000_000, pa.timestamp("us", "UTC")),
            "y": truth,
            "said": said,
        }
    )


def values() -> None:
    """Print how often a segment is named where losses are of scores and numbers."""
    say = sys.stdout.write
    say("\n| losses | errors | rows | right | wrong | silent |\n|---|---|---|---|---|---|\n")
    for kind in ("scores", "numbers", "heavy tails"):
        rng = np.random.default_rng(2)
        roles = {"label": "y", "timestamp": "t", "problem": "regression", "prediction": "said"}
        if kind == "scores":
            roles |= {"problem": "binary", "prediction": None, "probability": "said"}
        positive = 1 if kind == "scores" else None
        baseline = dl.Baseline.fit(valued(rng, 20_000, 56, kind, 1.0), **roles, positive=positive)
        known = reference_answers(baseline)
        assert known is not None
        assert baseline.outcomes is not None
        own = baseline.outcomes.roles
        cases = ((1.0, ""), (1.3, ""), (2.0, ""), (3.0, "n"))
        for (worse, guilty), (count, days) in product(cases, ((500, 1), (5_000, 7))):
            found: Counter[str] = Counter()
            for _ in range(WINDOWS):
                table = valued(rng, count, days, kind, worse, guilty=guilty)
                answers = read_answers(table, own, own.problem)
                segment = find_loss_segment(answers, table, known, baseline).segment
                is_right = segment is not None and segment.level == guilty
                found["silent" if segment is None else "right" if is_right else "wrong"] += 1
            where = f"x {worse:g} at one site" if guilty else f"x {worse:g}"
            shares = " | ".join(str(found[one]) for one in ("right", "wrong", "silent"))
            say(f"| {kind} | {where} | {count:,} | {shares} |\n")


def main() -> None:
    """Print how often each answer was given."""
    rng = np.random.default_rng(1)
    baseline = dl.Baseline.fit(
        rows(rng, 20_000, RATES), label="y", prediction="said", problem="binary"
    )
    known = reference_answers(baseline)
    assert known is not None
    assert baseline.outcomes is not None
    planted = {
        f"{level} ({RATES[LEVELS.index(level)]:g} to {rate:g})": (
            level,
            np.where(np.array(LEVELS) == level, rate, RATES),
        )
        for level, rate in PLANTED
    }
    say = sys.stdout.write
    say("| planted | rows | right | wrong | silent |\n|---|---|---|---|---|\n")
    for name, (guilty, rates) in (planted | {k: ("", v) for k, v in NULLS.items()}).items():
        for count in (500, 5_000):
            found: Counter[str] = Counter()
            for _ in range(WINDOWS):
                table = rows(rng, count, rates)
                answers = read_answers(table, baseline.outcomes.roles, "binary")
                segment = find_loss_segment(answers, table, known, baseline).segment
                is_right = segment is not None and segment.level == guilty
                found["silent" if segment is None else "right" if is_right else "wrong"] += 1
            shares = " | ".join(str(found[one]) for one in ("right", "wrong", "silent"))
            say(f"| {name} | {count:,} | {shares} |\n")


if __name__ == "__main__":
    main()
    values()
