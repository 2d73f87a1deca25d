"""Repeated rows, ids used again, rounded values; and faults of rows that the scan finds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.row_digests import RowDigests
from driftline.baseline.row_profile import Repeats, RepeatScale
from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.kinds.conditions import read_condition
from driftline.monitors.kinds.data_quality.repeats_check import more_repeats
from driftline.monitors.report.report import Report
from driftline.monitors.rules.outcome import RuleCondition

CHECKS = {"repeated_rows_check", "repeated_id_check", "decimals_check"}


def trips(seed: int, rows: int = 3_000, days: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "client": rng.choice(["app", "web", "kiosk", "partner"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "miles": np.round(rng.gamma(4, 3, rows), 2),
            "minutes": np.round(rng.gamma(6, 4, rows), 1),
            "level": np.round(rng.normal(50, 10, rows), 3),
            "id": [f"trip-{seed}-{at:06}" for at in range(rows)],
            "at": pd.Timestamp("2026-01-01", tz="UTC")
            + pd.to_timedelta(np.sort(rng.uniform(0, days * 86_400, rows)), unit="s"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(trips(1, 20_000), id="id", timestamp="at")


@pytest.fixture
def window() -> pd.DataFrame:
    return trips(2, 2_000, 7)


def causes(report: Report) -> dict[str, tuple[str, str]]:
    return {
        one.constraint_check_type: (one.feature_name, one.cause.partition(", ")[0])
        for one in report.violations
        if one.constraint_check_type in CHECKS
    }


def test_a_join_that_doubles_rows_is_told_with_these_rows(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    doubled = pd.concat([window, window[100:160]], ignore_index=True)

    report = check(doubled.assign(id=trips(3, len(doubled))["id"]), baseline)

    assert causes(report) == {
        "repeated_rows_check": (
            "Repeated rows",
            "3% of different rows (by all 4 features) come more than once (reference 0%)",
        )
    }
    found = report.violations[0]
    assert (found.severity, found.row_count) == ("ticket", 120)
    rows = report.rows(found, limit=None)
    assert sorted(rows.index) == [*range(100, 160), *range(2000, 2060)]
    assert isinstance(found.predicate, RuleCondition)
    again = read_condition(found.predicate.to_dict())
    assert again.columns == found.predicate.columns


def test_ids_used_again_are_told_by_the_column_of_ids(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    ids = window["id"].mask(window.index < 60, window["id"].shift(-100))

    report = check(window.assign(id=ids), baseline)

    assert causes(report) == {
        "repeated_id_check": ("id", "3.1% of ids come more than once (reference 0%)")
    }
    assert report.violations[0].row_count == 120
    # Whole numbers can be told from their hashes, so no document holds any.
    assert set(report.violations[0].to_dict()["predicate"]) == {"column", "op", "rule"}


@pytest.mark.parametrize(
    ("row_count", "span_h", "expected"),
    [
        (700, 24, 0.01),
        (700, 100, 0.02),
        (5_000, 24, 0.02),
        (50_000, 24, 0.04),
        (400_000, None, 0.16),
    ],
)
def test_more_rows_and_longer_spans_hold_more_repeats(
    row_count: int, span_h: float | None, expected: float
) -> None:
    scales = tuple(
        RepeatScale(hours, rows, 10_000, share, 1.0)
        for hours, rows, share in ((24, 1e3, 0.01), (168, 7e3, 0.02), (0, 1e5, 0.04))
    )
    found = RowDigests(("x",), ("x",), row_count=row_count)
    found.keys = np.arange(20_000, dtype=np.uint64) // 2

    more = more_repeats(found, Repeats(("x",), ("x",), scales), span_h, 1e-4)

    assert more is not None
    assert more.usual == pytest.approx(expected)


# What the scan of cuts and cells, and the search for segments, find without a check of their own.
