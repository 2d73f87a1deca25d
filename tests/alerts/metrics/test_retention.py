"""Retention: packed and rolled up, everything adds up to what was put; nothing is seen twice."""

import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, func, select

from driftline.alerts.metrics import adding
from driftline.alerts.metrics.datapoint import Datapoint, metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.retention import MetricRetention
from driftline.alerts.tables import blocks, samples
from tests.servers.postgres import BOTH


@pytest.fixture(params=BOTH)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RANDOM = np.random.default_rng(6)


def add(engine: Engine, *points: Datapoint) -> None:
    with engine.begin() as connection:
        adding.add(connection, points)


def point(value: float | None, time: datetime, *, name: str = "orders", **more) -> Datapoint:
    return Datapoint("shop", name, {}, time, value, **more)


def read(engine, start, length=HOUR, period_s=60, *, name="orders", unit=None):
    key = metric_key("shop", name, {})
    request = SeriesRequest(key, start, start + length, period_s, unit, needs_distribution=True)
    with engine.connect() as connection:
        return read_many(connection, [request])[0]


def plain(found):
    """What can be compared: distributions have no equality."""
    return {
        index: (one.sample_count, round(one.sum, 9), one.minimum, one.maximum, one.get("p90"))
        for index, one in found.items()
    }


def step(engine: Engine, now: datetime):
    return MetricRetention(engine, lambda: now).step()


def levels(engine: Engine) -> dict[int, int]:
    with engine.connect() as connection:
        found = select(blocks.c.level_s, func.count()).group_by(blocks.c.level_s)
        return dict(tuple(row) for row in connection.execute(found))


def an_hour(start: datetime) -> list[Datapoint]:
    """Minutes of all kinds: values, several values, statistic sets, units."""
    made = []
    for minute in range(0, 60, 2):
        time = start + timedelta(minutes=minute)
        made += [
            point(float(RANDOM.normal()), time),
            point(float(RANDOM.normal()), time, unit="Count"),
            point(None, time, values=RANDOM.normal(size=3).tolist(), counts=[1, 0.5, 2]),
        ]
    return [
        *made,
        point(
            None, start + 59 * timedelta(minutes=1),
            sample_count=2.0, sum=3.0, minimum=1.0, maximum=2.0,
        ),
    ]  # fmt: skip


def test_a_complete_hour_is_packed_and_reads_as_before(engine: Engine) -> None:
    add(engine, *an_hour(NOON), *an_hour(NOON + HOUR))
    before = [read(engine, NOON, 2 * HOUR, period) for period in (60, 300, 3600)]

    done = step(engine, NOON + HOUR + timedelta(minutes=70))

    assert done.packed == 61
    assert levels(engine) == {60: 2}
    after = [read(engine, NOON, 2 * HOUR, period) for period in (60, 300, 3600)]
    assert [plain(one) for one in after] == [plain(one) for one in before]
    assert before[0][59].get("p90") is None


def test_what_comes_late_is_read_at_once_and_packed_again(engine: Engine) -> None:
    add(engine, point(1.0, NOON), point(2.0, NOON + timedelta(minutes=5)))
    step(engine, NOON + 3 * HOUR)
    add(engine, point(7.0, NOON), point(3.0, NOON + timedelta(minutes=3)))
    at_once = read(engine, NOON)

    assert step(engine, NOON + 3 * HOUR).packed == 2

    assert plain(read(engine, NOON)) == plain(at_once)
    assert at_once[0].sum == 8.0
    assert list(at_once) == [0, 3, 5]
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(samples)) == 0
        assert connection.scalar(select(func.count()).select_from(blocks)) == 1


# CloudWatch User Guide, "Metrics retention": 1 s for 3 h, 60 s for 15 d, 300 s for 63 d,
# 3600 s for 455 d.
@pytest.mark.first(9)
@pytest.mark.parametrize(
    ("kept", "age", "level"),
    [
        (1, HOUR * 4 - timedelta(seconds=1), 1),
        (1, HOUR * 4, 60),
        (60, 15 * DAY, 60),
        (60, 16 * DAY, 300),
        (60, 63 * DAY, 300),
        (60, 64 * DAY, 3600),
        (60, 455 * DAY, 3600),
        (60, 486 * DAY, None),
    ],
)
def test_periods_are_kept_as_long_as_cloudwatch_keeps_them(engine, kept, age, level) -> None:
    midnight = NOON.replace(hour=0)
    add(engine, point(4.0, midnight + timedelta(seconds=7), period_s=kept))

    step(engine, midnight + age)

    assert list(levels(engine)) == ([] if level is None else [level])
    day = read(engine, midnight, DAY, 86_400)
    assert [one.sum for one in day.values()] == ([] if level is None else [4.0])


def test_rolling_up_loses_resolution_and_nothing_else(engine: Engine) -> None:
    midnight = NOON.replace(hour=0)
    for hour in range(24):
        add(engine, *an_hour(midnight + hour * HOUR))
    five, hours = (plain(read(engine, midnight, DAY, period)) for period in (300, 3600))

    step(engine, midnight + 16 * DAY)
    assert plain(read(engine, midnight, DAY, 300)) == five
    assert read(engine, midnight, DAY, 60) == {}

    step(engine, midnight + 64 * DAY)
    assert plain(read(engine, midnight, DAY, 3600)) == hours
    assert read(engine, midnight, DAY, 300) == {}
    assert levels(engine) == {3600: 2}


def test_two_at_once_and_a_reader_see_every_point_once(engine: Engine) -> None:
    names = [f"m{number}" for number in range(30)]
    for hour in range(4):
        add(engine, *(point(1.0, NOON + hour * HOUR, name=name) for name in names))
    requests_ = [
        SeriesRequest(metric_key("shop", name, {}), NOON, NOON + 4 * HOUR, 3600) for name in names
    ]
    sums: list[float] = []
    ended = threading.Event()
    failures: list[BaseException] = []

    def guarded(work) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
            raise

    def look() -> None:
        while not ended.is_set():
            with engine.connect() as connection:
                found = read_many(connection, requests_)
            sums.append(sum(one.sum for each in found for one in each.values()))

    reader = threading.Thread(target=guarded, args=(look,))
    keepers = [
        threading.Thread(target=guarded, args=(lambda: step(engine, NOON + 20 * DAY),))
        for _ in range(2)
    ]
    reader.start()
    for keeper in keepers:
        keeper.start()
    for keeper in keepers:
        keeper.join()
    ended.set()
    reader.join()

    assert failures == []
    assert set(sums) <= {120.0}
    assert levels(engine) == {300: 30}
    found = read(engine, NOON, 4 * HOUR, 3600, name="m7")
    assert {index: one.sum for index, one in found.items()} == {0: 1, 1: 1, 2: 1, 3: 1}
