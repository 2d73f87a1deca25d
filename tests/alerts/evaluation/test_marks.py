"""What is kept of the judging by the clock: through kills, wrong clocks and broken rows."""

from datetime import timedelta

import pytest

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
