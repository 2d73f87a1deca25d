"""Alertmanager as a channel: its contract."""

import json
from datetime import datetime

import pytest
from sqlalchemy import update

from driftline.alerts import tables
from driftline.alerts.notify.deliveries import list_deliveries
from driftline.alerts.notify.erasing import QuotedWindow, clear_messages
from driftline.alerts.notify.receivers.alertmanager import RESEND_S, alerts_url, with_end
from tests.servers.postgres import both_databases

LINK = "/monitors/daily?window=20130101T000000Z#rows"


@pytest.fixture
def backend() -> str:
    """SQLite: tests of both databases send PostgreSQL every statement of these, too."""
    return "sqlite"


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


@both_databases
def test_what_has_ended_is_told_once_and_no_more(firing, house, clock, evaluator, deliverer):
    clock.advance(seconds=RESEND_S)
    house.put(0, day=1)
    evaluator.step()
    assert deliverer.resend() == 0  # It has ended, though nobody was told yet.
    deliverer.step()
    clock.advance(seconds=RESEND_S)

    assert deliverer.resend() == 0
    assert datetime.fromisoformat(told(firing)[-1]["endsAt"]) < clock()


def test_what_was_never_taken_is_not_told_again(house, receiver, clock, evaluator, deliverer):
    receiver.script = [(500, {})]
    house.channel("am", receiver.url, type="alertmanager", secret=None)
    house.alarm(alarm_actions=("am",))
    house.put(1)
    evaluator.step()
    deliverer.step()

    assert deliverer.resend() == 0


def test_an_alertmanager_that_is_away_is_told_the_next_time(firing, clock, deliverer):
    firing.script = [(503, {})]
    assert deliverer.resend() == 0
    clock.advance(seconds=RESEND_S)

    assert deliverer.resend() == 1


def test_many_that_fire_go_in_few_requests(house, receiver, clock, evaluator, deliverer):
    """As Alertmanager's API takes them; one by one a slow one would hold up all other messages."""
    house.channel("am", receiver.url, type="alertmanager", secret=None)
    for number in range(20):
        house.alarm(f"alarm {number}", alarm_actions=("am",))
    house.put(1)
    evaluator.step()
    while deliverer.step():
        pass
    receiver.requests.clear()

    assert deliverer.resend() == 20

    ((_, body),) = receiver.requests
    assert len({one["labels"]["alertname"] for one in json.loads(body)}) == 20


@both_databases
def test_a_body_from_when_the_channel_was_another_is_passed_over(firing, engine, deliverer):
    with engine.begin() as connection:
        connection.execute(update(tables.outbox).values(body=b'{"text":"as Slack wants it"}'))

    deliverer.resend()

    assert firing.requests[-1][1] == b"[]"


def test_what_alertmanager_does_not_know_is_no_success(house, receiver, evaluator, deliverer):
    receiver.script = [(404, {})]
    house.channel("am", receiver.url, type="alertmanager", secret=None)
    house.alarm(alarm_actions=("am",))
    house.put(1)
    evaluator.step()
    deliverer.step()

    with house.engine.begin() as connection:
        (row,) = list_deliveries(connection)
    assert (row.status, row.last_status) == ("dead", 404)


@pytest.mark.parametrize(
    ("url", "posted"),
    [
        ("http://am:9093", "http://am:9093/api/v2/alerts"),
        ("http://am:9093/", "http://am:9093/api/v2/alerts"),
        ("https://am/prefix", "https://am/prefix/api/v2/alerts"),
        ("https://am/api/v2/alerts", "https://am/api/v2/alerts"),
    ],
)
def test_the_address_may_end_at_the_host_or_at_the_api(url, posted):
    assert alerts_url(url) == posted


def test_an_end_that_is_said_stays(clock):
    body = b'[{"labels":{},"endsAt":"2026-01-15T06:00:00.000Z"}]'

    assert with_end(body, clock()) == body
