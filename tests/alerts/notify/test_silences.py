"""Silences hold back messages, never states; what is still so afterwards is told."""

import json
from datetime import timedelta

import pytest

from driftline.alerts.alarms import records as alarms
from driftline.alerts.errors import SilenceError
from driftline.alerts.notify.deliveries import list_deliveries, redeliver
from driftline.alerts.notify.notification_maintenance import NotificationMaintenance
from driftline.alerts.notify.silence import Silence
from driftline.alerts.notify.silences import (
    expire_silence,
    get_silence,
    list_silences,
    put_silence,
)
from tests.servers.postgres import both_databases


@pytest.fixture
def silence(engine, clock):
    """Store a silence, by default one hour for the alarm of the tests."""

    def put(name="work", **more):
        if "schedule" not in more:
            more = {"ends_at": clock() + timedelta(hours=1)} | more
        if "matchers" not in more and "alarm_names" not in more:
            more["matchers"] = ["alarm=drift"]
        with engine.begin() as connection:
            return put_silence(connection, Silence.read(name, more), clock())

    return put


@pytest.fixture
def policy(engine, clock):
    return NotificationMaintenance(engine, now=clock)


def rows(engine):
    with engine.begin() as connection:
        found = list_deliveries(connection)
    return sorted(found, key=lambda row: row.state_seq)


def test_what_is_silenced_changes_its_state_and_is_not_sent(
    house, engine, evaluator, deliverer, pager, silence
):
    silence()
    house.put(1)
    evaluator.step()
    deliverer.step()

    assert house.get().state == "ALARM"
    (row,) = rows(engine)
    assert (row.status, row.silence) == ("muted", "work")
    assert 'held back by silence "work" until' in row.reason
    assert pager.ids == []
    with engine.begin() as connection:
        (item,) = alarms.history(connection, "drift", type="Action")
    assert item.summary == 'Action pager muted by silence "work"'
    assert item.data["actionState"] == "Muted"


def test_after_a_silence_the_action_of_the_state_then_is_sent_once(
    house, engine, clock, evaluator, deliverer, pager, policy, silence
):
    silence()
    house.put(1, 0, 1)
    evaluator.step()
    policy.step()
    deliverer.step()
    assert pager.ids == []

    clock.advance(hours=1)
    policy.step()
    policy.step()
    deliverer.step()
    assert [row.status for row in rows(engine)] == ["muted", "muted", "delivered"]
    assert "the state changed again" in rows(engine)[0].reason
    assert 'sent after silence "work"' in rows(engine)[2].reason
    ((_, body),) = pager.requests
    assert json.loads(body)["data"]["held_back_by"] == "work"


def test_a_silence_holds_back_what_waits_for_its_next_attempt(
    house, engine, clock, evaluator, deliverer, pager, policy, silence
):
    pager.script = [(500, {})]
    house.put(1)
    evaluator.step()
    deliverer.step()
    silence()
    clock.advance(minutes=10)
    deliverer.step()

    (row,) = rows(engine)
    assert (row.status, row.attempts, row.silence) == ("muted", 1, "work")
    assert len(pager.ids) == 1
    clock.advance(hours=1)
    policy.step()
    deliverer.step()
    assert [row.status for row in rows(engine)] == ["delivered"]
    assert len(set(pager.ids)) == 1
    assert len({body for _, body in pager.requests}) == 1


def test_what_is_sent_again_by_hand_is_sent_in_spite_of_a_silence(
    house, engine, clock, evaluator, deliverer, pager, silence
):
    silence()
    house.put(1)
    evaluator.step()
    (held,) = rows(engine)
    with engine.begin() as connection:
        redeliver(connection, held.id, clock())
    deliverer.step()

    assert [row.status for row in rows(engine)] == ["delivered"]


@both_databases
def test_a_silence_that_is_expired_ends_at_once_and_stays(
    house, engine, clock, evaluator, deliverer, pager, policy, silence
):
    silence()
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        expire_silence(connection, "work", clock())
    policy.step()
    deliverer.step()
    assert len(pager.ids) == 1
    with engine.begin() as connection:
        record = get_silence(connection, "work")
        assert record.shown(clock()).status == "EXPIRED"
        assert [one.silence.name for one in list_silences(connection, clock())] == ["work"]
        assert list_silences(connection, clock(), status="ACTIVE") == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"matchers": ["endpoint=flights"]}, "ends_at is missing"),
        ({"ends_at": "2126-01-01T00:00:00Z"}, "would hold back every message"),
        ({"ends_at": "2126-01-01", "matchers": ["a!=b"]}, "would hold back every message"),
        ({"ends_at": "2026-01-01", "matchers": ["a=b"]}, "it is over since"),
        ({"ends_at": "soon", "matchers": ["a=b"]}, "expected such as"),
        ({"ends_at": "2126-01-01", "alarm_names": ["a"] * 101}, "expected 100 or fewer"),
        ({"ends_at": "2126-01-01", "matchers": ["a"]}, "expected a label"),
        ({"ends_at": "2126-01-01", "alarm_names": ["a"], "who": "me"}, 'unknown key "who"'),
        (
            {"starts_at": "2126-02-01", "ends_at": "2126-01-01", "alarm_names": ["a"]},
            "expected a time after starts_at",
        ),
    ],
)
def test_a_wrong_silence_is_refused_with_what_was_expected(engine, clock, spec, said):
    with engine.begin() as connection, pytest.raises(SilenceError, match=said):
        put_silence(connection, Silence.read("work", spec), clock())


def test_the_fields_of_a_mute_rule_are_understood_as_cloudwatch_names_them():
    # botocore's PutAlarmMuteRuleInput, and the same in snake case.
    camel = {
        "Description": "updates",
        "Rule": {
            "Schedule": {
                "Expression": "cron(0 2 * * SUN)",
                "Duration": "PT4H",
                "Timezone": "Asia/Tokyo",
            }
        },
        "MuteTargets": {"AlarmNames": ["drift"]},
        "StartDate": "2126-01-01T00:00:00Z",
        "ExpireDate": "2126-02-01T00:00:00Z",
    }
    snake = {
        "comment": "updates",
        "schedule": {
            "expression": "cron(0 2 * * SUN)",
            "duration": "PT4H",
            "timezone": "Asia/Tokyo",
        },
        "mute_targets": {"alarm_names": ["drift"]},
        "starts_at": "2126-01-01T00:00:00Z",
        "expire_date": "2126-02-01T00:00:00Z",
    }
    assert Silence.read("work", camel) == Silence.read("work", snake)
