"""Alarms that share feature, or endpoint and cause, and onset are one incident."""

import json
from datetime import timedelta

import pytest

from driftline.alerts.alarms import records as alarms
from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.errors import UnknownIncident
from driftline.alerts.notify.erasing import QuotedWindow, clear_messages
from driftline.alerts.notify.event import KEPT_CAUSE_MAX, cut_cause
from driftline.alerts.notify.incidents import follow, get_incident, list_incidents, settle
from driftline.alerts.notify.notification_maintenance import NotificationMaintenance


@pytest.fixture
def change(clock, house, engine, define):
    """Have an alarm change its state; give the incident that it belongs to."""
    numbers = {}

    def make(
        name, new="ALARM", *, feature=None, cause=None, onset=None, endpoint="flights", lasting=None
    ):
        number = numbers.setdefault(name, len(numbers) + 1)
        definition = define(alarm_name=name, dimensions={"Endpoint": endpoint}, period=60)
        note = {"cause": cause} if cause else {}
        if lasting:
            note["lasting_since"] = str(lasting)
        if feature:
            note["violations"] = [{"feature_name": feature}]
        found = StateChange(
            number, name, 1, "OK" if new == "ALARM" else "ALARM", new, "because", "{}",
            clock(), clock(), onset or clock(), (), note,
        )  # fmt: skip
        with engine.begin() as connection:
            return follow(connection, found, definition)

    return make


def incident(engine, name):
    with engine.begin() as connection:
        return get_incident(connection, name)


def test_alarms_of_one_feature_are_one_incident(engine, clock, change):
    first = change("drift", feature="dep_delay")
    clock.advance(minutes=10)
    second = change("range", feature="dep_delay")
    assert first == second
    found = incident(engine, first)
    assert [one.name for one in found.alarms] == ["drift", "range"]
    assert (found.features, found.closed_at) == (["dep_delay"], None)


def test_alarms_of_one_endpoint_and_cause_are_one_incident(change):
    assert change("a", cause="no labels came") == change("b", cause="no labels came")


@pytest.mark.parametrize(
    "other",
    [
        {"feature": "distance"},
        {"feature": "dep_delay", "endpoint": "cargo"},
        {"cause": "other"},
        {},
    ],
    ids=["feature", "endpoint", "cause", "nothing"],
)
def test_what_shares_nothing_is_an_incident_of_its_own(change, other):
    assert change("a", feature="dep_delay", cause="one") != change("b", **other)


def test_what_began_at_another_time_is_an_incident_of_its_own(clock, change):
    first = change("a", feature="dep_delay")
    assert change("b", feature="dep_delay", onset=clock() + timedelta(hours=2)) != first


def test_an_incident_is_closed_by_the_last_of_its_alarms(engine, clock, change):
    name = change("a", feature="x")
    change("b", feature="x")
    clock.advance(minutes=1)
    assert change("a", "OK") == name
    assert incident(engine, name).closed_at is None
    clock.advance(minutes=1)
    # No longer known is no longer in ALARM, too.
    assert change("b", "INSUFFICIENT_DATA") == name
    assert incident(engine, name).closed_at == clock()
    with engine.begin() as connection:
        assert list_incidents(connection, is_open=True) == []
        (found,) = list_incidents(connection, is_open=False, endpoint="flights")
    assert found.id == name


def test_an_alarm_that_comes_back_soon_opens_its_incident_again(engine, clock, change):
    name = change("a", feature="x")
    change("a", "OK")
    clock.advance(minutes=20)
    assert change("a", feature="y") == name
    (alarm,) = incident(engine, name).alarms
    assert (alarm.count, alarm.left_at) == (2, None)
    change("a", "OK")
    clock.advance(minutes=31)
    assert change("a", feature="x") != name


def test_changes_that_have_to_do_with_no_alarm_belong_to_none(engine, clock, define):
    found = StateChange(
        1, "a", 1, "INSUFFICIENT_DATA", "OK", "fine", "{}", clock(), clock(), None, ()
    )
    with engine.begin() as connection:
        assert follow(connection, found, define()) is None


def test_every_message_carries_the_incident(house, evaluator, deliverer, pager, engine):
    house.put(1, note={"cause": "x drifts", "violations": [{"feature_name": "x"}]})
    evaluator.step()
    house.put(0, day=1)
    evaluator.step()
    for _ in range(2):
        deliverer.step()
    told = [json.loads(body)["data"]["incident"] for _, body in pager.requests]
    with engine.begin() as connection:
        (found,) = list_incidents(connection)
    assert told == [found.id, found.id]
    assert found.cause == "x drifts"
    assert found.closed_at is not None


def test_a_deleted_alarm_leaves_its_incident(house, engine, clock, evaluator, pager):
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        alarms.delete_alarm(connection, "drift", clock())
    NotificationMaintenance(engine, now=clock).step()
    with engine.begin() as connection:
        (found,) = list_incidents(connection)
        assert found.closed_at == clock()
        assert settle(connection, clock()) == 0


def test_an_unknown_incident_is_said_to_be_unknown(engine):
    with engine.begin() as connection, pytest.raises(UnknownIncident, match="inc_x"):
        get_incident(connection, "inc_x")


def test_a_new_cause_continues_the_incident_whose_causes_last(engine, clock, change):
    told = clock()
    summer = change("drift", feature="temp")
    clock.advance(minutes=60 * 24)
    change("drift", "OK")
    clock.advance(minutes=60 * 24 * 20)

    assert change("drift", feature="dest", lasting=told) == summer
    assert list(incident(engine, summer).features) == ["temp", "dest"]


def test_a_new_cause_after_the_last_one_is_forgotten_is_an_incident_of_its_own(clock, change):
    summer = change("drift", feature="temp")
    change("drift", "OK")
    clock.advance(minutes=60 * 24 * 200)

    assert change("drift", feature="dest") != summer


@pytest.mark.parametrize("lasting", ["some day", "later"])
def test_only_a_cause_that_the_incident_told_continues_it(clock, change, lasting):
    name = change("a", feature="x")
    change("a", "OK")
    clock.advance(minutes=60)

    told = clock() if lasting == "later" else lasting
    assert change("a", feature="y", lasting=told) != name


LONG = "dest: " + "36.1% of rows at or below 7.2, and so on " * 40


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (LONG, "(erased)"),
        (cut_cause(LONG, KEPT_CAUSE_MAX), "(erased)"),
        (LONG[:300], "(erased)"),
        (LONG[:400], LONG[:400]),
    ],
    ids=["whole", "a composite's", "of an earlier release", "another one's"],
)
def test_an_incident_that_quotes_a_long_cause_is_erased_with_its_window(
    engine, clock, change, told, kept
):
    found = change("drift", cause=told)
    window = QuotedWindow("daily", "20130101T000000Z", clock() - timedelta(days=3), LONG)

    with engine.begin() as connection:
        clear_messages(connection, "flights", [window])

    assert incident(engine, found).cause == kept
