"""Deliveries to real receivers on this machine."""

import json
import ssl

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from driftline.alerts import tables
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.deliveries import list_deliveries
from driftline.alerts.notify.pipeline import notify
from tests.servers.postgres import both_databases, both_in_full

LOOPBACK = ["127.0.0.0/8"]


def deliveries(engine):
    """All messages, oldest change first."""
    with engine.begin() as connection:
        found = list_deliveries(connection)
    return sorted(found, key=lambda one: (one.alarm_name, one.state_seq))


def test_a_message_is_signed_as_the_standard_says(house, evaluator, deliverer, pager, secret):
    note = {"cause": "temp: 33.1% of rows below 12.02", "link": "/monitors/flights#rows"}
    house.put(1.0, note=note)
    evaluator.step()

    assert deliverer.step() == 1
    assert deliverer.step() == 0

    ((headers, body),) = pager.requests
    data = Webhook(secret).verify(body, headers)["data"]
    assert data["cause"] == "temp: 33.1% of rows below 12.02"
    assert data["links"]["dashboard"] == "http://127.0.0.1:8081/monitors/flights#rows"
    assert headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body.replace(b"33.1", b"1.33"), headers)


@pytest.mark.parametrize(
    "format", ["driftline", "sns", "eventbridge", "cloudevents", "slack", "template"]
)
def test_every_format_is_verified_by_a_receiver_and_what_was_changed_is_not(
    house,
    evaluator,
    deliverer,
    receiver,
    secret,
    format,  # noqa: A002 - the channel's word
):
    """The receiver is the public package standardwebhooks; it also knows how old a message is."""
    options = {"template": '{"text": {{ text|tojson }}}'} if format == "template" else {}
    house.channel("pager", receiver.url, format=format, options=options)
    house.alarm(alarm_actions=("pager",))
    house.put(1.0)
    evaluator.step()
    deliverer.step()

    ((headers, body),) = receiver.requests
    Webhook(secret).verify(body, headers)
    replayed = headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)}
    moved = headers | {"webhook-id": "msg_0000000000000000000000"}
    for wrong_headers, wrong_body in ((headers, body + b" "), (replayed, body), (moved, body)):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(wrong_body, wrong_headers)


def test_what_was_signed_long_ago_is_refused_when_it_is_replayed(
    house, clock, evaluator, deliverer, pager, secret
):
    clock.advance(minutes=-6)
    house.put(1.0)
    evaluator.step()
    deliverer.step()

    ((headers, body),) = pager.requests
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(body, headers)


def test_messages_of_one_alarm_arrive_in_order(house, evaluator, deliverer, pager):
    for day, value in enumerate((1, 0, 1, 0)):
        house.put(value, day=day)
        evaluator.step()
        deliverer.step()

    assert [json.loads(body)["data"]["seq"] for _, body in pager.requests] == [1, 2, 3, 4]


@both_databases
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
    for day, value in enumerate((1, 0)):
        house.put(value, day=day)
        evaluator.step()
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


@both_in_full
def test_a_message_exists_once_for_each_change_and_channel(house, engine, define, evaluator, pager):
    house.put(1)
    (change,) = evaluator.step()

    with pytest.raises(IntegrityError), engine.begin() as connection:
        notify(connection, change, define(alarm_actions=("pager",)))


@both_in_full
def test_every_change_is_delivered_once(house, engine, evaluator, deliverer, pager):
    for day, value in enumerate((1, 0, 1)):
        house.put(value, day=day)
        evaluator.step()
        deliverer.step()

    with engine.begin() as connection:
        rows = connection.execute(select(tables.outbox.c.id)).all()

    assert len(rows) == len(set(pager.ids)) == 3
