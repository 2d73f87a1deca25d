"""Which segment is named when a model became worse: the one behind it, another, or none.

Five levels of one text with error rates of their own, a reference of 20,000 rows, 200 windows of
each kind. Beside a planted level: all rates in proportion, all by the same amount, and no change.

    python bench/loss_segments.py
"""

from __future__ import annotations

import sys
from collections import Counter

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
