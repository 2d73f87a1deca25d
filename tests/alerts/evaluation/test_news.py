"""Where alarms that follow their datapoints are many, those with news are looked at between looks
at all of them, and nothing is missed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event

from driftline.alerts.alarms.records import get_alarm
from driftline.alerts.evaluation import news
from driftline.alerts.evaluation.news import News
from driftline.alerts.evaluation.states import set_state
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from tests.alerts.plants import NOON, Plant

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def looks(monkeypatch):
    """Return what each look was at: ids of alarms, or None for all."""
    monkeypatch.setattr(news, "ALARMS_A_SECOND", 1)
    found = []
    begin = News.begin

    def noted(self, *given):
        found.append(begin(self, *given))
        return found[-1]

    monkeypatch.setattr(News, "begin", noted)
    return found


@pytest.fixture
def plant(engine, clock, looks):
    """Four alarms with hourly windows, the first of which found nothing; the look after a look."""
    made = Plant(engine, clock)
    made.ids = {name: follow(made, name).id for name in NAMES}
    for name in NAMES:
        window(made, name, 0.0, hours=2)
    made.evaluator.step()
    assert made.to(NOON + SECOND) == []
    assert looks == [None, set()]
    looks.clear()
    return made


def follow(plant, name, **more):
    return plant.alarm(name, namespace="Driftline", metric_name=name, period=3600, **more)


def window(plant, name, value, *, hours=1, engine=None):
    point = Datapoint("Driftline", name, {}, NOON - hours * HOUR, value, period_s=3600)
    with (engine or plant.engine).begin() as connection:
        metrics.put(connection, [point], source=f"{name} {hours}")


def test_an_arrival_is_judged_at_once_and_the_others_are_not_read(plant, looks, monkeypatch):
    monkeypatch.setattr(news, "OVERTAKEN_S", 0.0)
    plant.to(NOON + SECOND)
    looks.clear()

    window(plant, "b", 99.0)

    assert plant.to(NOON + 2 * SECOND) == [("b", "ALARM")]
    assert plant.to(NOON + 3 * SECOND) == []
    assert looks == [{plant.ids["b"]}, set()]


def test_an_alarm_that_is_changed_or_new_is_judged_at_once(plant, looks):
    follow(plant, "c", threshold=-1.0)
    assert plant.to(NOON + 2 * SECOND) == [("c", "ALARM")]

    with plant.engine.begin() as connection:
        set_state(connection, "c", "OK", "for a moment", plant.clock())
    assert plant.to(NOON + 2 * SECOND) == [("c", "ALARM")]

    follow(plant, "e")
    window(plant, "e", 99.0)
    assert plant.to(NOON + 3 * SECOND) == [("e", "ALARM")]
    assert None not in looks


def test_an_alarm_without_data_is_not_looked_at_over_and_over(plant, looks, monkeypatch):
    monkeypatch.setattr(news, "OVERTAKEN_S", 0.0)
    late = follow(plant, "late")
    plant.to(NOON + 2 * SECOND)
    looks.clear()

    plant.to(NOON + 3 * SECOND)
    window(plant, "late", 99.0)

    assert plant.to(NOON + 3 * SECOND) == [("late", "ALARM")]
    assert looks == [set(), {late.id}]


def test_what_no_datapoint_tells_is_found_by_the_look_at_all(plant, looks):
    plant.to(NOON + 4 * SECOND)
    assert looks[-1] is None
    follow(plant, "d", treat_missing_data="breaching")
    plant.to(NOON + 5 * SECOND)

    assert ("d", "ALARM") in plant.to(NOON + 5 * HOUR)
    assert looks[-1] is None


def test_a_clock_that_is_set_back_leads_to_a_look_at_all(plant, looks):
    plant.to(NOON - SECOND)

    assert looks == [None]


class TestPlans:
    @pytest.fixture
    def backend(self):
        return "sqlite"

    def test_a_look_with_nothing_due_reads_no_table_of_alarms_or_numbers(self, plant):
        asked = []
        event.listen(plant.engine, "before_cursor_execute", lambda *what: asked.append(what[2:4]))
        assert plant.to(NOON + 2 * SECOND) == []
        statements = list(asked)
        with plant.engine.connect() as connection:
            plans = [
                row[-1]
                for statement, values in statements
                if statement.startswith("SELECT")
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            ]

        assert any("ix_alerts_alarms_changed" in plan for plan in plans)
        assert [plan for plan in plans if plan.startswith("SCAN")] == []


class TestPuts:
    """PostgreSQL numbers datapoints before they are stored."""

    @pytest.fixture
    def backend(self):
        return "postgresql"

    def test_one_that_others_overtake_is_judged(self, plant):
        point = Datapoint("Driftline", "a", {}, NOON - HOUR, 99.0, period_s=3600)
        with plant.engine.begin() as connection:
            metrics.put(connection, [point], source="slow")
            window(plant, "b", 99.0)
            assert plant.to(NOON + 2 * SECOND) == [("b", "ALARM")]

        assert plant.to(NOON + 3 * SECOND) == [("a", "ALARM")]
        with plant.engine.begin() as connection:
            assert get_alarm(connection, "a").state == "ALARM"
