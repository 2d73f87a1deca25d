"""Deliveries to real receivers on this machine."""

import json
import ssl
from datetime import timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from driftline.alerts import alarms, channels, metrics, outbox, tables
from driftline.alerts.counts import counts
from driftline.alerts.evaluator import Evaluator
from driftline.alerts.notify import ATTEMPT_DELAYS_S, Deliverer

LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def evaluator(engine, clock):
    return Evaluator(engine, now=clock, dashboard_url="http://127.0.0.1:8081")


@pytest.fixture
def deliverer(engine, clock):
    return Deliverer(
        engine, now=clock, allow_networks=LOOPBACK, rng=np.random.default_rng(20130101)
    )


@pytest.fixture
def pager(house, receiver):
    """An alarm whose changes to ALARM and OK go to the receiver."""
    house.channel("pager", receiver.url)
    house.alarm(alarm_actions=("pager",), ok_actions=("pager",))
    return receiver


def deliveries(engine):
    """All messages, oldest change first."""
    with engine.begin() as connection:
        found = outbox.list_deliveries(connection)
    return sorted(found, key=lambda one: (one.alarm_name, one.state_seq))


def test_a_message_is_signed_as_the_standard_says(house, evaluator, deliverer, pager, secret):
    note = {"cause": "temp: 33.1 % of rows below 12.02", "link": "/monitors/flights#rows"}
    house.put(1.0, note=note)
    evaluator.step()

    assert deliverer.step() == 1
    assert deliverer.step() == 0

    ((headers, body),) = pager.requests
    data = Webhook(secret).verify(body, headers)["data"]
    assert data["cause"] == "temp: 33.1 % of rows below 12.02"
    assert data["links"]["dashboard"] == "http://127.0.0.1:8081/monitors/flights#rows"
    assert headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body.replace(b"33.1", b"1.33"), headers)


def test_sns_format_carries_its_header(house, engine, evaluator, deliverer, receiver, secret):
    house.channel("sns", receiver.url, format="sns")
    house.alarm(alarm_actions=("sns",))
    house.put(1.0)
    evaluator.step()
    deliverer.step()

    ((headers, body),) = receiver.requests
    assert headers["x-amz-sns-message-type"] == "Notification"
    assert headers["content-type"] == "text/plain; charset=UTF-8"
    assert Webhook(secret).verify(body, headers)["MessageId"] == headers["webhook-id"]


def test_messages_of_one_alarm_arrive_in_order(house, evaluator, deliverer, pager):
    house.put(1, 0, 1, 0)
    evaluator.step()

    while deliverer.step():
        pass

    assert [json.loads(body)["data"]["seq"] for _, body in pager.requests] == [1, 2, 3, 4]


def test_a_newer_state_does_not_overtake_one_that_failed(house, clock, evaluator, deliverer, pager):
    pager.script = [(500, {})]
    house.put(1, 0)
    evaluator.step()
    assert deliverer.step() == 1
    assert deliverer.step() == 0

    clock.advance(seconds=6)
    while deliverer.step():
        pass

    first, again, second = pager.ids
    assert first == again != second


def test_another_alarm_or_channel_is_not_held_up(
    house, evaluator, deliverer, pager, other_receiver
):
    house.channel("other", other_receiver.url)
    house.alarm("second", alarm_actions=("pager", "other"))
    pager.script = [(500, {}), (500, {})]
    house.put(1)
    evaluator.step()

    assert deliverer.step() == 3
    assert len(other_receiver.requests) == 1


def test_retries_send_the_same_bytes_under_the_same_id_with_a_new_time(
    house, clock, evaluator, deliverer, pager, secret
):
    pager.script = [(500, {}), (404, {})]
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
        if row.status == "dead":
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


def test_what_was_given_up_can_be_sent_again(house, engine, clock, evaluator, deliverer, pager):
    pager.script = [(500, {})]
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        connection.execute(update(tables.outbox).values(attempts=9))
    deliverer.step()
    (dead,) = deliveries(engine)

    with engine.begin() as connection:
        outbox.redeliver(connection, dead.id, clock())
    deliverer.step()

    (row,) = deliveries(engine)
    assert (dead.status, row.status) == ("dead", "delivered")
    assert pager.ids == [dead.id, dead.id]
    with engine.begin() as connection, pytest.raises(outbox.UnknownDelivery):
        outbox.redeliver(connection, dead.id, clock())


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


@pytest.mark.parametrize(("asked_s", "given_s"), [(300, 300), (100_000, 3600)])
def test_retry_after_is_honoured_as_a_date_up_to_an_hour(
    house, engine, clock, evaluator, deliverer, pager, asked_s, given_s
):
    date = format_datetime(clock() + timedelta(seconds=asked_s), usegmt=True)
    pager.script = [(503, {"retry-after": date})]
    house.put(1)
    evaluator.step()
    deliverer.step()

    (row,) = deliveries(engine)
    assert row.next_attempt_at == clock() + timedelta(seconds=given_s)


@pytest.mark.parametrize("text", ["soon", "-5", "²", ""])
def test_a_retry_after_that_cannot_be_read_changes_nothing(
    house, engine, clock, evaluator, deliverer, pager, text
):
    pager.script = [(503, {"retry-after": text.encode().decode("latin-1")})]
    house.put(1)
    evaluator.step()
    deliverer.step()

    (row,) = deliveries(engine)
    assert 4 <= (row.next_attempt_at - clock()).total_seconds() <= 6


