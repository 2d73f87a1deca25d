"""Why an alarm is in its state, said in one sentence each."""

from __future__ import annotations

from datetime import timedelta

import pytest

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.states import set_state
from tests.alerts.evaluation.desk import Desk


@pytest.fixture
def desk(engine, clock) -> Desk:
    clock.time = clock.time.replace(second=0)
    return Desk(engine, clock)


def test_the_window_is_shown_with_the_rule_that_decided(desk):
    desk.alarm(datapoints_to_alarm=2)
    desk.add(0.9, 0.1, 0.2, 0.7, 0.8)
    desk.evaluator.step()

    found = desk.explain()

    assert (found.state, found.marks, found.rule) == ("ALARM", "X00XX", "full")
    assert [point.value for point in found.points] == [0.9, 0.1, 0.2, 0.7, 0.8]
    assert [point.is_counted for point in found.points] == [False, False, True, True, True]
    assert found.decided == (
        "of the newest 3 datapoints that came in 2 are breaching, and it takes 2: ALARM; missing "
        "ones play no part"
    )
    assert found.condition == (
        "Average of Own/App Load {Server=Prod} above 0.5 in 2 of 3 periods of 1 minute; missing "
        "datapoints leave the alarm without data"
    )
    assert found.next_at == desk.clock() + timedelta(minutes=1)
    assert found.findings == ()
    assert found.as_dict()["points"][0]["mark"] == "X"


def test_a_composite_is_explained_by_its_conditions_and_its_suppressor(desk, house, receiver):
    house.channel("pager", receiver.url)
    desk.alarm()
    desk.alarm(alarm_name="sup")
    definition = CompositeDefinition(
        alarm_name="both",
        alarm_rule="ALARM(cpu) OR NOT OK(sup)",
        alarm_actions=("pager",),
        actions_suppressor="sup",
        actions_suppressor_wait_period=60,
        actions_suppressor_extension_period=60,
    )
    with desk.engine.begin() as connection:
        put_composites(connection, [definition], desk.clock())

    found = desk.explain("both")

    assert (found.kind, found.state, found.rule) == ("composite", "ALARM", "rule")
    assert [(one.condition, one.holds) for one in found.children] == [
        ('ALARM("cpu")', False),
        ('OK("sup")', False),
    ]
    assert found.decided == "the rule is true: ALARM; none of its conditions holds"
    (action,) = found.actions
    assert action.status == "suppressed"
    assert (action.why or "").startswith("Actions suppressed by WaitPeriod; they run at ")
    assert found.next_at == desk.clock() + timedelta(seconds=60)

    with desk.engine.begin() as connection:
        set_state(connection, "both", "OK", "a test", desk.clock())
    assert desk.explain("both").rule == "set_by_hand"
