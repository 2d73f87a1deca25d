"""A bound that nothing can break is none: each kind says so, and what would give one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.monitors.report.report import Report

FEATURES = ("a", "b", "c", "d")
DAYS, DAY_ROWS = 12, 60


def linear(*sizes: float) -> Callable[[pa.Table], np.ndarray]:
    def model(rows: pa.Table) -> np.ndarray:
        return sum(size * rows[name].to_numpy() for name, size in zip(FEATURES, sizes, strict=True))

    return model


def days(seed: int, count: int, rows: int, swing: float) -> pd.DataFrame:
    """Rows whose days have spreads of their own, feature by feature."""
    random = np.random.default_rng(seed)
    spread = np.exp(random.normal(0.0, swing, (count, len(FEATURES))))
    values = random.normal(size=(count, rows, len(FEATURES))) * spread[:, None]
    start = pd.Timestamp("2026-01-01", tz="UTC")
    at = start + pd.to_timedelta(np.arange(count * rows) / rows, unit="D")
    return pd.DataFrame(values.reshape(-1, len(FEATURES)), columns=FEATURES).assign(at=at)


def of_attribution(swing: float, *sizes: float) -> Report:
    reference, model = days(1, DAYS, DAY_ROWS, swing), linear(*sizes)
    baseline = dl.Baseline.fit(reference, timestamp="at", predict=model)
    window = days(2, 1, DAY_ROWS, swing)
    return dl.check(window, baseline, kind="attribution", predict=model, timestamp="at")


def test_shares_and_level_of_attribution_without_a_bound_are_not_judged() -> None:
    report = of_attribution(1.5, 4.0, 3.0, 2.0, 1.0)

    told = {one.name: one for one in report.metrics}
    for name in ("share_a", "level"):
        assert told[name].bound is None and told[name].p_value is None
        assert told[name].state == "too_variable"
    unjudged = {one.name for one in report.unjudged}
    assert {"share_a", "level"} <= unjudged
    assert not report.violations


def test_attribution_of_like_days_keeps_its_bounds() -> None:
    metrics = of_attribution(0.0, 8.0, 3.0, 1.0, 0.2).metrics

    assert all(one.judged for one in metrics if one.name != "ndcg")


def test_outliers_of_a_few_rows_that_come_in_groups_have_no_bound() -> None:
    random = np.random.default_rng(4)
    start = pd.Timestamp("2026-01-01", tz="UTC")

    def groups(count: int, size: int) -> pd.DataFrame:
        values = np.repeat(random.standard_normal((count, 2)), size, axis=0)
        at = start + pd.to_timedelta(np.repeat(np.arange(count), size), unit="h")
        return pd.DataFrame({"x": values[:, 0], "y": values[:, 1], "at": at})

    baseline = dl.Baseline.fit(groups(100, 50), timestamp="at")
    (few,) = dl.check(groups(1, 50), baseline, kind="outliers").metrics
    (many,) = dl.check(groups(100, 50), baseline, kind="outliers").metrics

    assert few.bound is None and few.p_value is None
    assert few.state == "too_variable"
    assert many.bound is not None and 0.0 < many.bound < 1.0


@pytest.mark.full
def test_days_that_are_always_told_apart_leave_a_classifier_no_bound() -> None:
    # As with a number of the batch: each day has values that no other has.
    random = np.random.default_rng(5)
    start = pd.Timestamp("2026-01-01", tz="UTC")

    def batches(first: int, count: int) -> pd.DataFrame:
        day = np.repeat(np.arange(first, first + count), 250)
        values = random.standard_normal((len(day), 2)) + 10.0 * (day % 7 * 2 - day)[:, None]
        at = start + pd.to_timedelta(day + random.random(len(day)), unit="D")
        return pd.DataFrame({"x": values[:, 0], "y": values[:, 1], "at": at})

    baseline = dl.Baseline.fit(batches(0, 24), timestamp="at")

    report = dl.check(batches(30, 1), baseline, kind="joint")

    (domain,) = (one for one in report.metrics if one.name == "domain_auc")
    assert domain.bound is None and domain.value is not None
    assert domain.why == "blocks of the reference are told apart as well"
    assert "domain_auc" in {one.name for one in report.unjudged}
