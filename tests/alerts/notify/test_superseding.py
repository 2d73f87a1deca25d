"""What is refused for good is given up at once; a newer change supersedes what is undelivered."""

import json
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select

from driftline.alerts import tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.notify import outbox
from driftline.alerts.notify.deliveries import list_deliveries, redeliver
from driftline.serving.metrics.exposition import SeriesCap, alarm_families
from tests.servers.postgres import both_in_full

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


# Prometheus Alertmanager's notify/util.go and Grafana's receivers: after 5xx, 408 and 429 they try
# again, after any other 4xx they do not.
@pytest.mark.first(4)
@one_database
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422])
def test_what_is_refused_for_good_is_given_up_at_once_and_holds_nobody_back(
    house, engine, evaluator, deliverer, pager, status
):
    pager.script = [(status, {})]
    for day, value in enumerate((1, 0, 1)):
        house.put(value, day=day)
        evaluator.step()
        deliverer.step()

    assert statuses(engine) == ["failed", "delivered", "delivered"]
    assert seqs(pager) == [1, 2, 3]
    refused = deliveries(engine)[0]
    assert (refused.attempts, refused.last_error) == (1, f"answered {status}")
    with engine.begin() as connection:
        actions = alarms.history(connection, type="Action")
    assert Counter(one.summary for one in actions) == {
        "Failed to execute action pager": 1,
        "Successfully executed action pager": 2,
    }


@pytest.mark.first(4)
@one_database
@pytest.mark.parametrize("status", [503, 429, 301, 408, 307, 425, 500, 502, 504, 529])
def test_what_may_be_taken_later_is_tried_again(house, engine, evaluator, deliverer, pager, status):
    pager.script = [(status, {})]
    house.put(1)
    evaluator.step()
    deliverer.step()

    assert statuses(engine) == ["pending"]


def listed(pager):
    """The states that each message lists as superseded, by the ordinal of its change."""
    data = [json.loads(body)["data"] for _, body in pager.requests]
    return {one["seq"]: [old["seq"] for old in one.get("supersedes", ())] for one in data}


@both_in_full
def test_a_receiver_that_was_away_gets_the_newest_which_lists_what_it_missed(
    house, engine, clock, evaluator, deliverer, pager
):
    pager.script = [(503, {})] * 1000
    for day, value in enumerate((1, 0, 1, 0)):
        house.put(value, day=day)
        evaluator.step()
        deliver(engine, deliverer, clock, 3600)
    assert statuses(engine) == ["superseded"] * 3 + ["pending"]
    pager.script.clear()
    pager.requests.clear()
    deliver(engine, deliverer, clock, 3 * 3600)

    assert listed(pager) == {4: [1, 2, 3]}
    (body,) = [json.loads(body)["data"] for _, body in pager.requests]
    assert [one["state"] for one in body["supersedes"]] == ["ALARM", "OK", "ALARM"]
    assert body["supersedes_count"] == 3
    found = deliveries(engine)
    assert [row.status for row in found] == ["superseded"] * 3 + ["delivered"]
    assert {row.carrier_id for row in found[:3]} == {found[3].id}
    with engine.begin() as connection:
        actions = alarms.history(connection, type="Action")
    assert [one.data["actionState"] for one in actions].count("Superseded") == 3


@both_in_full
def test_the_newest_lists_ten_counts_all_and_is_as_old_as_the_first(
    house, engine, clock, evaluator, pager
):
    start = clock()
    for day in range(13):
        house.put((day + 1) % 2, day=day)
        evaluator.step()
        clock.advance(seconds=600)

    with engine.begin() as connection:
        query = select(tables.outbox).where(tables.outbox.c.status == "pending")
        row = connection.execute(query).one()
        (oldest,) = (
            sample.value
            for family in alarm_families(connection, SeriesCap(100), clock())
            for sample in family.samples
            if sample.name == "driftline_oldest_message_seconds"
        )
    body = json.loads(row.body)["data"]
    assert [one["seq"] for one in body["supersedes"]] == list(range(3, 13))
    assert body["supersedes_count"] == 12
    assert row.facts["before"] == "INSUFFICIENT_DATA"
    assert oldest == (clock() - start).total_seconds()


@both_in_full
def test_a_new_change_is_tried_at_once_whatever_the_older_one_waits_for(
    house, engine, clock, evaluator, deliverer, pager
):
    pager.script = [(503, {})] * 6
    house.put(1)
    evaluator.step()
    deliver(engine, deliverer, clock, 3000)
    house.put(0, day=2)
    evaluator.step()
    deliverer.step()

    assert statuses(engine) == ["superseded", "delivered"]


@both_in_full
def test_a_change_waits_for_one_that_is_being_sent_and_supersedes_it_when_it_fails(
    house, engine, clock, evaluator, deliverer, pager
):
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        (on_its_way,) = outbox.claim(connection, clock())
    house.put(0, day=1)
    evaluator.step()
    with engine.begin() as connection:
        assert outbox.claim(connection, clock()) == []

    deliverer._mark(on_its_way, None, "no answer")
    deliverer.step()

    assert statuses(engine) == ["superseded", "delivered"]
    assert listed(pager) == {2: [1]}


def test_what_was_being_sent_and_arrived_stays_delivered(
    house, engine, clock, evaluator, deliverer, pager
):
    house.put(1)
    evaluator.step()

    def change():
        house.put(0, day=1)
        evaluator.step()

    pager.on_request = change
    deliverer.step()
    pager.on_request = lambda: None
    deliverer.step()

    assert statuses(engine) == ["delivered", "delivered"]
    assert seqs(pager) == [1, 2]


def test_what_is_asked_for_by_hand_is_sent_again_as_often_as_any(
    house, engine, clock, evaluator, deliverer, pager
):
    pager.script = [(503, {})]
    for day, value in enumerate((1, 0)):
        house.put(value, day=day)
        evaluator.step()
        deliverer.step()
    pager.script = [(503, {})]
    (first, _) = deliveries(engine)
    with engine.begin() as connection:
        redeliver(connection, first.id, clock())
    assert deliveries(engine)[0].carrier_id is None
    deliverer.step()
    assert statuses(engine) == ["pending", "delivered"]
    deliver(engine, deliverer, clock, 90)

    assert statuses(engine) == ["delivered", "delivered"]
