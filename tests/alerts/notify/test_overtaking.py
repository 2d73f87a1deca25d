"""What is refused for good is given up at once, and an ALARM gets past what only fails."""

import json
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import update

from driftline.alerts import tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.notify import outbox
from driftline.alerts.notify.deliverer import ATTEMPT_DELAYS_S
from driftline.alerts.notify.deliveries import list_deliveries, redeliver
from tests.servers.postgres import both_databases

# What a status says has nothing to do with the database; its SQL runs on both in the others.
one_database = pytest.mark.parametrize("backend", ["sqlite"])


def deliveries(engine):
    """All messages, oldest change first."""
    with engine.begin() as connection:
        found = list_deliveries(connection)
    return sorted(found, key=lambda one: (one.alarm_name, one.state_seq))


def statuses(engine):
    return [row.status for row in deliveries(engine)]


def seqs(pager):
    """What the receiver was asked to take, by the ordinal of the change."""
    return [json.loads(body)["data"]["seq"] for _, body in pager.requests]


def deliver(engine, deliverer, clock, seconds):
    """Let time pass, from one attempt that is due to the next."""
    end = clock() + timedelta(seconds=seconds)
    while True:
        while deliverer.step():
            pass
        moments = [one.next_attempt_at for one in deliveries(engine) if one.status == "pending"]
        clock.time = min([one for one in moments if one > clock()] + [end])
        if clock() >= end:
            return


@pytest.fixture
def backend() -> str:
    """SQLite: tests of both databases send PostgreSQL every statement of these, too."""
    return "sqlite"


@pytest.fixture
def poisoned(pager):
    """A receiver that answers 500 to the message of change 1, and takes all others."""
    pager.on_request = lambda: pager.script.append((500 if seqs(pager)[-1] == 1 else 204, {}))
    return pager


# Prometheus Alertmanager's notify/util.go and Grafana's receivers: after 5xx, 408 and 429 they try
# again, after any other 4xx they do not.
@one_database
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422])
def test_what_is_refused_for_good_is_given_up_at_once_and_holds_nobody_back(
    house, engine, evaluator, deliverer, pager, status
):
    pager.script = [(status, {})]
    house.put(1, 0, 1)
    evaluator.step()
    while deliverer.step():
        pass

    assert statuses(engine) == ["dead", "delivered", "delivered"]
    assert seqs(pager) == [1, 2, 3]
    refused = deliveries(engine)[0]
    assert (refused.attempts, refused.last_error) == (1, f"answered {status}")
    with engine.begin() as connection:
        actions = alarms.history(connection, type="Action")
    assert Counter(one.summary for one in actions) == {
        "Failed to execute action pager": 1,
        "Successfully executed action pager": 2,
    }


