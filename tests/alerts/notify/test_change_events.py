"""Channels are told of alarms that were created, updated and deleted, in order, each once."""

import json
import threading

import pytest
from sqlalchemy import delete, insert, select, update

from driftline.alerts import tables
from driftline.alerts.alarms import records
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import put_channel
from driftline.alerts.notify.deliverer import Deliverer
from tests.servers.postgres import open_url


@pytest.fixture
def told(house, clock, receiver, deliverer):
    """Make a channel that wants to be told; give what it was told."""

    def make(format="eventbridge"):  # noqa: A002 - the word of the channel's definition
        options = {"configuration_changes": True}
        house.channel("audit", receiver.url, format=format, options=options)
        clock.advance(seconds=1)

        def run() -> list[dict]:
            deliverer.queue_change_events()
            while deliverer.step():
                pass
            found = [json.loads(body) for _, body in receiver.requests]
            receiver.requests.clear()
            return found

        return run

    return make


def test_create_update_and_delete_are_told_in_order_and_once(told, house, engine, clock):
    run = told()
    house.alarm(threshold=1)
    clock.advance(seconds=1)
    house.alarm(threshold=2)
    clock.advance(seconds=1)
    with engine.begin() as connection:
        records.delete_alarm(connection, "drift", clock())

    found = run()

    assert [one["detail"]["operation"] for one in found] == ["create", "update", "delete"]
    assert {one["detail-type"] for one in found} == {"CloudWatch Alarm Configuration Change"}
    create, update, delete = (one["detail"] for one in found)
    assert create["state"]["value"] == "INSUFFICIENT_DATA"
    assert "reason" not in create["state"]
    assert create["configuration"]["threshold"] == 1
    assert create["configuration"]["okActions"] == []
    assert "previousConfiguration" not in create
    assert update["configuration"]["threshold"] == 2
    assert update["previousConfiguration"]["threshold"] == 1
    assert delete["state"]["reason"] == "Unchecked: Initial alarm creation"
    assert run() == []


def test_the_state_is_that_of_the_moment(told, house, clock, evaluator):
    run = told()
    house.alarm()
    house.put(1)
    evaluator.step()
    clock.advance(seconds=1)
    house.alarm(threshold=0.75)

    assert [one["detail"]["state"]["value"] for one in run()] == ["INSUFFICIENT_DATA", "ALARM"]


def test_a_channel_is_told_nothing_from_before_it(house, told, clock):
    house.alarm()
    clock.advance(seconds=1)

    assert told()() == []


def test_who_does_not_want_it_is_not_told(house, receiver, deliverer):
    house.channel("pager", receiver.url)
    house.alarm()

    assert deliverer.queue_change_events() == 0


def test_our_own_form_holds_the_whole_definition(told, house):
    run = told("driftline")
    house.alarm(threshold=1)

    (found,) = run()

    assert found["type"] == "alarm.configuration_changed"
    assert found["data"]["operation"] == "create"
    assert found["data"]["configuration"]["threshold"] == 1
    assert found["data"]["title"] == "Alarm created: drift"


def test_two_deliverers_tell_it_once(told, house, engine, clock, receiver):
    run = told()
    house.alarm()
    other = Deliverer(engine, now=clock, allow_networks=["127.0.0.0/8"])

    assert other.queue_change_events() == 1
    assert len(run()) == 1


@pytest.mark.postgres
def test_a_change_that_is_stored_behind_a_later_one_is_told_too(postgres, clock, define, secret):
    name = postgres.new_database()
    engine = open_url(postgres.url(name))
    options = {"configuration_changes": True}
    channel = Channel("audit", "https://hooks.example/", secret, options=options)
    deliverer = Deliverer(engine, now=clock)
    with engine.begin() as connection:
        put_channel(connection, channel, clock())
    clock.advance(seconds=1)

    with engine.begin() as slow:
        records.put_alarm(slow, define(alarm_name="slow"), clock())
        with engine.begin() as quick:
            records.put_alarm(quick, define(alarm_name="quick"), clock())
        told = [deliverer.queue_change_events()]
    told.append(deliverer.queue_change_events())

    with engine.connect() as connection:
        query = select(tables.outbox.c.alarm_name).order_by(tables.outbox.c.state_seq)
        assert (told, list(connection.scalars(query))) == ([0, 2], ["slow", "quick"])
    engine.dispose()
    postgres.drop(name)


