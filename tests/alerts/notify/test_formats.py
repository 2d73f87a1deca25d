"""Bodies that are not Amazon's: CloudEvents, chats, templates, Alertmanager."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.receivers.receiver import Style
from driftline.alerts.notify.templates import (
    OUTPUT_MAX,
    TemplateFailed,
    check_template,
    render_template,
)
from tests.alerts.notify.sending import rendered

TIME = datetime(2026, 1, 15, 6, tzinfo=UTC)
NOTE = {"cause": "temp: 33% below 12", "link": "/monitors/flights#rows"}


def change(new="ALARM", **more) -> StateChange:
    fields = {
        "alarm_id": 1, "alarm_name": "drift", "seq": 3, "old": "OK", "new": new,
        "reason": "Threshold Crossed", "reason_data": "{}", "time": TIME, "period_end": TIME,
        "first_breach": TIME, "evaluated": (), "note": NOTE,
    }  # fmt: skip
    return StateChange(**(fields | more))


def body(definition, style: Style, new="ALARM", **more):
    return rendered(
        change(new, **more), definition,
        message_id="msg_1", style=style, dashboard_url="http://127.0.0.1:8081",
    )  # fmt: skip


def test_cloudevents_has_all_that_the_standard_requires(define):
    """CloudEvents 1.0.2, "Required Attributes" and structured mode's content type."""
    message = body(define(), Style(format="cloudevents"))
    found = json.loads(message.body)

    assert message.content_type == "application/cloudevents+json"
    assert found["specversion"] == "1.0"
    assert found["id"] == "msg_1"
    assert found["source"] == "http://127.0.0.1:8081"
    assert found["type"] == "io.driftline.alarm.state_changed"
    assert found["subject"] == "drift"
    assert found["time"] == "2026-01-15T06:00:00Z"
    assert found["data"]["state"]["new"] == "ALARM"


def test_slack_gets_a_text_with_a_link_and_nothing_that_it_would_read_as_its_own(define):
    style = Style(format="slack")
    note = NOTE | {"cause": "a <!channel> & b"}
    definition = define(alarm_name="<http://evil|drift>")
    found = json.loads(body(definition, style, note=note).body)

    assert list(found) == ["text"]
    title = "ALARM: &lt;http://evil|drift&gt;"
    assert found["text"].splitlines()[0] == (
        f"🔴 *<http://127.0.0.1:8081/monitors/flights#rows|{title}>*"
    )
    assert found["text"].splitlines()[1] == "a &lt;!channel&gt; &amp; b"


def test_a_template_that_fails_still_tells(define, caplog):
    style = Style(format="template", options={"template": "{{ 1 / (seq - 3) }}"})

    found = json.loads(body(define(), style).body)

    assert found["data"]["state"]["new"] == "ALARM"
    assert found["template_error"].startswith("ZeroDivisionError")
    assert "template_failed" in caplog.text


REFUSED = {
    "call": "{{ title.upper() }}",
    "range": "{% for i in range(9) %}{% endfor %}",
    "set": "{% set a = 1 %}",
    "concat": "{{ title ~ title }}",
    "list": "{{ [1] }}",
    "macro": "{% macro a() %}{% endmacro %}",
    "include": '{% include "/etc/passwd" %}',
    "power": "{{ 9 ** 9 }}",
    "filter": '{{ title|attr("x") }}',
    "own": "{{ _steps }}",
    "deep": "{{" + "(" * 90 + "1" + ")" * 90 + "}}",
    "deeper": "{{" + "-" * 5000 + "1}}",
    "loops": "{% for a in b %}" * 25 + "{% endfor %}" * 25,
    "digits": "{{ " + "9" * 5000 + " }}",
    "recursive": "{% for a in b recursive %}{% endfor %}",
    "broken": "{{ title",
    "long": "x" * 10_001,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_could_run_on_is_refused_at_once(text):
    with pytest.raises(ChannelError, match='channel "a": template'):
        check_template('channel "a"', text)


FAILS = {
    "text times": '{{ "a" * 1000000000 }}',
    "number times": '{{ 1000000000 * "a" }}',
    "format": '{{ "%999999999d" % 1 }}',
    "rounds": "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}"
    "{% endfor %}",
    "output": "{% for a in many %}{{ many|join('" + "x" * 500 + "') }}{% endfor %}",
    "doubling": "{{ many" + "|tojson" * 20 + " }}",
    "type": "{{ title|round }}",
    "square": "{{ long|join(long)|length }}",
}


@pytest.mark.parametrize("text", FAILS.values(), ids=FAILS)
def test_what_grows_comes_to_an_end(text):
    check_template('channel "a"', text)

    with pytest.raises(TemplateFailed):
        render_template(text, {"title": "x", "many": ["a"] * 200, "long": "y" * 1000})


@pytest.mark.parametrize("name", ["__class__", "format", "__init__", "__globals__"])
def test_nothing_of_python_is_in_reach(name):
    for text in (f"{{{{ title.{name} }}}}", f'{{{{ title["{name}"] }}}}', f"{{{{ loop.{name} }}}}"):
        assert render_template(text, {"title": "x"}) == ""


@given(st.text(alphabet="{}%|.()[]\"'+-*/<>= abctitle0123", max_size=60))
def test_any_text_is_refused_or_renders_within_the_bound(text):
    try:
        check_template("channel", text)
        found = render_template(text, {"title": "x", "a": ["b"], "c": {"t": 1}})
    except (ChannelError, TemplateFailed):
        return
    assert len(found) <= OUTPUT_MAX + 1000


def alerts(definition, new="ALARM", **options):
    (found,) = json.loads(body(definition, Style("alertmanager", options=options), new).body)
    return found


def test_an_alert_is_known_by_labels_of_the_definition_alone(define):
    definition = define(tags={"team": "ops", "1 odd-name": "x"}, severity="ticket")

    firing = alerts(definition, labels={"cluster": "a"})
    resolved = alerts(definition, "OK", labels={"cluster": "a"})

    assert firing["labels"] == resolved["labels"]
    assert firing["labels"] == {
        "alertname": "drift",
        "severity": "ticket",
        "namespace": "Driftline",
        "metric": "drift",
        "endpoint": "flights",
        "team": "ops",
        "_1_odd_name": "x",
        "Endpoint": "flights",
        "cluster": "a",
    }
    assert firing["startsAt"] == "2026-01-15T06:00:00.000Z"
    assert "endsAt" not in firing  # Said at each sending: until when it fires if nothing follows.
    assert resolved["endsAt"] == "2026-01-15T06:00:00.000Z"
    assert firing["annotations"]["description"] == "temp: 33% below 12"
    assert firing["generatorURL"] == "http://127.0.0.1:8081/monitors/flights#rows"
