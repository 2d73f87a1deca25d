"""PagerDuty opens an incident for an ALARM and closes it for its OK."""

import asyncio
import json

import pytest
from sqlalchemy import select

from driftline.alerts import tables
from driftline.alerts.notify import channels
from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.deliveries import list_deliveries
from driftline.alerts.notify.erasing import QuotedWindow, clear_messages
from driftline.alerts.notify.receivers.pagerduty import events_url
from driftline.alerts.notify.secrets import Vault
from driftline.alerts.notify.senders import Transports
from driftline.alerts.notify.trial_send import try_channel
from tests.alerts.notify.incident_services import KEY, pagerduty

# What a service is sent has nothing to do with the database.
pytestmark = pytest.mark.parametrize("backend", ["sqlite"])
NOTE = {
    "cause": 'temp: 33% of rows at or below 12, mostly "EWR"',
    "link": "/monitors/quality?window=20130101T000000Z#rows",
    "monitor": "quality",
    "violations": [{"feature_name": "temp", "description": "x" * 300}] * 10,
}


@pytest.fixture
def service(house):
    """The service, and an alarm that pages by it."""
    with pagerduty() as running:
        house.channel("oncall", running.url, secret=KEY, type="pagerduty")
        house.alarm(alarm_actions=("oncall",), ok_actions=("oncall",))
        yield running


def deliver(deliverer):
    while deliverer.step():
        pass


def statuses(engine):
    with engine.begin() as connection:
        found = list_deliveries(connection)
    return [one.status for one in sorted(found, key=lambda one: one.state_seq)]


def test_an_alarm_opens_an_incident_its_recovery_closes_it_and_the_next_one_pages_again(
    house, engine, evaluator, deliverer, service
):
    opened = []
    for day, value in enumerate((1, 0, 1, 0)):
        house.put(value, day=day, note=NOTE)
        evaluator.step()
        deliver(deliverer)
        opened.append((len(service.open), sum(service.opened.values())))

    assert opened == [(1, 1), (0, 1), (1, 2), (0, 2)]
    assert service.refused == []
    assert statuses(engine) == ["delivered"] * 4


@pytest.mark.parametrize("told", ["nothing", "ALARM"])
def test_messages_that_were_erased_open_and_close_the_incident_of_their_alarm(
    house, engine, evaluator, deliverer, service, told
):
    house.put(1, note=NOTE)
    evaluator.step()
    if told == "ALARM":
        deliver(deliverer)
    house.put(0, day=1, note=NOTE)
    evaluator.step()
    window = QuotedWindow("quality", "20130101T000000Z", house.day)
    with engine.begin() as connection:
        assert clear_messages(connection, [window]) == 2
    deliver(deliverer)

    # What came and went undelivered opens nothing: the recovery supersedes it.
    assert sum(service.opened.values()) == (told == "ALARM")
    assert service.open == set()
    assert service.refused == []
    first = "delivered" if told == "ALARM" else "superseded"
    assert statuses(engine) == [first, "delivered"]
    assert all("33%" not in json.dumps(one) for one in service.requests[told == "ALARM" :])


def test_an_incident_says_the_cause_and_leads_to_the_rows(house, evaluator, deliverer, service):
    house.put(1, note=NOTE)
    evaluator.step()
    deliver(deliverer)

    (found,) = service.requests
    link = "http://127.0.0.1:8081/monitors/quality?window=20130101T000000Z#rows"
    payload = found["payload"]
    assert found["event_action"] == "trigger"
    assert found["links"] == [{"href": link, "text": "driftline"}]
    assert found["client_url"] == link
    assert payload["severity"] == "critical"
    assert payload["component"] == payload["source"] == "flights"
    assert payload["custom_details"]["alarm"]["name"] == "drift"
    assert payload["summary"].startswith("ALARM: drift: temp: 33% of rows at or below 12")
    assert "EWR" not in json.dumps(found)  # A value of a row, which stays at home.


def test_missing_data_do_not_close_what_is_open(house, evaluator, deliverer, service):
    house.alarm(
        alarm_actions=("oncall",), ok_actions=("oncall",), insufficient_data_actions=("oncall",),
        treat_missing_data="missing",
    )  # fmt: skip
    house.put(1)
    evaluator.step()
    deliver(deliverer)
    evaluator._now.advance(days=5000)
    evaluator.step()
    deliver(deliverer)

    assert house.get().state == "INSUFFICIENT_DATA"
    assert len(service.requests) == 2
    assert len(service.open) == 1
    assert sum(service.opened.values()) == 1


def test_too_many_requests_are_tried_again_and_what_is_invalid_is_not(
    house, engine, clock, evaluator, deliverer, service
):
    service.busy = 1
    house.put(1)
    evaluator.step()
    deliver(deliverer)
    assert statuses(engine) == ["pending"]
    clock.advance(seconds=10)
    deliver(deliverer)
    assert statuses(engine) == ["delivered"]

    house.channel("oncall", service.url, secret="another-key", type="pagerduty")
    house.put(0, day=1)
    evaluator.step()
    deliver(deliverer)
    assert statuses(engine) == ["delivered", "failed"]


def test_the_key_is_in_no_message_no_history_and_no_answer(
    house, engine, clock, evaluator, deliverer, service
):
    key, vault = KEY[::-1], Vault("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    with engine.begin() as connection:
        oncall = Channel("oncall", service.url, secret=key, type="pagerduty")
        channels.put_channel(connection, oncall, clock(), vault=vault)
        shown = channels.get_channel(connection, "oncall").as_dict()
        opened = channels.open_channels(connection, ["oncall"], vault)["oncall"]
    house.put(1)
    evaluator.step()
    with engine.begin() as connection:
        for table in (tables.channels, tables.outbox, tables.history):
            assert key not in str(connection.execute(select(table)).all())

    assert key not in str(shown)
    assert opened.secrets[0].reveal() == key


def test_a_key_never_becomes_the_signature_of_a_webhook(house, engine, clock, service):
    made = house.channel("oncall", "https://hooks.example", secret=None)

    assert made.secret_text.startswith("whsec_")
    with engine.begin() as connection:
        opened = channels.open_channels(connection, ["oncall"], Vault())["oncall"]
    assert KEY not in [one.reveal() for one in opened.secrets]


def test_messages_for_a_service_go_through_the_guard(engine, clock, service):
    transports = Transports(AddressGuard(()), ())
    tried = asyncio.run(
        try_channel(engine, "oncall", transports=transports, vault=Vault(), now=clock)
    )

    assert (tried.is_taken, tried.error) == (False, "address not allowed")
    assert service.requests == []


def test_a_service_is_where_its_documents_say_unless_told_otherwise(backend):
    assert events_url("") == "https://events.pagerduty.com/v2/enqueue"
    assert events_url("https://events.eu.pagerduty.com") == (
        "https://events.eu.pagerduty.com/v2/enqueue"
    )
    assert events_url("https://events.eu.pagerduty.com/v2/enqueue") == (
        "https://events.eu.pagerduty.com/v2/enqueue"
    )
