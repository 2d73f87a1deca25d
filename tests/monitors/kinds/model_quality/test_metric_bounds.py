"""Which intervals of model quality hold the truth, and which numbers few rows leave open."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from driftline.monitors.kinds.model_quality.metrics import (
    binary_metrics,
    regression_metrics,
)


def test_balanced_accuracy_of_few_positives_holds_the_truth_by_exact_enumeration() -> None:
    share, recall, specificity, rows = 0.02, 0.4, 0.9, 50
    truth, total, held = (recall + specificity) / 2, 0.0, 0.0
    for positives in range(1, 7):
        negatives = rows - positives
        label = np.arange(rows) < positives
        for hits in range(positives + 1):
            for right in range(negatives + 1):
                chance = (
                    stats.binom.pmf(positives, rows, share)
                    * stats.binom.pmf(hits, positives, recall)
                    * stats.binom.pmf(right, negatives, specificity)
                )
                if chance < 1e-5:
                    continue
                answer = (np.arange(rows) < hits) | (np.arange(rows) >= positives + right)
                low, high = binary_metrics(label, answer)["balanced_accuracy"].interval
                total += chance
                held += chance * (low <= truth <= high)

    # It was 0.36: one positive that is found, or is not, has no variance.
    assert held / total >= 0.94


@pytest.mark.parametrize("rows", [300, pytest.param(3_000, marks=pytest.mark.full)])
def test_r2_of_heavy_tailed_errors_is_held_or_left_open_as_their_squares_are(rows: int) -> None:
    rng = np.random.default_rng(rows)
    missed = 0
    for _ in range(1_000):
        answer = 2.0 * rng.standard_normal(rows)
        found = regression_metrics(answer + rng.standard_t(3, rows), answer)
        low, high = found["r2"].interval
        assert math.isnan(low) or not found["mse"].unbounded
        missed += low > 4 / 7 or high < 4 / 7

    assert missed <= 45  # Of 1,000; 3% over many runs. It was 6%.


@pytest.mark.parametrize("rate", [0.1, pytest.param(0.5, marks=pytest.mark.full)])
def test_intervals_of_few_rows_hold_the_truth_as_often_as_they_say(rate: float) -> None:
    rng = np.random.default_rng(8)
    truth = {"f1": 2 * rate * 0.6 / (2 * rate * 0.6 + rate * 0.4 + (1 - rate) * 0.1)}
    square = 4 * rate * 0.4 + (1 - rate) * 0.1
    truth["f2"] = 5 * rate * 0.6 / (5 * rate * 0.6 + square)
    held: dict[str, list[bool]] = {"f1": [], "f2": []}
    for _ in range(1_000):
        label = rng.random(60) < rate
        answer = rng.random(60) < np.where(label, 0.6, 0.1)
        found = binary_metrics(label, answer)
        for name, kept in held.items():
            low, high = found[name].interval
            kept.append(low <= truth[name] <= high)

    assert all(np.mean(kept) >= 0.93 for kept in held.values())
