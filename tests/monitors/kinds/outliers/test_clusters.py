"""In how many rows rare things come: independent rows, sessions that repeat their values."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.outliers.evaluation import cluster_size, judge_share
from driftline.monitors.kinds.outliers.scorer import row_scorer
from tests.monitors.kinds.outliers.test_scorer import scores_of

DAY = timedelta(days=1)
DAYS, ROWS = 30, 600
NAMES = ["a", "b", "c", "d"]
# Of geometric sizes: E[N^2] / E[N] = 2 * mean - 1.
MEAN_SIZE = 20


def rows(seed: int, days: int, *, sessions: bool) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    count = days * ROWS
    group = np.cumsum(random.random(count) < 1 / MEAN_SIZE) if sessions else np.arange(count)
    values = random.standard_t(3, (group[-1] + 1, len(NAMES)))[group]
    start = pd.Timestamp("2026-01-05", tz="UTC")
    at = start + pd.to_timedelta(np.sort(random.random(count)) * days, unit="D")
    return pd.DataFrame(values, columns=NAMES).assign(at=at)


@pytest.mark.parametrize("timestamp", ["at", None])
def test_a_session_counts_as_one(timestamp: str | None) -> None:
    alone, together = (
        Baseline.fit(
            rows(1, DAYS, sessions=one)[NAMES + ["at"] * bool(timestamp)], timestamp=timestamp
        )
        for one in (False, True)
    )

    assert cluster_size(alone, NAMES, DAY) < 1.5
    assert cluster_size(together, NAMES, DAY) == pytest.approx(2 * MEAN_SIZE - 1, rel=0.5)


@pytest.mark.full
def test_odd_sessions_are_no_violation_at_one_a_year() -> None:
    baseline = Baseline.fit(rows(2, DAYS, sessions=True), timestamp="at")
    scorer, cluster = row_scorer(baseline), cluster_size(baseline, NAMES, DAY)
    days = 200
    counts = (scores_of(scorer, rows(3, days, sessions=True)) >= scorer.threshold).reshape(days, -1)

    found = [
        judge_share(scorer, count, ROWS, budget=Budget(), length=DAY, cluster=cluster).violated
        for count in counts.sum(axis=1).tolist()
    ]

    # Expected at most 0.55; at the size of a single row there are ten or more.
    assert sum(found) <= 2
