"""What is wrong with a request about alarms, in our own sentences, never in a library's."""

from __future__ import annotations

import re

import pytest

from tests.serving.alarm_yard import METRIC, client, server, yard

__all__ = ["client", "server", "yard"]  # The fixtures.

FOREIGN = re.compile(
    r"input should|field required|extra inputs|value error|valid (string|list|dict|integer)"
    r"|recursion|there was an error|JSON decode|\bNone\b|\[\[\[",
    re.IGNORECASE,
)
STATE = "/alarms/c/state"
ASKED = [
    ("GET", "/alarm-states?limit=0", None, 'query.limit "0"; expected 1 or more'),
    ("GET", "/alarm-states?limit=x", None, 'query.limit "x"; expected a whole number'),
    ("GET", "/alarm-states?kind=foo", None, 'query.kind "foo"; expected metric or composite'),
    ("GET", "/alarm-states?nope=1", None, "query.nope: unknown; expected no such field"),
    ("GET", f"/alarm-states?prefix={'a' * 300}", None, "expected at most 255 characters"),
    ("GET", "/alarms/c/history?start=x", None, "expected a time such as 2026-01-15T06:00:00Z"),
    ("GET", "/alarms/c/history?start=2026-01-01T00:00:00", None, "expected a time with its zone"),
    ("GET", "/alarms/c/history?limit=5000", None, 'query.limit "5000"; expected 1000 or less'),
    ("PUT", STATE, {}, "body.state_value: missing; expected a value"),
    ("PUT", STATE, {"state_value": "OK", "state_reason": 5}, "body.state_reason 5; expected text"),
    ("PUT", STATE, [1], "body [1]; expected an object"),
    ("PUT", STATE, None, "body: missing; expected a value"),
    ("POST", "/alarms/actions", {"names": [], "enabled": True}, "expected at least 1 item"),
    ("POST", "/alarms/actions", {"names": ["c"], "enabled": "x"}, '"x"; expected true or false'),
    ("POST", "/alarms/actions", {"names": ["c"] * 101, "enabled": True}, "at most 100 items"),
    ("PATCH", "/alarms/c/tags", {"without": "a"}, 'body.without "a"; expected a list'),
    ("POST", "/silences/preview", {"spec": 5}, "body.spec 5; expected an object"),
    ("POST", "/silences/preview", {"spec": {"foo": 1}}, 'unknown key "foo"; expected one of match'),
    ("POST", "/silences/preview", {"spec": {"matchers": 5}}, "matchers 5; expected a list"),
]


@pytest.mark.parametrize(("method", "path", "body", "said"), ASKED)
def test_a_wrong_request_is_one_sentence_of_ours(server, yard, method, path, body, said):
    answer = server.client.request(method, f"/api/v1{path}", json=body)

    assert answer.status_code == 400
    message = server.error_of(answer)["message"]
    assert said in message
    assert not FOREIGN.search(message)


def test_a_body_that_is_not_declared_as_json_is_told_so(server, yard):
    other = {"content-type": "application/xml"}

    answer = server.client.put(f"/api/v1{STATE}", content=b"{bad", headers=other)

    said = "body: not JSON by its Content-Type; expected application/json"
    assert (answer.status_code, server.error_of(answer)["message"]) == (400, said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"state_value"', "body: no JSON from character 14 on"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "body: not readable; expected JSON in UTF-8"),
        (b'{"state_value":"OK","state_reason":"\\ud800"}', "body: half of a surrogate pair"),
        (b'{"state_value":"OK","state_reason":' + b'{"a":' * 900 + b"1" + b"}" * 901, "body.stat"),
    ],
    ids=["cut off", "deep", "half a pair", "nearly as deep"],
)
def test_a_body_that_cannot_be_read_is_one_sentence(server, yard, content, said):
    headers = {"content-type": "application/json"}
    answer = server.client.put("/api/v1/alarms/c/state", content=content, headers=headers)

    assert answer.status_code == 400
    message = server.error_of(answer)["message"]
    assert message.startswith(said)
    assert not FOREIGN.search(message)


WRONG = [
    ("Alarm", {**METRIC, "severity": "x"}, 'severity "x"; expected page or ticket'),
    ("Alarm", {**METRIC, "evaluation_periods": 1.5}, "periods 1.5; expected a whole number"),
    ("Alarm", {**METRIC, "threshold": "high"}, 'spec.threshold "high"; expected a number'),
    ("Alarm", {**METRIC, "alarm_actions": "pager"}, '"pager"; expected a list'),
    ("Alarm", {**METRIC, "dimensions": {"a": 1}}, "spec.dimensions.a 1; expected text"),
    (
        "Channel",
        {"type": "foo"},
        '"foo"; expected webhook, alertmanager, pagerduty, apprise, command or plugin',
    ),
    ("Channel", {"url": "https://x.example", "group_by": "a"}, '"a"; expected a list'),
    ("Silence", {"ends_at": "tomorrow"}, '"tomorrow"; expected a time such as 2026-'),
    (
        "CompositeAlarm",
        {"alarm_rule": "ALARM(c)", "actions_suppressor": "c"},
        "actions_suppressor_wait_period is missing; expected whole seconds from 0 to 604800",
    ),
]


@pytest.mark.parametrize(("kind", "spec", "said"), WRONG)
def test_a_wrong_spec_is_one_sentence_of_ours(server, yard, declare, kind, spec, said):
    answer = server.apply(declare(kind, "wrong", **spec))

    assert answer.status_code == 400
    message = server.error_of(answer)["message"]
    assert message.startswith(f'{kind} "wrong": ')
    assert said in message
    assert not FOREIGN.search(message)
