"""Alarms on plain metrics are judged by the clock, as CloudWatch's."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import func, select, update

from driftline.alerts import tables
from driftline.alerts.evaluation import passes
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.evaluation.replay import replay
from tests.alerts.plants import MINUTE, NOON, Plant
from tests.servers.postgres import both_databases, both_in_full
from tests.together import together


@pytest.fixture
def plant(engine, clock):
    return Plant(engine, clock)


@both_in_full
def test_a_new_alarm_is_judged_at_once_with_data_from_before_it(plant):
    plant.put(50, NOON - MINUTE)
    plant.alarm()

    assert plant.to(NOON + timedelta(seconds=5)) == [("hot", "ALARM")]


def test_the_window_slides_by_the_minute_not_by_the_period(plant):
    """Reference 2.2: a 300 s alarm evaluated at minute 6 looks at minutes 2 to 6."""
    for minute in range(10):
        plant.put(1 if minute != 1 else 50, NOON + minute * MINUTE)
    plant.clock.time = NOON - MINUTE
    plant.alarm(period=300, evaluation_periods=1, evaluation_range=1)
    plant.evaluator.step()

    found = {minute: plant.to(NOON + minute * MINUTE) for minute in range(1, 9)}

    assert {minute: one for minute, one in found.items() if one} == {
        1: [("hot", "OK")],
        2: [("hot", "ALARM")],
        7: [("hot", "OK")],
    }


@both_in_full
def test_an_evaluator_whose_lease_was_taken_tells_nothing_that_the_other_did_not_see(
    plant, engine, monkeypatch
):
    plant.put(1, NOON - MINUTE)
    plant.alarm(treat_missing_data="breaching", evaluation_range=1)
    plant.to(NOON)
    other = Evaluator(engine, now=plant.clock)
    clocked = plant.evaluator._scheduled
    store = clocked._store

    def stand_still(*parts, **more):
        # It has seen no datapoint, and is stopped until its lease is over.
        monkeypatch.setattr(clocked, "_store", store)
        plant.put(1, NOON)
        plant.clock.time += timedelta(seconds=passes.LEASE_S + 1)
        other.step()
        return store(*parts, **more)

    monkeypatch.setattr(clocked, "_store", stand_still)

    assert plant.to(NOON + MINUTE) == []
    assert plant.state() == "OK"


@both_in_full
def test_windows_of_several_days_are_judged_once_an_hour(plant):
    plant.alarm(period=86_400, evaluation_periods=2, datapoints_to_alarm=1)
    plant.put(1, NOON - MINUTE)
    plant.to(NOON)
    plant.put(50, NOON + MINUTE)

    assert plant.to(NOON + 59 * MINUTE) == []
    assert plant.to(NOON + 60 * MINUTE) == [("hot", "ALARM")]


def test_a_machine_that_slept_wakes_nobody_until_the_writers_had_their_time(plant):
    plant.alarm("missing")
    plant.alarm("breaching", treat_missing_data="breaching")
    plant.put(1, NOON - MINUTE)
    plant.to(NOON)
    woken = NOON + timedelta(hours=8)

    assert plant.to(woken) == []
    assert plant.to(woken + MINUTE) == []
    found = plant.to(woken + 2 * MINUTE)

    assert sorted(found) == [("breaching", "ALARM"), ("missing", "INSUFFICIENT_DATA")]


def test_metric_math_is_judged_with_its_missing_data(plant):
    queries = [
        {
            "id": f"m{number}", "return_data": False,
            "metric_stat": {
                "metric": {"namespace": "Plant", "metric_name": f"load {number}"},
                "period": 60, "stat": "Sum",
            },
        }
        for number in range(2)
    ]  # fmt: skip
    queries.append({"id": "e1", "expression": "m0 + m1"})
    plant.alarm(metrics=queries)
    plant.put(6, NOON, name="load 0")
    plant.put(6, NOON + MINUTE, name="load 0")
    plant.put(6, NOON + MINUTE, name="load 1")

    assert plant.to(NOON) == []
    assert plant.to(NOON + MINUTE) == [("hot", "OK")]
    assert plant.to(NOON + 2 * MINUTE) == [("hot", "ALARM")]


@both_in_full
def test_days_of_a_time_zone_are_judged_by_the_clock_also_where_an_hour_is_missing(plant):
    """New York, 2026-03-08, has 23 hours: it ends at 04:00 UTC of the 9th."""
    zone = {"wall_clock_window": {"timezone": "America/New_York"}}
    plant.clock.time = datetime(2026, 3, 8, 12, tzinfo=UTC)
    plant.alarm(
        period=86_400, statistic="Sum", evaluation_window=zone, threshold=22.5,
        evaluation_range=1,
    )  # fmt: skip
    for hour in range(24):
        plant.put(1, datetime(2026, 3, 8, 5, tzinfo=UTC) + timedelta(hours=hour))

    assert plant.to(datetime(2026, 3, 9, 3, 59, tzinfo=UTC)) == []
    assert plant.to(datetime(2026, 3, 9, 4, 0, tzinfo=UTC)) == [("hot", "ALARM")]


@both_in_full
def test_an_alarm_that_cannot_be_judged_says_so_and_stops_no_other(plant, engine):
    plant.alarm("broken")
    plant.alarm("sound")
    plant.to(NOON)
    with engine.begin() as connection:
        broken = update(tables.alarms).where(tables.alarms.c.name == "broken")
        connection.execute(broken.values(definition={"period": 60}, updated_at=NOON + MINUTE / 2))
    plant.put(50, NOON)

    assert plant.to(NOON + MINUTE) == [("sound", "ALARM")]

    assert plant.evaluator.failures.count >= 1
    with engine.begin() as connection:
        query = select(tables.alarms.c.evaluation_state, tables.alarms.c.evaluation_problem)
        state, problem = connection.execute(query.where(tables.alarms.c.name == "broken")).one()
    assert state == "EVALUATION_ERROR"
    assert "missing" in problem


@both_databases
def test_two_evaluators_share_the_ticks_and_tell_each_change_once(plant, engine, clock):
    for number in range(40):
        plant.alarm(f"alarm {number}")
    plant.put(1, NOON - MINUTE)
    plant.to(NOON)
    found = []
    for minute in range(1, 6):
        plant.put(50 if minute % 2 else 1, NOON + (minute - 1) * MINUTE)
        clock.time = NOON + minute * MINUTE
        first, second = together(*(Evaluator(engine, now=clock).step for _ in range(2)))
        found += first + second

    with engine.begin() as connection:
        query = select(func.count()).where(tables.history.c.type == "StateUpdate")
        assert connection.scalar(query) == len(found) + 40 == 40 * 6


@both_in_full
def test_the_part_of_an_evaluator_that_died_is_taken_over_when_its_lease_ends(plant, engine):
    record = plant.alarm()
    plant.to(NOON)
    plant.put(50, NOON)
    tick = NOON + MINUTE
    part = passes.Pass(60, record.id % 8, (tick,))
    with engine.begin() as connection:
        assert passes.claim(connection, part, tick, "who died")

    assert plant.to(tick) == []
    assert plant.to(tick + timedelta(seconds=passes.LEASE_S - 1)) == []
    assert plant.to(tick + timedelta(seconds=passes.LEASE_S)) == [("hot", "ALARM")]


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("backend", "treat"),
    [
        *(("sqlite", treat) for treat in ("missing", "breaching")),
        pytest.param("postgresql", "missing", marks=[pytest.mark.postgres, pytest.mark.full]),
    ],
)
def test_live_evaluation_and_replay_say_the_same_minute_by_minute(plant, treat):
    rng = np.random.default_rng(20260115)
    rules = {"evaluation_periods": 3, "datapoints_to_alarm": 2, "treat_missing_data": treat}
    plant.alarm(**rules)
    plant.to(NOON)
    begun, live, points = plant.state(), [], []
    for minute in range(60):
        at = NOON + minute * MINUTE
        # Silence in runs, so that all rules of missing data have their turn.
        if rng.random() < (0.8 if minute // 10 % 2 else 0.3):
            value = float(rng.choice([1.0, 50.0]))
            plant.put(value, at)
            points.append({"Timestamp": at.isoformat(), "Value": value})
        plant.to(at + MINUTE)
        live.append(plant.state())

    document = {
        "alarm": {
            "alarm_name": "hot", "namespace": "Plant", "metric_name": "load", "period": 60,
            "threshold": 10.0, "statistic": "Maximum",
            "comparison_operator": "GreaterThanThreshold", **rules,
        },
        "datapoints": points, "initial_state": begun,
        "start": NOON.isoformat(), "end": (NOON + 60 * MINUTE).isoformat(),
    }  # fmt: skip
    assert live == [line.state for line in replay(document)]
    assert len(set(live)) > 1
