from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.tables import metadata
from tests.servers.postgres import BOTH


@pytest.fixture(params=BOTH)
def backend(request):
    return request.param


START = datetime(2013, 1, 1, tzinfo=UTC)


def point(minute: float, value: float, **more) -> Datapoint:
    time = START + timedelta(minutes=minute)
    return Datapoint("n", "m", {"a": "1"}, time, value=value, **more)


def read(connection, statistic="Sum", minutes=10, period_s=60, dimensions=None, **more):
    end = START + timedelta(minutes=minutes)
    found = metrics.read(
        connection, "n", "m", dimensions or {"a": "1"}, START, end, period_s, statistic, **more
    )
    return [((time - START) / timedelta(minutes=1), value) for time, value in found]


def test_the_same_source_replaces_what_it_put(engine):
    with engine.begin() as connection:
        metrics.put(connection, [point(0, 1), point(1, 2)], source="a")
        metrics.put(connection, [point(0, 10)], source="b")
        metrics.put(connection, [point(2, 5)], source="a")

        assert read(connection) == [(0, 10), (2, 5)]


def test_periods_are_half_open_and_empty_ones_absent(engine):
    with engine.begin() as connection:
        metrics.put(
            connection, [point(0, 1), point(4.999, 2), point(5, 4), point(10, 8)], source="a"
        )

        assert read(connection, period_s=300) == [(0, 3), (5, 4)]


def test_units_are_apart_when_asked_for_and_together_otherwise(engine):
    with engine.begin() as connection:
        put = [point(0, 1, unit="Count"), point(0, 2), point(0, 4, unit="Seconds")]
        metrics.put(connection, put, source="a")

        assert read(connection) == [(0, 7)]
        assert read(connection, unit="Count") == [(0, 1)]
        assert read(connection, unit="None") == [(0, 2)]


def test_the_latest_note_is_that_of_the_newest_datapoint_with_one(engine):
    with engine.begin() as connection:
        put = [point(0, 1, note={"cause": "old"}), point(1, 1, note={"cause": "new"}), point(2, 1)]
        metrics.put(connection, put, source="a")

        assert metrics.latest_note(connection, "n", "m", {"a": "1"}) == {"cause": "new"}
        assert metrics.latest_note(
            connection, "n", "m", {"a": "1"}, before=START + timedelta(minutes=1)
        ) == {"cause": "old"}
        assert metrics.latest_note(connection, "n", "other", {}) is None


@settings(max_examples=settings.default.max_examples // 2)
@given(
    st.lists(st.tuples(st.integers(0, 599), st.integers(-1000, 1000)), min_size=1, max_size=30),
    st.sampled_from([1, 7, 60, 300]),
)
def test_sums_over_periods_add_up_to_the_whole(values, period_s):
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        points = [point(second / 60, value) for second, value in values]
        metrics.put(connection, points, source="a")

        parts = read(connection, "Sum", period_s=period_s)
        lows = read(connection, "Minimum", period_s=period_s)
    engine.dispose()

    assert sum(value for _, value in parts) == sum(value for _, value in values)
    assert min(value for _, value in lows) == min(value for _, value in values)
