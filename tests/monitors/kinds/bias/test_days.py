"""Days that differ by themselves are no bias; a group that is treated otherwise is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def day(number: int, *, rows: int = 1_000, less: float = 0.0, swing: float = 0.5) -> pa.Table:
    """One day of two groups; it lifts or lowers the second group's answers on the logit."""
    rng = np.random.default_rng([number, rows])
    second = rng.random(rows) < 0.4
    odds = -0.85 + second * rng.normal(0.0, swing)
    said = rng.random(rows) < 1.0 / (1.0 + np.exp(-odds)) - less * second
    label = rng.random(rows) < 0.3
    times = [START + number * DAY + at * DAY / rows for at in range(rows)]
    return pa.table(
        {
            "who": np.where(second, "d", "a"),
            "said": said.astype(int),
            "truth": label.astype(int),
            "time": pa.array(times, pa.timestamp("us", "UTC")),
        }
    )


@pytest.fixture(scope="module")
def reference() -> pa.Table:
    return pa.concat_tables([day(number) for number in range(40)])


def roles(**more: str) -> dict[str, str]:
    return {"label": "truth", "prediction": "said", "facet": "who=d", **more}


def test_days_that_the_reference_shows_to_differ_are_no_violations(reference: pa.Table) -> None:
    timed = Baseline.fit(reference, **roles(timestamp="time"))
    timeless = Baseline.fit(reference.drop_columns(["time"]), **roles())

    def violated(baseline: Baseline) -> int:
        monitor = dl.Monitor(baseline, kind="bias")
        reports = [monitor.check(day(n), time=START + n * DAY) for n in range(50, 60)]
        return sum(bool(report.violations) for report in reports)

    assert violated(timed) == 0
    assert violated(timeless) > 1


def test_a_group_treated_otherwise_for_one_day_is_found_where_days_are_alike() -> None:
    usual = pa.concat_tables([day(number, swing=0.0) for number in range(60)])
    baseline = Baseline.fit(usual, **roles(timestamp="time"))

    report = dl.check(day(70, rows=4_000, less=0.15, swing=0.0), baseline, kind="bias")

    assert {one.fields["metric_name"] for one in report.violations} >= {"DPPL"}
    bound = next(one.bound for one in report.metrics if one.name == "DPPL")
    # Some three standard errors by rows, and what days may differ by.
    assert 0.05 < bound < 0.13
