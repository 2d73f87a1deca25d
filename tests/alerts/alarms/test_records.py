from datetime import timedelta

import pytest

from driftline.alerts.alarms import records as alarms
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.window import WallClock
from driftline.alerts.errors import AlarmError, UnknownAlarm
from driftline.alerts.evaluation.evaluator import Evaluator


def test_a_new_alarm_is_unchecked_with_insufficient_data(house, engine):
    record = house.alarm()

    assert record.state == "INSUFFICIENT_DATA"
    assert record.state_reason == "Unchecked: Initial alarm creation"
    with engine.begin() as connection:
        (item,) = alarms.history(connection, "drift")
    assert (item.type, item.data["type"]) == ("ConfigurationUpdate", "Create")


def test_putting_the_same_again_changes_nothing(house, engine, clock):
    first = house.alarm()
    clock.advance(minutes=1)

    assert house.alarm() == first
    with engine.begin() as connection:
        assert len(alarms.history(connection)) == 1


def test_putting_another_definition_leaves_the_state(house, engine, clock):
    house.alarm()
    house.put(1.0)
    Evaluator(engine, now=clock).step()

    record = house.alarm(threshold=0.7)

    assert record.state == "ALARM"
    assert record.definition.threshold == 0.7
    with engine.begin() as connection:
        assert alarms.history(connection)[0].data["type"] == "Update"


def test_a_changed_threshold_is_judged_at_once(house, engine, clock):
    house.alarm()
    house.put(1.0)
    evaluator = Evaluator(engine, now=clock)
    evaluator.step()

    house.alarm(threshold=2)

    assert [change.new for change in evaluator.step()] == ["OK"]


def _on_math(house, name, *, metric="drift", period=86_400):
    query = {
        "id": "m1", "return_data": False,
        "metric_stat": {
            "metric": {
                "namespace": "Driftline", "metric_name": metric,
                "dimensions": {"Endpoint": "flights"},
            },
            "period": period, "stat": "Average",
        },
    }  # fmt: skip
    fields = {
        "alarm_name": name, "metrics": [query, {"id": "e1", "expression": "m1 * 2"}],
        "evaluation_periods": 1, "threshold": 1.0, "comparison_operator": "GreaterThanThreshold",
    }  # fmt: skip
    with house.engine.begin() as connection:
        alarms.put_alarm(connection, AlarmDefinition.from_dict(fields), house.clock())


def test_a_new_alarm_on_metric_math_is_judged_first_at_the_newest_datapoint(house, engine, clock):
    house.put(*[0.0, 1.0] * 30)
    _on_math(house, "late comer")

    assert [change.new for change in Evaluator(engine, now=clock).step()] == ["ALARM"]


def test_metric_math_of_other_metrics_begins_anew(house, engine, clock):
    """The other monitor's windows begin at noon: the old grid would cut them in two."""
    _on_math(house, "drift")
    house.put(0.0, 0.0)
    evaluator = Evaluator(engine, now=clock)
    evaluator.step()
    house.day += timedelta(hours=12)
    house.put(*[0.0, 1.0] * 30, name="other")

    _on_math(house, "drift", metric="other")

    assert [change.new for change in evaluator.step()] == ["ALARM"]
    with engine.begin() as connection:
        until = alarms.get_alarm(connection, "drift").evaluated_until
    assert until == house.day + timedelta(days=60)


def test_an_alarm_that_leaves_the_clock_does_not_walk_what_came_in_meanwhile(house, engine, clock):
    house.put(0.0)
    house.alarm(evaluation_window=WallClock(timezone="UTC"))
    evaluator = Evaluator(engine, now=clock)
    evaluator.step()
    house.put(*[0.0, 1.0] * 30)

    house.alarm()

    found = [change.new for _ in range(3) for change in evaluator.step()]
    assert found == ["ALARM"]


def test_an_action_needs_its_channel(house):
    with pytest.raises(AlarmError, match=r'channel "pager" does not exist.*declare it first'):
        house.alarm(alarm_actions=("pager",))


def test_deleting_leaves_the_history(house, engine, clock):
    house.alarm()
    with engine.begin() as connection:
        alarms.delete_alarm(connection, "drift", clock())

        assert alarms.list_alarms(connection) == []
        assert [item.data["type"] for item in alarms.history(connection, "drift")] == [
            "Delete",
            "Create",
        ]
        with pytest.raises(UnknownAlarm, match='alarm "drift" does not exist'):
            alarms.get_alarm(connection, "drift")


def test_alarms_can_be_listed_by_state(house, engine, clock):
    house.alarm("a")
    house.alarm("b", metric_name="other")
    house.put(1.0)
    Evaluator(engine, now=clock).step()

    with engine.begin() as connection:
        assert [one.name for one in alarms.list_alarms(connection)] == ["a", "b"]
        assert [one.name for one in alarms.list_alarms(connection, state="ALARM")] == ["a"]


def test_history_is_newest_first_and_can_be_cut(house, engine, clock):
    house.alarm()
    clock.advance(hours=1)
    house.put(1.0, 0.0)
    Evaluator(engine, now=clock).step()

    with engine.begin() as connection:
        items = alarms.history(connection, "drift")
        states = alarms.history(connection, "drift", type="StateUpdate", limit=1)
        before = alarms.history(connection, end=clock())

    assert [item.summary for item in items] == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        'Alarm "drift" created',
    ]
    assert [item.summary for item in states] == ["Alarm updated from ALARM to OK"]
    assert [item.type for item in before] == ["ConfigurationUpdate"]
    assert items[0].data["oldState"]["stateValue"] == "ALARM"
    assert (
        items[0].data["newState"]["stateReason"].startswith("Threshold Crossed: 1 datapoint [0.0")
    )