def _scribble(engine, clock, count):
    """Leave lines of history that say nothing of a definition."""
    line = {
        "alarm_id": 1, "alarm_name": "old", "time": clock(), "type": "ConfigurationUpdate",
        "summary": "", "data": {"type": "Create", "createdAlarm": {"alarm_name": "old"}},
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(tables.history), [line] * count)


def test_lines_that_cannot_be_read_do_not_stand_in_the_way(told, house, engine, clock, deliverer):
    run = told()
    _scribble(engine, clock, 250)
    house.alarm()

    assert [run(), run(), [one["detail"]["operation"] for one in run()]] == [[], [], ["create"]]


def test_what_was_told_is_not_told_again_when_its_messages_are_gone(told, house, engine):
    run = told()
    house.alarm()
    assert len(run()) == 1

    with engine.begin() as connection:
        connection.execute(delete(tables.outbox))

    assert run() == []


def test_what_was_changed_while_nobody_wanted_to_know_is_not_told_later(
    told, house, clock, receiver
):
    run = told()
    house.alarm()
    run()
    house.channel("audit", receiver.url, format="eventbridge")
    clock.advance(seconds=1)
    house.alarm(threshold=2)
    clock.advance(seconds=1)
    house.channel(
        "audit", receiver.url, format="eventbridge", options={"configuration_changes": True}
    )
    clock.advance(seconds=1)
    house.alarm(threshold=3)

    (found,) = run()

    assert found["detail"]["configuration"]["threshold"] == 3


def _store_newer(engine, house):
    """Have an alarm stored as a newer version would, whose math has a field that is new."""
    record = house.alarm()
    newer = [{"id": "m1", "expression": "SQRT(m2)", "return_data": True, "newer_field": 1}]
    kept = record.definition.as_dict()
    for key in ("metric_name", "namespace", "dimensions", "period", "statistic"):
        kept.pop(key, None)
    with engine.begin() as connection:
        connection.execute(update(tables.alarms).values(definition=kept | {"metrics": newer}))


def test_an_alarm_whose_math_cannot_be_read_is_deleted_without_a_word(told, house, engine, clock):
    run = told()
    _store_newer(engine, house)
    with engine.begin() as connection:
        records.delete_alarm(connection, "drift", clock())
    house.alarm("next")

    assert [one["detail"]["configuration"]["alarmName"] for one in run()] == ["drift", "next"]


def test_an_alarm_whose_math_could_not_be_read_is_told_when_it_is_put_anew(
    told, house, engine, clock
):
    run = told()
    house.alarm(threshold=2)
    assert len(run()) == 1
    _make_history_newer(engine)
    clock.advance(seconds=1)
    house.alarm(threshold=3)

    (found,) = run()

    assert found["detail"]["configuration"]["threshold"] == 3
    assert "previousConfiguration" not in found["detail"]


def _make_history_newer(engine):
    """Have the definitions in history end with what only a newer version reads."""
    history = tables.history
    with engine.begin() as connection:
        for line in connection.execute(select(history.c.id, history.c.data)).all():
            data = {
                key: {**value, "metrics": [{"id": "m1", "newer_field": 1}]}
                if isinstance(value, dict) else value
                for key, value in line.data.items()
            }  # fmt: skip
            connection.execute(update(history).where(history.c.id == line.id).values(data=data))


def test_announcing_that_fails_holds_up_no_delivery(house, evaluator, deliverer, pager, caplog):
    def fail():
        raise KeyError("what nobody thought of")

    deliverer.queue_change_events = fail
    house.put(1)
    evaluator.step()
    stop = threading.Event()
    pager.on_request = stop.set
    running = threading.Thread(target=deliverer.run, args=(stop,))
    running.start()
    is_sent = stop.wait(20)
    stop.set()
    running.join()

    assert is_sent
    assert deliverer.failures.count >= 1
    assert "what nobody thought of" in caplog.text
