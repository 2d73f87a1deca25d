"""Groups: what becomes of messages that are not simply sent."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from driftline.alerts import tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.evaluation.states import set_state
from driftline.alerts.notify.deliveries import list_deliveries
from driftline.alerts.notify.erasing import QuotedWindow, clear_messages
from driftline.alerts.notify.notification_maintenance import NotificationMaintenance, forget
from tests.servers.postgres import both_databases, both_in_full

GROUPED = {"group_by": ["endpoint"], "group_wait_s": 30, "group_interval_s": 300}


@pytest.fixture
def policy(engine, clock):
    return NotificationMaintenance(engine, now=clock)


@pytest.fixture
def group(house, receiver):
    """Alarms a, b, c of one endpoint, whose changes go to one channel that groups."""

    def make(**options):
        house.channel("pager", receiver.url, options=GROUPED | options)
        for name in "abc":
            house.alarm(name, metric_name=name, alarm_actions=("pager",), ok_actions=("pager",))
        return receiver

    return make


def rows(engine):
    with engine.begin() as connection:
        found = list_deliveries(connection, limit=1000)
    return sorted(found, key=lambda row: (row.alarm_name, row.state_seq))


def bodies(receiver):
    return [json.loads(body) for _, body in receiver.requests]


class Day:
    """Puts values day after day and lets everything happen."""

    def __init__(self, house, evaluator, policy, deliverer):
        self.house, self.evaluator, self.policy, self.deliverer = (
            house, evaluator, policy, deliverer,
        )  # fmt: skip
        self.number = 0

    def __call__(self, **values):
        for name, value in values.items():
            self.house.put_one(value, day=self.number, name=name)
        self.number += bool(values)
        self.evaluator.step()
        self.policy.step()
        self.deliverer.step()


@pytest.fixture
def day(house, evaluator, policy, deliverer):
    return Day(house, evaluator, policy, deliverer)


def test_changes_of_a_group_become_one_message(engine, clock, group, day):
    receiver = group()
    day(a=1, b=1)
    assert receiver.ids == []
    assert {row.status for row in rows(engine)} == {"pending"}
    clock.advance(seconds=31)
    day()
    (body,) = bodies(receiver)
    assert body["type"] == "alarm.group"
    assert [one["name"] for one in body["data"]["alarms"]] == ["a", "b"]
    assert body["data"]["group"]["labels"] == {"endpoint": "flights"}
    assert body["data"]["firing"] == ["a", "b"]
    carrier, *members = sorted(rows(engine), key=lambda row: row.kind == "change")
    assert [(row.status, row.carrier_id) for row in members] == [("delivered", carrier.id)] * 2
    assert (carrier.kind, carrier.status) == ("group", "delivered")
    with engine.begin() as connection:
        items = alarms.history(connection, "a", type="Action")
    assert [item.summary for item in items] == [
        "Successfully executed action pager",
        f"Action pager grouped into message {carrier.id}",
    ]


def test_what_is_resolved_before_the_wait_is_over_is_not_told(engine, clock, group, day):
    receiver = group()
    day(a=1, b=1)
    day(a=0, b=0)
    clock.advance(seconds=31)
    day()
    assert receiver.ids == []
    assert {row.status for row in rows(engine)} == {"superseded"}
    assert "back where it was" in rows(engine)[1].reason


@both_databases
def test_news_wait_for_the_interval_and_tell_what_is_resolved(engine, clock, group, day):
    receiver = group()
    day(a=1, b=1)
    clock.advance(seconds=31)
    day()
    clock.advance(seconds=60)
    day(a=0, b=1, c=1)
    assert len(receiver.ids) == 1
    clock.advance(seconds=300)
    day()
    told = bodies(receiver)[1]["data"]
    assert {one["name"]: one["state"] for one in told["alarms"]} == {"a": "OK", "c": "ALARM"}
    assert told["firing"] == ["b", "c"]
    clock.advance(seconds=301)
    day(b=0, c=0)
    day()
    assert bodies(receiver)[2]["data"]["firing"] == []


@both_in_full
def test_a_message_of_a_group_supersedes_an_undelivered_one_and_lists_its_changes(
    engine, clock, group, day
):
    receiver = group()
    receiver.script = [(503, {})] * 1000
    day(a=1)
    clock.advance(seconds=31)
    day()
    clock.advance(seconds=301)
    receiver.script.clear()
    receiver.requests.clear()
    day(a=0, b=1)

    (body,) = bodies(receiver)
    told = sorted((one["name"], one["state"]) for one in body["data"]["alarms"])
    assert told == [("a", "ALARM"), ("a", "OK"), ("b", "ALARM")]
    found = rows(engine)
    newest = next(row for row in found if row.kind == "group" and row.status == "delivered")
    assert {(row.status, row.carrier_id) for row in found if row.kind == "change"} == {
        ("delivered", newest.id)
    }
    assert [row.status for row in found if row.kind == "group"].count("superseded") == 1


@pytest.mark.parametrize("erased", ["a", "b"])
@pytest.mark.parametrize("first_arrives", [False, True])
def test_no_message_of_a_group_keeps_the_cause_of_an_erased_window(
    house, engine, clock, group, evaluator, policy, deliverer, first_arrives, erased
):
    receiver = group()
    receiver.script = [(204 if first_arrives else 503, {})]

    def put(name):
        note = {
            "cause": f"cause of {name}",
            "link": f"/monitors/{name}?window=20130101T000000Z",
            "monitor": name,
        }
        house.put_one(1, day=0, name=name, note=note)

    def newer():
        put("c")
        evaluator.step()
        clock.advance(seconds=301)
        policy.step()

    for name in "ab":
        put(name)
    evaluator.step()
    clock.advance(seconds=31)
    policy.step()
    receiver.on_request = newer
    deliverer.step()
    with engine.begin() as connection:
        clear_messages(connection, [QuotedWindow(erased, "20130101T000000Z", house.day)])
        stored = connection.execute(select(tables.outbox)).all()

    assert sum(row.kind == "group" for row in stored) == 2
    assert all(f"cause of {erased}" not in row.body.decode() for row in stored)
    assert any("cause of c" in row.body.decode() for row in stored)


def test_an_alarm_that_changed_a_dozen_times_before_its_group_was_sent_is_told(
    engine, clock, house, receiver, policy, deliverer
):
    house.channel("pager", receiver.url, options=GROUPED)
    actions = ("alarm_actions", "ok_actions", "insufficient_data_actions")
    house.alarm(**dict.fromkeys(actions, ("pager",)))
    for state in ("OK", *["ALARM", "OK"] * 5, "INSUFFICIENT_DATA", "ALARM"):
        with engine.begin() as connection:
            set_state(connection, "drift", state, "by hand", clock())
    clock.advance(seconds=31)
    policy.step()
    deliverer.step()

    (body,) = bodies(receiver)
    assert body["data"]["firing"] == ["drift"]


@both_in_full
def test_what_still_fires_is_told_again(clock, group, day):
    receiver = group(repeat_interval_s=600)
    day(a=1)
    clock.advance(seconds=31)
    day()
    clock.advance(seconds=500)
    day()
    assert len(receiver.ids) == 1
    clock.advance(seconds=101)
    day()
    assert len(receiver.ids) == 2
    reminder = bodies(receiver)[1]["data"]
    assert reminder["group"]["kind"] == "reminder"
    assert reminder["counts"]["ALARM"] == 1
    assert [one["name"] for one in reminder["alarms"]] == ["a"]
    assert reminder["links"]["dashboard"].endswith("/alarms/a")
    day()
    assert len(receiver.ids) == 2


@both_in_full
def test_two_that_tell_groups_tell_each_once(engine, clock, group, day):
    receiver = group()
    day(a=1, b=1)
    clock.advance(seconds=31)
    NotificationMaintenance(engine, now=clock).step()
    NotificationMaintenance(engine, now=clock).step()
    day()
    assert len(receiver.ids) == 1


def test_by_default_every_change_is_told(house, clock, receiver, evaluator, deliverer, policy):
    house.channel("pager", receiver.url)
    house.alarm(alarm_actions=("pager",), ok_actions=("pager",))
    for number in range(12):
        house.put(float(number % 2 == 0), day=number)
        evaluator.step()
        policy.step()
        deliverer.step()
    assert [body["data"]["seq"] for body in bodies(receiver)] == list(range(1, 13))


@both_in_full
def test_what_is_old_is_forgotten_in_steps_and_what_is_open_stays(
    house, engine, clock, evaluator, deliverer, pager
):
    for number in range(8):
        house.put(float(number % 2 == 0), day=number)
        evaluator.step()
        if number < 3:
            deliverer.step()
    later = clock() + timedelta(days=91)
    with engine.begin() as connection:
        before = connection.scalar(select(func.count()).select_from(tables.history))
        assert forget(connection, later - timedelta(days=90), limit=5) == 5
        assert connection.scalar(select(func.count()).select_from(tables.history)) == before - 5
    for _ in range(5):
        with engine.begin() as connection:
            forget(connection, later - timedelta(days=90), limit=5)
    assert [row.status for row in rows(engine)] == ["pending"]
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.history)) == 0
        assert forget(connection, clock() - timedelta(days=90)) == 0