@one_database
@pytest.mark.parametrize("status", [301, 307, 408, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_be_taken_later_is_tried_again(house, engine, evaluator, deliverer, pager, status):
    pager.script = [(status, {})]
    house.put(1)
    evaluator.step()
    deliverer.step()

    assert statuses(engine) == ["pending"]


def test_an_alarm_waits_a_minute_and_no_hours_behind_a_message_that_fails(
    house, engine, clock, evaluator, deliverer, poisoned
):
    house.put(1, 0)
    evaluator.step()
    deliver(engine, deliverer, clock, 3600)
    assert set(seqs(poisoned)) == {1}

    house.put(1, day=2)
    evaluator.step()
    asked_at = clock()
    deliver(engine, deliverer, clock, 90)

    assert 3 in seqs(poisoned)
    paged = deliveries(engine)[2]
    assert (paged.finished_at - asked_at).total_seconds() <= 60
    assert statuses(engine) == ["superseded", "superseded", "delivered"]
    assert "overtaken by the newer ALARM" in deliveries(engine)[0].reason
    with engine.begin() as connection:
        actions = alarms.history(connection, type="Action")
    assert [one.summary for one in actions if one.data["actionState"] == "Superseded"] == [
        "Action pager superseded by a newer one",
        "Action pager superseded by a newer one",
    ]


@both_databases
def test_the_recovery_follows_its_alarm_and_not_the_message_that_failed(
    house, engine, clock, evaluator, deliverer, poisoned
):
    house.put(1, 0, 1, 0)
    evaluator.step()
    deliver(engine, deliverer, clock, 90)

    assert [seq for seq in seqs(poisoned) if seq != 1] == [3, 4]
    assert statuses(engine) == ["superseded", "superseded", "delivered", "delivered"]


def test_an_alarm_that_comes_back_again_and_again_gets_past_a_message_that_fails(
    house, engine, clock, evaluator, deliverer, poisoned
):
    for day in range(0, 10, 2):
        house.put(1, 0, day=day)
        evaluator.step()
        deliver(engine, deliverer, clock, 20)

    assert max(seqs(poisoned)) > 1


@both_databases
def test_nothing_older_is_tried_again_while_an_alarm_is_on_its_way_past_it(
    house, engine, clock, evaluator, deliverer, poisoned
):
    house.put(1, 0)
    evaluator.step()
    deliver(engine, deliverer, clock, 3600)
    house.put(1, day=2)
    evaluator.step()
    with engine.begin() as connection:
        connection.execute(
            update(tables.outbox)
            .where(tables.outbox.c.state_seq == 1)
            .values(attempts=4, next_attempt_at=clock() + timedelta(minutes=9))
        )
        on_its_way = outbox.claim(connection, clock())
    assert [one.state_seq for one in on_its_way] == [3]

    house.put(0, 1, day=3)
    evaluator.step()

    with engine.begin() as connection:
        claimed = outbox.claim(connection, clock())
    assert not [one for one in claimed if one.state_seq < 3]


@both_databases
def test_a_recovery_overtakes_nothing(house, engine, clock, evaluator, deliverer, poisoned):
    house.put(1, 0)
    evaluator.step()
    deliver(engine, deliverer, clock, 3600)

    assert statuses(engine) == ["pending", "pending"]


def test_a_receiver_that_was_away_gets_all_of_it_in_order(
    house, engine, clock, evaluator, deliverer, pager
):
    """The ALARM makes the first one be tried at once, and follows it as long as both fail."""
    pager.script = [(503, {})] * 1000
    house.put(1, 0)
    evaluator.step()
    deliver(engine, deliverer, clock, 3600)
    house.put(1, 0, day=2)
    evaluator.step()
    deliver(engine, deliverer, clock, 900)
    assert {1, 3} == set(seqs(pager)[-2:])
    pager.script.clear()
    pager.requests.clear()
    deliver(engine, deliverer, clock, 3600)

    assert seqs(pager) == [1, 2, 3, 4]
    assert set(statuses(engine)) == {"delivered"}


@both_databases
def test_a_new_alarm_tries_at_once_what_would_have_waited_for_hours(
    house, engine, clock, evaluator, deliverer, pager
):
    pager.script = [(503, {})] * 6
    house.put(1, 0)
    evaluator.step()
    deliver(engine, deliverer, clock, 3000)
    (first, _) = deliveries(engine)
    assert (first.next_attempt_at - clock()).total_seconds() > 1000
    assert first.attempts == 6

    house.put(1, day=2)
    evaluator.step()
    deliver(engine, deliverer, clock, 1)

    assert set(statuses(engine)) == {"delivered"}
    assert seqs(pager)[-3:] == [1, 2, 3]


@both_databases
def test_an_overtaking_alarm_that_nobody_takes_is_given_up_after_all_its_attempts(
    house, engine, clock, evaluator, deliverer, pager
):
    pager.script = [(503, {})] * 1000
    house.put(1, 0, 1)
    evaluator.step()
    deliver(engine, deliverer, clock, 20 * 86_400)

    assert statuses(engine) == ["dead", "dead", "dead"]
    assert {row.attempts for row in deliveries(engine)} == {len(ATTEMPT_DELAYS_S)}


def test_what_is_asked_for_by_hand_is_still_sent_after_an_alarm_went_past(
    house, engine, clock, evaluator, deliverer, poisoned
):
    house.put(1, 0, 1)
    evaluator.step()
    deliver(engine, deliverer, clock, 90)
    first = deliveries(engine)[0]
    with engine.begin() as connection:
        redeliver(connection, first.id, clock())
    deliver(engine, deliverer, clock, 90)
    house.put(0, 1, day=3)
    evaluator.step()
    deliver(engine, deliverer, clock, 90)

    assert statuses(engine) == ["pending", "superseded", "delivered", "superseded", "delivered"]
