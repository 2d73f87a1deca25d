"""Adding datapoints as PutMetricData does, and reading many metrics at once."""

from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, func, select

from driftline.alerts.errors import DatapointError, RequestChanged
from driftline.alerts.metrics import adding, store
from driftline.alerts.metrics.datapoint import Datapoint, metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.summary import Summary
from driftline.alerts.tables import datapoints, metrics, requests, samples
from tests.together import together

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


def test_a_metric_that_nothing_was_put_for_has_no_periods(engine: Engine) -> None:
    add(engine, point())

    assert read(engine, ask("returns"), ask()) == [{}, {0: Summary(1.0, 1.0, 1.0, 1.0)}]
    assert read(engine) == []


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


def test_a_request_that_failed_may_come_again(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        adding.add(connection, [point()], "a")
        raise ZeroDivisionError

    assert add(engine, point(), request_id="a") == 1


@pytest.mark.parametrize("request_id", ["", "x" * 129])
def test_ids_of_requests_have_a_length(engine: Engine, request_id: str) -> None:
    with pytest.raises(DatapointError, match="1 to 128 characters"):
        add(engine, point(), request_id=request_id)


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


def test_high_resolution_is_kept_by_the_second_and_the_rest_by_the_minute(engine: Engine) -> None:
    add(engine, point(1.0, minute=0.5, period_s=1), point(2.0, minute=0.5, name="slow"))

    fast, slow = read(engine, ask(period_s=10), ask("slow", period_s=10))

    assert list(fast) == [3]
    assert list(slow) == [0]


def test_percentiles_come_from_values_counts_and_single_values(engine: Engine) -> None:
    add(engine, point(None, values=[1.0, 2.0, 30.0], counts=[5, 4, 1]), point(2.5))

    (found,) = read(engine, ask(needs_distribution=True))

    assert found[0].get("p50") == 2.0
    assert found[0].get("p100") == 30.0
    assert found[0].get("PR(:2)") == pytest.approx(100 * 9 / 11)
    assert found[0].get("SampleCount") == 11


def test_percentiles_are_not_told_where_a_statistic_set_hides_the_values(engine: Engine) -> None:
    hidden = {"sample_count": 3.0, "sum": 9.0, "minimum": 1.0, "maximum": 5.0}
    equal = {"sample_count": 3.0, "sum": 6.0, "minimum": 2.0, "maximum": 2.0}
    add(engine, point(None, **equal), point(None, minute=1, **hidden), point(1.0, minute=1))

    (found,) = read(engine, ask(needs_distribution=True))

    assert found[0].get("p99") == 2.0
    assert found[1].get("p99") is None
    assert found[1].get("Average") == 2.5


def test_values_of_a_monitor_have_percentiles_too(engine: Engine) -> None:
    with engine.begin() as connection:
        several = point(None, values=[3.0, 1.0], namespace="Driftline", period_s=3600)
        store.put(connection, [several], source="monitor:x")

    (found,) = read(engine, ask(namespace="Driftline", needs_distribution=True))

    assert found[0].get("p50") == 1.0


def test_metrics_that_alarms_follow_are_added_where_they_are_seen_to_arrive(engine: Engine) -> None:
    add(engine, point(namespace="Driftline"), point())
    add(engine, point(namespace="Driftline"))

    with engine.connect() as connection:
        rows = connection.execute(
            select(metrics.c.namespace, metrics.c.revision, metrics.c.covered_until)
        ).all()
        assert connection.scalar(select(func.count()).select_from(datapoints)) == 2
        assert connection.scalar(select(func.count()).select_from(samples)) == 1
    assert sorted(rows) == [("Driftline", 2, NOON + timedelta(minutes=1)), ("shop", 0, None)]


def test_the_row_of_a_plain_metric_is_touched_once_in_ten_minutes(engine: Engine) -> None:
    add(engine, point())
    touched: list[str] = []
    event.listen(
        engine,
        "before_cursor_execute",
        lambda _c, _u, statement, *_: touched.append(statement.split()[0]),
    )

    for minute in range(1, 11):
        add(engine, point(minute=minute))
    assert "UPDATE" not in touched

    add(engine, point(minute=11))
    assert touched.count("UPDATE") == 1
    with engine.connect() as connection:
        assert connection.scalar(select(metrics.c.active_at)) == NOON + timedelta(minutes=11)


def test_requests_of_many_metrics_take_few_statements(engine: Engine) -> None:
    names = [f"m{n}" for n in range(1200)]
    add(engine, *(point(float(n), name=name) for n, name in enumerate(names)))
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, text, *_: statements.append(text))

    found = read(engine, *(ask(name, start=-(n % 7), minutes=8) for n, name in enumerate(names)))

    assert len(statements) <= 14
    assert [sum(one.sum for one in each.values()) for each in found] == [
        float(n) for n in range(1200)
    ]


def test_periods_of_a_past_asked_one_by_one_are_read_together(engine: Engine) -> None:
    add(engine, *(point(float(hour), minute=60 * hour) for hour in range(200)))
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, text, *_: statements.append(text))

    found = read(engine, *(ask(start=60 * hour, period_s=3600) for hour in range(200)))

    assert len(statements) <= 5
    assert [one[0].sum for one in found] == [float(hour) for hour in range(200)]


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


def test_one_statistic_may_be_an_extended_one(engine: Engine) -> None:
    hidden = {"sample_count": 3.0, "sum": 9.0, "minimum": 1.0, "maximum": 5.0}
    add(engine, point(None, values=[1.0, 2.0, 3.0]), point(None, minute=1, **hidden))

    with engine.connect() as connection:
        found = store.read(
            connection, "shop", "orders", {}, NOON, NOON + timedelta(hours=1), 60, "p50"
        )

    assert found == [(NOON, 2.0)]


def test_long_ranges_of_many_metrics_are_read_in_parts(engine: Engine) -> None:
    names = [f"m{n}" for n in range(60)]
    add(engine, *(point(float(n), name=name) for n, name in enumerate(names)))
    days = 20 * 24 * 60
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, text, *_: statements.append(text))

    found = read(engine, *(ask(name, minutes=days, period_s=3600) for name in names))

    # A million minutes at a time are those of 34 metrics: twice two statements, and two before.
    assert [one[0].sum for one in found] == [float(n) for n in range(60)]
    assert len([one for one in statements if one.startswith("SELECT")]) == 6
