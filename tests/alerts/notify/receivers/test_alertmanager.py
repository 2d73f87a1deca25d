"""Alertmanager as a channel: its contract."""

import json
from datetime import datetime

import pytest
from sqlalchemy import update

from driftline.alerts import tables
from driftline.alerts.notify.deliveries import list_deliveries
from driftline.alerts.notify.erasing import QuotedWindow, clear_messages
from driftline.alerts.notify.receivers.alertmanager import RESEND_S
from tests.servers.postgres import both_databases, both_in_full

LINK = "/monitors/daily?window=20130101T000000Z#rows"


@pytest.fixture
def firing(house, receiver, evaluator, deliverer):
    """An alarm that was told to an Alertmanager and fires; its receiver."""
    house.channel("am", receiver.url, type="alertmanager", secret=None)
    house.alarm(alarm_actions=("am",), ok_actions=("am",))
    house.put(1)
    evaluator.step()
    deliverer.step()
    return receiver


def told(receiver) -> list[dict]:
    return [json.loads(body)[0] for _, body in receiver.requests]


def test_each_request_is_what_the_contract_asks(firing, clock):
    """Alertmanager's OpenAPI, ``postableAlerts``: a list of labels, times and annotations."""
    ((headers, body),) = firing.requests
    (alert,) = json.loads(body)

    assert headers["content-type"] == "application/json"
    assert set(alert) <= {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
    assert all(isinstance(one, str) and one for one in alert["labels"].values())
    assert all(isinstance(one, str) for one in alert["annotations"].values())
    start, end = (datetime.fromisoformat(alert[key]) for key in ("startsAt", "endsAt"))
    assert start == clock()
    assert (end - start).total_seconds() == 4 * RESEND_S


def test_what_fires_is_told_each_minute_with_a_later_end(firing, clock, deliverer):
    assert deliverer.resend() == 1  # A process that has just begun does not know when it was.
    clock.advance(seconds=RESEND_S - 1)
    assert deliverer.resend() == 0
    clock.advance(seconds=1)
    assert deliverer.resend() == 1

    alerts = told(firing)
    assert len({json.dumps(one["labels"]) for one in alerts}) == 1
    assert len({one["startsAt"] for one in alerts}) == 1
    assert alerts[2]["endsAt"] > alerts[1]["endsAt"]


@both_databases
def test_what_fires_still_fires_when_its_message_was_erased(firing, house, deliverer):
    window = QuotedWindow("daily", "20130101T000000Z", house.day)
    with house.engine.begin() as connection:
        connection.execute(update(tables.outbox).values(facts={"link": LINK}))
        assert clear_messages(connection, [window]) == 1

    assert deliverer.resend() == 1

    before, after = told(firing)
    for key in ("labels", "startsAt", "endsAt"):
        assert after[key] == before[key]
    assert "was erased" in after["annotations"]["description"]


@both_in_full
def test_what_has_ended_is_told_once_and_no_more(firing, house, clock, evaluator, deliverer):
    clock.advance(seconds=RESEND_S)
    house.put(0, day=1)
    evaluator.step()
    assert deliverer.resend() == 0  # It has ended, though nobody was told yet.
    deliverer.step()
    clock.advance(seconds=RESEND_S)

    assert deliverer.resend() == 0
    assert datetime.fromisoformat(told(firing)[-1]["endsAt"]) < clock()


def test_what_alertmanager_does_not_know_is_no_success(house, receiver, evaluator, deliverer):
    receiver.script = [(404, {})]
    house.channel("am", receiver.url, type="alertmanager", secret=None)
    house.alarm(alarm_actions=("am",))
    house.put(1)
    evaluator.step()
    deliverer.step()

    with house.engine.begin() as connection:
        (row,) = list_deliveries(connection)
    assert (row.status, row.last_status) == ("failed", 404)
