"""The objective of deploy/slo.yaml: it calls early when much fails, and not for a short burst."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.composite_records import get_any
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint

FILE = Path(__file__).parents[3] / "deploy" / "slo.yaml"
CALLS = 1000  # Of each minute.


@pytest.fixture
def minutes(engine: Engine, clock):
    """Let minutes pass in which a share of calls fails; return the state after each."""
    *alarms, composite = yaml.safe_load_all(FILE.read_text())
    rule = composite["spec"]["alarm_rule"]
    with engine.begin() as connection:
        for one in alarms:
            found = AlarmDefinition.from_dict({"alarm_name": one["name"], **one["spec"]})
            put_alarm(connection, found, clock())
        named = CompositeDefinition(alarm_name=composite["name"], alarm_rule=rule)
        put_composites(connection, [named], clock())
    evaluator, spec = Evaluator(engine, now=clock), alarms[0]["spec"]

    def passing(count: int, share: float, *, at_once: int = 1) -> list[str]:
        states = []
        for _ in range(0, count, at_once):
            points = [
                Datapoint(
                    spec["namespace"], spec["metric_name"], spec["dimensions"],
                    clock() + timedelta(minutes=minute), values=[0.0, 1.0],
                    counts=[CALLS * (1 - share), CALLS * share],
                )
                for minute in range(at_once)
            ]  # fmt: skip
            clock.time += timedelta(minutes=at_once)
            with engine.begin() as connection:
                add(connection, points)
            evaluator.step()
            with engine.begin() as connection:
                states.append(get_any(connection, composite["name"]).state)
        return states

    return passing


def test_a_bad_release_calls_within_minutes_and_ends_soon_after_its_end(minutes) -> None:
    assert minutes(360, 0.0, at_once=360) == ["OK"]

    # A tenth fails, a hundred times what may: of an hour 14.4 / 100 are 8.6 minutes.
    assert minutes(10, 0.1).index("ALARM") == 8

    # Long before the hour is over.
    assert minutes(8, 0.0, at_once=4)[-1] == "OK"


def test_a_burst_that_is_over_and_the_allowed_share_call_nobody(minutes) -> None:
    assert minutes(360, 0.0005, at_once=360) == ["OK"]
    assert minutes(3, 0.1) == ["OK"] * 3
    assert set(minutes(60, 0.001, at_once=10)) == {"OK"}


def test_what_fails_slowly_calls_after_hours(minutes) -> None:
    minutes(360, 0.0, at_once=360)

    # Eight times what may: of six hours 6 / 8 are four and a half.
    assert minutes(300, 0.008, at_once=30).index("ALARM") == 9
