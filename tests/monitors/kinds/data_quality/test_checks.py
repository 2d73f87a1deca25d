"""What one column's values must be: known levels, and texts as long as the reference's."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

START = datetime(2025, 1, 1, tzinfo=UTC)
WINDS = np.array(["NE", "NW", "SE", "calm"])


def winds(days: int, since: int = 0, *, stays_h: int = 60) -> pd.DataFrame:
    """Hourly directions of the wind, each of which stays for days."""
    rng = np.random.default_rng([days, since])
    hours = 24 * since + np.arange(24 * days)
    changes = np.concatenate([[True], rng.random(hours.size - 1) < 1 / stays_h])
    wind = WINDS[rng.integers(0, 4, changes.sum())[np.cumsum(changes) - 1]]
    # Of every wind some hours come each day.
    wind = np.where(rng.random(hours.size) < 0.3, rng.choice(WINDS, hours.size), wind)
    return pd.DataFrame({"wind": wind, "at": START + pd.to_timedelta(hours, unit="h")})


def told(report: Report) -> list[str]:
    return [
        f"{one.severity} {one.cause}"
        for one in report.violations
        if one.constraint_check_type == "categorical_values_check"
    ]


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(winds(360), timestamp="at")


def renamed(week: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Have so many hours of one wind come under another name."""
    at = np.flatnonzero(week["wind"] == "NW")[:rows]
    wind = week["wind"].to_numpy(copy=True)
    wind[at] = "nw"
    return week.assign(wind=wind)


def test_a_level_that_never_came_pages_however_the_weeks_differ(baseline: Baseline) -> None:
    week = winds(7, 370)

    (found,) = told(check(renamed(week, 17), baseline))

    assert found.startswith("page 10.1% of values never seen in the reference")
    assert told(check(week, baseline)) == []


@pytest.mark.parametrize("rows", [4_900, 5_100])
def test_texts_cut_short_are_told_however_many_differ(rows: int) -> None:
    rng = np.random.default_rng(rows)

    def notes(count: int) -> list[str]:
        return ["".join(rng.choice(list("abcdef "), size)) for size in rng.integers(50, 400, count)]

    reference = Baseline.fit(pa.table({"note": notes(6_000)}))
    whole = notes(rows)

    assert check(pa.table({"note": whole}), reference).passed
    (cut,) = check(pa.table({"note": [one[:255] for one in whole]}), reference).violations
    assert cut.cause.startswith("100% of rows shorter than 256 characters")
