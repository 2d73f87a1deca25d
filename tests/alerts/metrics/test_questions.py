"""GetMetricStatistics and ListMetrics by their rules."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics import adding
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.questions import (
    StatisticsRequest,
    aligned_start,
    aws_metrics,
    metric_statistics,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def point(value: float | None, name: str = "orders", *, time=NOON, dimensions=None, **more):
    return Datapoint("shop", name, dimensions or {}, time, value, **more)


def add(engine: Engine, *points: Datapoint) -> None:
    with engine.begin() as connection:
        adding.add(connection, points)


def asked(**more) -> StatisticsRequest:
    fields = {
        "namespace": "shop",
        "name": "orders",
        "dimensions": {},
        "start": NOON,
        "end": NOON + HOUR,
        "period_s": 300,
        "statistics": ["Average"],
    }
    return StatisticsRequest(**(fields | more))


def statistics(engine: Engine, now: datetime = NOON + HOUR, **more):
    with engine.connect() as connection:
        return metric_statistics(connection, asked(**more), now)


def test_without_a_unit_each_unit_has_a_datapoint_of_its_own(engine: Engine) -> None:
    # Recorded from the service: three datapoints, None, Count and Seconds.
    add(engine, point(1.0), point(2.0, unit="Count"), point(3.0, unit="Seconds"))

    found = statistics(engine)

    assert [(one["unit"], one["average"]) for one in found] == [
        ("Count", 2.0),
        ("None", 1.0),
        ("Seconds", 3.0),
    ]
    assert [one["average"] for one in statistics(engine, unit="Count")] == [2.0]


def test_the_start_is_included_and_the_end_is_not(engine: Engine) -> None:
    add(engine, point(1.0), point(2.0, time=NOON + HOUR))

    assert [one["average"] for one in statistics(engine)] == [1.0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"end": NOON},
            "The parameter StartTime must be less than the parameter EndTime.",
        ),
        (
            {"end": NOON + 25 * HOUR, "period_s": 60},
            "You have requested up to 1500 datapoints, which exceeds the limit of 1440. You may "
            "reduce the datapoints requested by increasing Period, or decreasing the time range.",
        ),
        (
            {"period_s": 90},
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60 up t",
        ),
        ({"period_s": 86_460}, "The parameter Period must be"),
        ({"statistics": []}, "At least one of the parameters Statistics and ExtendedStatistics mu"),
        ({"statistics": ["p101"]}, 'statistic "p101"; expected one of'),
        ({"unit": "Bananas"}, 'unit "Bananas"'),
        ({"name": ""}, "metric name ''"),
    ],
)
def test_a_wrong_question_is_refused(more, message):
    with pytest.raises(DatapointError) as caught:
        asked(**more)
    assert str(caught.value).startswith(message)


# As documented of StartTime: CloudWatch API reference, GetMetricStatistics and GetMetricData.
@pytest.mark.parametrize(
    ("age", "periods_s", "wanted"),
    [
        (timedelta(seconds=1), [60], "12:32:00"),
        (timedelta(hours=2), [300], "12:32:00"),
        (timedelta(hours=2), [1], "12:32:00"),
        (timedelta(hours=2), [5], "12:32:30"),
        (timedelta(hours=2), [10], "12:32:30"),
        (timedelta(hours=2), [20], "12:32:20"),
        (timedelta(hours=2), [30], "12:32:30"),
        (timedelta(hours=2), [10, 20], "12:32:20"),
        (timedelta(hours=2), [20, 30], "12:32:00"),
        (timedelta(hours=2), [10, 60], "12:32:00"),
        (timedelta(days=14, hours=23), [60], "12:32:00"),
        (timedelta(days=15), [60], "12:30:00"),
        (timedelta(days=16), [10], "12:30:00"),
        (timedelta(days=63), [60], "12:30:00"),
        (timedelta(days=63, seconds=1), [60], "12:00:00"),
        (-timedelta(hours=1), [60], "12:32:00"),
    ],
)
def test_starts_are_rounded_down_by_their_age_and_by_short_periods(age, periods_s, wanted):
    start = datetime(2024, 5, 5, 12, 32, 34, 500_000, tzinfo=UTC)

    found = aligned_start(start, start + age, periods_s)

    assert (found.date(), found.time().isoformat()) == (start.date(), wanted)


def test_pages_hold_every_metric_once(engine: Engine) -> None:
    add(engine, *(point(1.0, f"m{n}", dimensions={"odd": str(n % 2)}) for n in range(25)))
    found, token = [], None
    with engine.connect() as connection:
        while True:
            page = aws_metrics(
                connection, NOON, dimensions=[("odd", "1")], limit=5, next_token=token
            )
            found += [one.name for one in page.metrics]
            assert len(page.metrics) <= 5
            if page.next_token is None:
                break
            token = page.next_token

    assert sorted(found) == sorted(f"m{n}" for n in range(25) if n % 2)
