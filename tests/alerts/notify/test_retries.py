"""What happens when a receiver does not take a message."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook

from driftline.alerts import tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.errors import DeliveryNotOwed
from driftline.alerts.metrics import store as metrics
from driftline.alerts.notify import channels, outbox
from driftline.alerts.notify.deliverer import ATTEMPT_DELAYS_S
from driftline.alerts.notify.deliveries import list_deliveries, redeliver
from tests.servers.postgres import both_databases, both_in_full

# What a header says has nothing to do with the database; its SQL runs on both in the others.
one_database = pytest.mark.parametrize("backend", ["sqlite"])


def deliveries(engine):
    """All messages, oldest change first."""
    with engine.begin() as connection:
        found = list_deliveries(connection)
    return sorted(found, key=lambda one: (one.alarm_name, one.state_seq))


def test_retries_send_the_same_bytes_under_the_same_id_with_a_new_time(
    house, clock, evaluator, deliverer, pager, secret
):
    pager.script = [(500, {}), (408, {})]
    house.put(1)
    evaluator.step()
    for wait_s in (0, 6, 36):
        clock.advance(seconds=wait_s)
        deliverer.step()

    assert len(set(pager.ids)) == 1
    assert len({body for _, body in pager.requests}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in pager.requests}) == 3
    for headers, body in pager.requests:
        Webhook(secret).verify(body, headers)


def test_the_schedule_is_kept_with_jitter_and_the_last_attempt_gives_up(
    house, engine, clock, evaluator, deliverer, pager
):
    pager.script = [(500, {})] * 20
    house.put(1)
    evaluator.step()
    waits = []
    while True:
        deliverer.step()
        (row,) = deliveries(engine)
        if row.status == "failed":
            break
        waits.append((row.next_attempt_at - clock()).total_seconds())
        clock.time = row.next_attempt_at

    assert row.attempts == len(pager.requests) == len(ATTEMPT_DELAYS_S) == 10
    factors = [wait / planned for wait, planned in zip(waits, ATTEMPT_DELAYS_S[1:], strict=True)]
    assert all(0.8 <= factor <= 1.2 for factor in factors)
    assert len(set(factors)) == 9
    assert row.last_status == 500
    with engine.begin() as connection:
        (action,) = alarms.history(connection, type="Action")
    assert action.summary == "Failed to execute action pager"
    assert action.data["error"] == "answered 500"


@both_databases
def test_what_was_given_up_can_be_sent_again(house, engine, clock, evaluator, deliverer, pager):
    pager.script = [(500, {})]
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        connection.execute(update(tables.outbox).values(attempts=9))
    deliverer.step()
    (dead,) = deliveries(engine)

    with engine.begin() as connection:
        redeliver(connection, dead.id, clock())
    deliverer.step()

    (row,) = deliveries(engine)
    assert (dead.status, row.status) == ("failed", "delivered")
    assert pager.ids == [dead.id, dead.id]
    said = f'delivery "{dead.id}" is delivered; expected one that is failed, .*channel test pager'
    with engine.begin() as connection, pytest.raises(DeliveryNotOwed, match=said):
        redeliver(connection, dead.id, clock())


@one_database
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retry_after_is_honoured_in_seconds(
    house, engine, clock, evaluator, deliverer, pager, status
):
    pager.script = [(status, {"retry-after": "120"})]
    house.put(1)
    evaluator.step()
    deliverer.step()

    (row,) = deliveries(engine)
    assert row.next_attempt_at == clock() + timedelta(seconds=120)


@one_database
@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "-5",
        "²",
        "",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Mon, 01 Jan 2024 00:00:00 +99999999999",
    ],
)
def test_a_retry_after_that_cannot_be_read_changes_nothing(
    house, engine, clock, evaluator, deliverer, pager, text
):
    pager.script = [(503, {"retry-after": text.encode().decode("latin-1")})]
    house.put(1)
    evaluator.step()
    deliverer.step()

    (row,) = deliveries(engine)
    assert 4 <= (row.next_attempt_at - clock()).total_seconds() <= 6


@both_in_full
def test_gone_disables_the_channel_until_it_is_declared_again(
    house, engine, clock, evaluator, deliverer, pager
):
    pager.script = [(410, {})]
    house.put(1)
    evaluator.step()
    deliverer.step()
    house.put(0, day=2)
    evaluator.step()

    assert [row.status for row in deliveries(engine)] == ["failed", "failed"]
    assert deliverer.step() == 0
    with engine.begin() as connection:
        status = channels.get_channel(connection, "pager")
        (action,) = alarms.history(connection, type="Action")
    assert (status.enabled, status.disabled_reason) == (False, "receiver answered 410 Gone")
    assert action.summary == "Failed to execute action pager"

    house.channel("pager", pager.url)
    house.put(1, day=3)
    evaluator.step()
    assert deliverer.step() == 1
    assert [row.status for row in deliveries(engine)][-1] == "delivered"


def test_a_failed_delivery_is_a_datapoint(house, engine, clock, evaluator, deliverer, pager):
    clock.time = clock().replace(second=0)
    pager.script = [(500, {}), (500, {})]
    house.put(1)
    evaluator.step()
    deliverer.step()
    clock.advance(seconds=10)
    deliverer.step()

    minute = clock().replace(second=0)
    with engine.begin() as connection:
        found = metrics.read(
            connection,
            "Driftline",
            "FailedDeliveries",
            {"Channel": "pager"},
            minute,
            minute + timedelta(minutes=1),
            60,
            "Sum",
        )
    assert found == [(minute, 2.0)]


def test_a_failing_channel_gets_one_probe_a_pass(house, engine, evaluator, deliverer, pager):
    for number in range(4):
        house.alarm(f"alarm {number}", alarm_actions=("pager",))
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        connection.execute(update(tables.channels).values(failure_count=5))

    assert deliverer.step() == 1
    # It answered, so that the rest follows.
    assert deliverer.step() == 4


@both_in_full
def test_a_lost_lease_marks_nothing(house, engine, clock, evaluator, deliverer, pager):
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        (slow,) = outbox.claim(connection, clock())
    clock.advance(seconds=61)
    deliverer.step()

    with engine.begin() as connection:
        assert not outbox.finish(connection, slow, {"status": "pending"})
    assert deliveries(engine)[0].status == "delivered"


@both_in_full
def test_a_lease_taken_by_a_clock_far_ahead_runs_out_at_once(
    house, engine, clock, evaluator, deliverer, pager
):
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        assert outbox.claim(connection, clock() + timedelta(days=365))

    assert deliverer.step() == 1
