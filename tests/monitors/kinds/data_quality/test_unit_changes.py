"""Numbers that the reference never had, and that are its own in another unit."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.distinct import NumberCounts
from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.kinds.data_quality.unit_changes import in_another_unit
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation

START = datetime(2025, 1, 1, tzinfo=UTC)


def trips(days: int, since: int = 0, *, routes: int = 60) -> pd.DataFrame:
    """Trips of five carriers on routes of whole miles, each of one carrier."""
    miles = np.random.default_rng(7).permutation(np.arange(150, 2_500))[:80].astype(float)
    rng, count = np.random.default_rng([days, since]), 300 * days
    route = rng.integers(0, routes, count)
    return pd.DataFrame(
        {
            "miles": miles[route],
            "carrier": np.char.add("c", (route % 5).astype(str)),
            "at": START + pd.to_timedelta(since + days * np.sort(rng.random(count)), unit="D"),
        }
    )


def units(report: Report) -> list[Violation]:
    return [one for one in report.violations if one.constraint_check_type == "unit_change_check"]


@pytest.mark.parametrize("routes", [60, 63])
def test_whole_kilometres_from_one_carrier_are_told_with_it(routes: int) -> None:
    """With and without some routes that are new; a reference of 30 days."""
    baseline = Baseline.fit(trips(30), timestamp="at")
    week = trips(7, 31, routes=routes)
    is_guilty = week["carrier"] == "c4"

    metric = week.assign(miles=week.miles.mask(is_guilty, np.round(week.miles * 1.609344)))
    (found,) = units(check(metric, baseline))

    assert (found.feature_name, found.severity) == ("miles", "page")
    assert "looks like kilometres instead of miles" in found.cause
    assert found.fault is not None
    assert found.fault.kind == "unit_change"
    assert found.segment is not None
    assert (found.segment.column, found.segment.level) == ("carrier", "c4")
    assert units(check(week, baseline)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda miles: miles + 1,
        lambda miles: np.round(miles * 1.3),
        lambda miles: np.round(miles / 5) * 5,
        lambda miles: miles * 7,
        lambda miles: miles * 1e300,
    ],
)
def test_new_numbers_that_are_no_known_ones_in_another_unit(change) -> None:
    known, week = trips(30).miles, change(trips(7, 31).miles)

    found, unit = in_another_unit(counts(week.to_numpy(), 1), counts(known.to_numpy(), 1))

    assert (found.any(), unit) == (False, None)


def counts(values: np.ndarray, times: int) -> NumberCounts:
    found = NumberCounts()
    found.update(np.sort(np.repeat(np.asarray(values, np.float64), times)))
    return found
