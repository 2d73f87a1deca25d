"""In how many rows rare things come: independent rows, sessions that repeat their values."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.monitors.kinds.outliers.clusters import cluster_size

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

    assert cluster_size(alone, NAMES) < 1.5
    assert cluster_size(together, NAMES) == pytest.approx(2 * MEAN_SIZE - 1, rel=0.5)


@pytest.mark.full
def test_odd_sessions_are_no_violation_at_one_a_year() -> None:
    baseline = Baseline.fit(rows(2, DAYS, sessions=True), timestamp="at")
    days = rows(3, 200, sessions=True).drop(columns="at")

    found = [
        len(dl.check(days[at : at + ROWS], baseline, kind="outliers").violations)
        for at in range(0, len(days), ROWS)
    ]

    # Expected at most 0.55; at the size of a single row there are twenty or more.
    assert sum(found) <= 2
