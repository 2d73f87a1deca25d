"""What is kept of the judging by the clock: through kills, wrong clocks and broken rows."""

from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, update

from driftline.alerts import tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.evaluation import passes
from driftline.alerts.evaluation.evaluator import Evaluator
from tests.alerts.plants import MINUTE, NOON, Plant


@pytest.fixture
def plant(engine, clock):
    return Plant(engine, clock)


class KilledError(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


def test_changes_are_told_once_though_their_ticks_were_never_marked(plant, engine, monkeypatch):
    """Killed behind the last write of states, before the part of three ticks was marked."""
    plant.alarm()
    plant.put(1, NOON - MINUTE)
    plant.to(NOON)
    for minute, value in enumerate([1, 50, 1, 1, 1]):
        plant.put(value, NOON + minute * MINUTE)

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(passes, "finish", die)
        with pytest.raises(KilledError):
            plant.to(NOON + 3 * MINUTE)
    plant.evaluator = Evaluator(engine, now=plant.clock)

    assert plant.to(NOON + 3 * MINUTE + timedelta(seconds=passes.LEASE_S)) == []
    with engine.begin() as connection:
        told = alarms.history(connection, "hot", type="StateUpdate")
    assert [one.summary for one in reversed(told)] == [
        "Alarm updated from INSUFFICIENT_DATA to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from ALARM to OK",
    ]


def test_an_alarm_that_was_stored_while_the_clock_was_far_ahead_is_judged(plant, engine):
    plant.clock.time = NOON + timedelta(days=365)
    plant.alarm()
    plant.evaluator.step()
    plant.evaluator = Evaluator(engine, now=plant.clock)
    plant.put(50, NOON)

    assert plant.to(NOON + MINUTE) == [("hot", "ALARM")]


def test_an_alarm_that_nobody_can_read_costs_nothing_between_two_ticks(plant, engine):
    plant.alarm()
    with engine.begin() as connection:
        connection.execute(update(tables.alarms).values(definition={"period": 60}))
    plant.to(NOON)
    plant.to(NOON + timedelta(seconds=1))
    statements = []
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))

    plant.to(NOON + timedelta(seconds=2))

    assert not [one for one in statements if "alerts_alarms.definition" in one]


def test_a_follower_that_nobody_can_read_is_told_once_and_says_why(house, plant, engine):
    house.alarm()
    plant.to(NOON)
    broken = {"definition": {"period": 60}, "updated_at": NOON + timedelta(milliseconds=1)}
    with engine.begin() as connection:
        connection.execute(update(tables.alarms).values(broken))

    for second in range(1, 5):
        plant.to(NOON + timedelta(seconds=second))

    assert plant.evaluator.failures.count == 1
    with engine.begin() as connection:
        query = select(tables.alarms.c.evaluation_state, tables.alarms.c.evaluation_problem)
        state, problem = connection.execute(query).one()
    assert (state, "is missing" in problem) == ("EVALUATION_ERROR", True)


def test_a_follower_that_cannot_be_judged_is_told_once_until_it_can(
    house, plant, engine, monkeypatch
):
    def fail(*_, **__):
        raise ValueError("no such band")

    house.alarm()
    house.put(1)
    with monkeypatch.context() as patched:
        patched.setattr("driftline.alerts.evaluation.periods.evaluate_periods", fail)
        for second in range(4):
            assert plant.to(NOON + timedelta(seconds=second)) == []
    query = select(tables.alarms.c.evaluation_state, tables.alarms.c.evaluation_problem)
    with engine.begin() as connection:
        assert connection.execute(query).one() == ("EVALUATION_ERROR", "no such band")
    assert plant.evaluator.failures.count == 1

    assert plant.to(NOON + timedelta(seconds=5)) == [("drift", "ALARM")]
    with engine.begin() as connection:
        assert connection.execute(query).one() == (None, None)
        assert connection.scalar(select(func.count()).select_from(tables.history)) == 2


def test_days_are_read_one_by_one_over_a_spring_and_an_autumn(plant, engine, house):
    """New York's days of 23 and 25 hours: their sum is even, the days between are moved."""
    zone = {"wall_clock_window": {"timezone": "America/New_York"}}
    plant.alarm(
        namespace="Driftline", period=86_400, statistic="Sum", evaluation_window=zone,
        evaluation_periods=300, datapoints_to_alarm=1, threshold=1.0,
        dimensions={"Endpoint": "flights"},
    )  # fmt: skip
    house.day = NOON.replace(month=7, day=4, year=2025, hour=0)
    # 00:30 and 23:30 of the local 3rd and 4th of July: one value a local day.
    house.day += timedelta(hours=3, minutes=30)
    house.put_one(1, day=0, name="load", period_s=60)
    house.day += timedelta(hours=1)
    house.put_one(1, day=0, name="load", period_s=60)

    assert plant.to(NOON) == [("hot", "OK")]


def test_two_machines_whose_clocks_differ_by_half_a_minute_tell_each_change_once(plant, engine):
    second = timedelta(seconds=1)
    plant.clock.time = NOON - MINUTE
    plant.alarm(period=10, evaluation_range=1)
    for place in range(-6, 12):
        plant.put(50 if place == 3 else 1, NOON + (10 * place + 5) * second, period_s=1)
    plant.to(NOON)
    behind = Evaluator(engine, now=lambda: plant.clock() - 30 * second)
    found = []

    for step in range(1, 13):
        found += plant.to(NOON + 10 * step * second)
        found += [(one.alarm_name, one.new) for one in behind.step()]

    assert found == [("hot", "ALARM"), ("hot", "OK")]