def test_a_redirect_is_a_failure_and_not_followed(
    house, engine, evaluator, deliverer, pager, other_receiver
):
    pager.script = [(307, {"location": other_receiver.url})]
    house.put(1)
    evaluator.step()
    deliverer.step()

    (row,) = deliveries(engine)
    assert (row.status, row.last_status) == ("pending", 307)
    assert other_receiver.requests == []


def test_gone_disables_the_channel_until_it_is_declared_again(
    house, engine, clock, evaluator, deliverer, pager
):
    pager.script = [(410, {})]
    house.put(1, 0)
    evaluator.step()
    deliverer.step()
    house.put(1, day=2)
    evaluator.step()

    assert [row.status for row in deliveries(engine)] == ["dead", "dead", "dead"]
    assert deliverer.step() == 0
    with engine.begin() as connection:
        status = channels.get_channel(connection, "pager")
        (action,) = alarms.history(connection, type="Action")
    assert (status.enabled, status.disabled_reason) == (False, "receiver answered 410 Gone")
    assert action.summary == "Failed to execute action pager"

    house.channel("pager", pager.url)
    house.put(0, day=3)
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


def test_a_long_backlog_loses_its_middle(house, engine, evaluator, deliverer, pager):
    pager.script = [(500, {})]
    house.put(1, 0, 1, 0, 1)
    evaluator.step()
    deliverer.step()

    assert [row.status for row in deliveries(engine)] == [
        "pending",
        "superseded",
        "superseded",
        "superseded",
        "pending",
    ]


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


def test_nobody_there_is_a_failure_with_few_words(house, engine, evaluator, deliverer):
    house.channel("pager", "http://127.0.0.1:9/")
    house.alarm(alarm_actions=("pager",))
    house.put(1)
    evaluator.step()
    deliverer.step()

    (row,) = deliveries(engine)
    assert (row.status, row.last_error) == ("pending", "ConnectError")


def test_loopback_is_not_reached_unless_listed(house, engine, clock, evaluator, pager):
    house.put(1)
    evaluator.step()
    Deliverer(engine, now=clock).step()

    assert pager.requests == []
    assert deliveries(engine)[0].last_error == "address not allowed"


def test_each_attempt_resolves_once_and_connects_to_what_was_checked(
    house, engine, clock, evaluator, receiver
):
    """A name that points elsewhere at the second question (DNS rebinding) does not help."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolver(host, port):
        return answers.pop(0)

    house.channel("pager", receiver.url.replace("127.0.0.1", "hooks.example"))
    house.alarm(alarm_actions=("pager",), ok_actions=("pager",))
    deliverer = Deliverer(engine, now=clock, allow_networks=LOOPBACK, resolver=resolver)
    house.put(1, 0)
    evaluator.step()
    deliverer.step()
    deliverer.step()

    ((headers, _),) = receiver.requests
    assert headers["host"].startswith("hooks.example:")
    assert [row.last_error for row in deliveries(engine)] == [None, "address not allowed"]


@pytest.mark.parametrize(
    ("host", "status", "error"),
    [("hooks.example", "delivered", None), ("other.example", "pending", "ConnectError")],
)
def test_the_certificate_must_be_for_the_name_though_the_address_is_pinned(
    house, engine, clock, evaluator, tls_receiver, fixtures, host, status, error
):
    async def resolver(host, port):
        return ["127.0.0.1"]

    tls = ssl.create_default_context(cafile=str(fixtures / "tls_certificate.pem"))
    url = tls_receiver.url.replace("http:", "https:").replace("127.0.0.1", host)
    house.channel("pager", url)
    house.alarm(alarm_actions=("pager",))
    house.put(1)
    evaluator.step()
    Deliverer(engine, now=clock, allow_networks=LOOPBACK, resolver=resolver, tls=tls).step()

    assert [(row.status, row.last_error) for row in deliveries(engine)] == [(status, error)]


def test_a_message_exists_once_for_each_change_and_channel(house, engine, define, evaluator, pager):
    house.put(1)
    (change,) = evaluator.step()

    with pytest.raises(IntegrityError), engine.begin() as connection:
        outbox.enqueue(connection, change, define(alarm_actions=("pager",)))


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


def test_message_ids_sort_by_time_and_hold_no_dot(clock):
    ids = []
    for _ in range(50):
        ids.append(outbox.new_message_id(clock()))
        clock.advance(milliseconds=1)

    assert ids == sorted(ids)
    assert all(one.startswith("msg_") and len(one) == 26 and one.isascii() for one in ids)
    assert not any("." in one for one in ids)


def test_counts_add_up(house, engine, evaluator, deliverer, pager):
    house.alarm("quiet", metric_name="other")
    house.put(1, 0, 1)
    evaluator.step()
    while deliverer.step():
        pass

    with engine.begin() as connection:
        found = counts(connection)
        rows = connection.execute(select(tables.outbox.c.id)).all()

    assert found.as_dict() == {
        "metrics": 1,
        "datapoints": 3,
        "alarms_by_state": {"ALARM": 1, "INSUFFICIENT_DATA": 1},
        "state_changes": 3,
        "deliveries_by_status": {"delivered": 3},
    }
    assert len(rows) == len(set(pager.ids)) == 3
