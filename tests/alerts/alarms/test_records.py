import pytest

from driftline.alerts.alarms import records as alarms
from driftline.alerts.errors import AlarmError, UnknownAlarm
from driftline.alerts.evaluation.evaluator import Evaluator
from tests.servers.postgres import BOTH


@pytest.fixture(params=BOTH)
def backend(request):
    return request.param


def test_putting_the_same_again_changes_nothing(house, engine, clock):
    first = house.alarm()
    clock.advance(minutes=1)

    assert house.alarm() == first
    with engine.begin() as connection:
        assert len(alarms.history(connection)) == 1


def test_a_changed_threshold_is_judged_at_once(house, engine, clock):
    house.alarm()
    house.put(1.0)
    evaluator = Evaluator(engine, now=clock)
    evaluator.step()

    house.alarm(threshold=2)

    assert [change.new for change in evaluator.step()] == ["OK"]


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
