import http.client
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from driftline.alerts.notify.event import as_json
from driftline.alerts.notify.trial_send import event_of_test
from driftline.app.demo.receiver import Pager

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # Of the Standard Webhooks specification.
MESSAGE = json.dumps(
    {
        "type": "alarm.state_changed",
        "timestamp": "2026-10-05T00:01:00Z",
        "data": {
            "alarm": {"name": "flights: broken input", "severity": "page"},
            "state": {"old": "OK", "new": "ALARM", "reason": "Threshold Crossed"},
            "cause": 'carrier: 6.0% of rows never seen in the reference, mostly "EDV"',
            "links": {"dashboard": "http://127.0.0.1:8081/monitors/flights-data-quality#rows"},
        },
    }
)


def _headers(webhook_id: str, body: str, *, age: timedelta = timedelta(0)) -> dict[str, str]:
    time = datetime.now(UTC) - age
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(time.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(webhook_id, time, body),
    }


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("POST", parts.path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_signed_message_is_shown_with_its_cause_and_its_link() -> None:
    shown: list[str] = []

    with Pager(SECRET, shown.append) as receiver:
        status = _post(receiver.url, MESSAGE.encode(), _headers("msg_1", MESSAGE))

    assert status == 204
    head, cause, link = shown[0].splitlines()
    assert head == "PAGE    flights: broken input"
    assert cause.strip().startswith("carrier: 6.0% of rows")
    assert link.endswith("#rows")


def test_the_test_of_a_channel_is_taken_and_rings_for_nobody() -> None:
    event = event_of_test("pager", datetime.now(UTC))
    body = as_json(event.document)

    with Pager(SECRET, lambda _: None) as receiver:
        status = _post(receiver.url, body, _headers("msg_1", body.decode()))

    assert (status, receiver.refused_count, receiver.ids) == (204, 0, set())


def test_a_message_that_is_sent_twice_counts_once() -> None:
    shown: list[str] = []

    with Pager(SECRET, shown.append) as receiver:
        for _ in range(2):
            assert _post(receiver.url, MESSAGE.encode(), _headers("msg_1", MESSAGE)) == 204

    assert len(shown) == len(receiver.ids) == 1


@pytest.mark.parametrize("fault", ["changed body", "old", "no signature", "not an alarm"])
def test_what_is_not_signed_as_it_stands_is_refused_and_counted(fault: str) -> None:
    age = timedelta(minutes=10) if fault == "old" else timedelta(0)
    body = "{}" if fault == "not an alarm" else MESSAGE
    headers = {} if fault == "no signature" else _headers("msg_1", body, age=age)
    sent = body.replace("6.0", "0.6") if fault == "changed body" else body

    with Pager(SECRET, lambda _: None) as receiver:
        status = _post(receiver.url, sent.encode(), headers)

    assert status == 400
    assert receiver.refused_count == 1
    assert not receiver.ids
