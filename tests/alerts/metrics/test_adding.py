"""Adding datapoints as PutMetricData does, and reading many metrics at once."""

from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from driftline.alerts.errors import RequestChanged
from driftline.alerts.metrics import adding
from driftline.alerts.metrics.datapoint import Datapoint, metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.summary import Summary
from driftline.alerts.tables import requests
from tests.servers.postgres import BOTH
from tests.together import together


@pytest.fixture(params=BOTH)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def point(value: float | None = 1.0, *, minute: float = 0, name: str = "orders", **more):
    fields = {"namespace": "shop", "name": name, "dimensions": {}, "value": value}
    return Datapoint(**(fields | {"time": NOON + timedelta(minutes=minute)} | more))


def add(engine: Engine, *points: Datapoint, request_id: str | None = None, **more) -> int:
    with engine.begin() as connection:
        return adding.add(connection, points, request_id, **more)


def ask(name: str = "orders", *, start: float = 0, minutes: float = 60, period_s: int = 60, **more):
    begin = NOON + timedelta(minutes=start)
    key = metric_key(more.pop("namespace", "shop"), name, {})
    return SeriesRequest(key, begin, begin + timedelta(minutes=minutes), period_s, **more)


def read(engine: Engine, *requests: SeriesRequest):
    with engine.connect() as connection:
        return read_many(connection, requests)


def test_what_is_added_comes_on_top_of_what_is_there(engine: Engine) -> None:
    add(engine, point(1.0), point(3.0, minute=0.5))
    add(engine, point(5.0), point(7.0, minute=1))

    (found,) = read(engine, ask())

    assert found[0] == Summary(3.0, 9.0, 1.0, 5.0)
    assert found[1] == Summary(1.0, 7.0, 7.0, 7.0)
    assert list(found) == [0, 1]


def test_a_request_that_comes_again_within_the_hour_adds_nothing(engine: Engine) -> None:
    assert add(engine, point(), request_id="a", now=NOON) == 1
    assert add(engine, point(), request_id="a", now=NOON + timedelta(minutes=59)) == 0
    assert add(engine, point(), request_id="b", now=NOON) == 1

    (found,) = read(engine, ask())

    assert found[0].sample_count == 2


def test_the_id_of_a_request_is_forgotten_after_the_hour(engine: Engine) -> None:
    add(engine, point(), request_id="a", now=NOON)

    assert add(engine, point(), request_id="a", now=NOON + timedelta(minutes=61)) == 1
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(requests)) == 1


def test_an_id_that_comes_again_with_another_body_is_refused(engine: Engine) -> None:
    first, other = "1" * 32, "2" * 32
    assert add(engine, point(), request_id="a", digest=first, now=NOON) == 1

    with pytest.raises(RequestChanged, match=r'"a" came at 2026-03-02T12:00:00Z with another body'):
        add(engine, point(2.0), request_id="a", digest=other, now=NOON + timedelta(minutes=59))

    assert add(engine, point(), request_id="a", digest=first, now=NOON) == 0
    assert add(engine, point(), request_id="a", digest=other, now=NOON + 2 * HOUR) == 1
    assert add(engine, point(), request_id="a", digest=other, now=NOON + 2 * HOUR) == 0
    assert read(engine, ask())[0][0].sum == 2.0


def test_two_of_the_same_request_at_once_add_once(engine: Engine) -> None:
    send = partial(add, engine, point(), point(name="returns"), request_id="same")

    assert sorted(together(send, send)) == [0, 2]


def test_many_that_add_to_the_same_new_metrics_at_once_lose_nothing(engine: Engine) -> None:
    def send(number: int) -> None:
        names = [f"m{which}" for which in np.random.default_rng(number).permutation(40)]
        add(engine, *(point(1.0, name=name) for name in names))
        add(engine, *(point(1.0, name=name, namespace="Driftline") for name in names))

    together(*(partial(send, number) for number in range(4)))

    found = read(engine, *(ask(f"m{n}") for n in range(40)))
    assert [one[0].sample_count for one in found] == [4.0] * 40


def test_units_are_kept_apart_and_taken_together(engine: Engine) -> None:
    add(engine, point(1.0), point(2.0, unit="Count"), point(4.0, unit="None"))

    alone, unitless, both = read(engine, ask(unit="Count"), ask(unit="None"), ask())

    assert (alone[0].sum, unitless[0].sum, both[0].sum) == (2.0, 5.0, 7.0)
    assert read(engine, ask(unit="Bananas")) == [{}]


def test_percentiles_come_from_values_counts_and_single_values(engine: Engine) -> None:
    add(engine, point(None, values=[1.0, 2.0, 30.0], counts=[5, 4, 1]), point(2.5))

    (found,) = read(engine, ask(needs_distribution=True))

    assert found[0].get("p50") == 2.0
    assert found[0].get("p100") == 30.0
    assert found[0].get("PR(:2)") == pytest.approx(100 * 9 / 11)
    assert found[0].get("SampleCount") == 11


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=settings.default.max_examples // 5,
)
@given(data=st.data())
def test_many_requests_at_once_get_what_each_gets_alone(engine: Engine, data: st.DataObject):
    minutes = st.integers(-400, 400)
    points = data.draw(
        st.lists(st.tuples(minutes, st.integers(0, 3), st.floats(-9, 9)), max_size=20)
    )
    add(engine, *(point(value, minute=minute, name=f"m{which}") for minute, which, value in points))
    asked = data.draw(
        st.lists(
            st.builds(
                lambda which, start, length, period: ask(
                    f"m{which}", start=start, minutes=length, period_s=period
                ),
                st.integers(0, 4),
                minutes,
                st.integers(1, 500),
                st.sampled_from([60, 300, 3600]),
            ),
            max_size=6,
        )
    )

    assert read(engine, *asked) == [read(engine, one)[0] for one in asked]
