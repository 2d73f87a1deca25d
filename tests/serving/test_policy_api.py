"""Silences and deliveries over HTTP, by the client and by the command line."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from driftline.alerts import tables
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.app.cli import build
from driftline.app.client.client import Client

DAY_S = 86_400


@pytest.fixture(scope="module")
def server(start, tmp_path_factory, module_database_url):
    with start(
        tmp_path_factory.mktemp("policy"),
        database=module_database_url,
        allow_networks=("127.0.0.0/8",),
    ) as found:
        yield found


@pytest.fixture(scope="module")
def told(server, declare):
    """An alarm that went off while it was silenced, and one whose channel is wrong."""
    ends = server.context.now() + timedelta(hours=1)
    answer = server.apply(
        declare("Channel", "pager", url="http://127.0.0.1:9/hook", group_wait_s=5.0),
        declare("Alarm", "drift", **alarm_spec()),
        declare(
            "Silence",
            "roll-out",
            matchers=["endpoint=flights"],
            ends_at=ends.isoformat(),
            comment="new model",
        ),
    )
    assert answer.status_code == 200, answer.text
    point = Datapoint(
        "Driftline",
        "pages",
        {"Endpoint": "flights"},
        server.context.now() - timedelta(days=2),
        value=1,
        period_s=DAY_S,
        note={"cause": "dep_delay: drifts", "violations": [{"feature_name": "dep_delay"}]},
    )
    with server.engine.begin() as connection:
        metrics.put(connection, [point], source="monitor:test")
    Evaluator(server.engine, now=server.context.now).step()
    return server


def alarm_spec(**changes):
    return {
        "namespace": "Driftline",
        "metric_name": "pages",
        "dimensions": {"Endpoint": "flights"},
        "statistic": "Maximum",
        "period": DAY_S,
        "evaluation_periods": 1,
        "threshold": 0,
        "comparison_operator": "GreaterThanThreshold",
        "alarm_actions": ["pager"],
        **changes,
    }


def run(server, *words):
    found = CliRunner().invoke(build(words[0]), [*words, "--server", server.url])
    assert found.exit_code == 0, found.output + repr(found.exception)
    return found.stdout


def test_a_silence_is_declared_and_shown_with_what_it_does(told):
    found = told.client.get("/api/v1/silences/roll-out").json()
    assert found["status"]["status"] == "ACTIVE"
    assert found["status"]["mutes_until"].startswith(
        f"{told.context.now() + timedelta(hours=1):%Y-%m-%dT%H}"
    )
    assert [one["name"] for one in told.client.get("/api/v1/silences").json()["items"]] == [
        "roll-out"
    ]


def test_a_preview_names_the_alarms(told):
    with Client(told.url) as client:
        found = client.preview_silence({"matchers": ["severity=page"], "ends_at": "2999-01-01"})
        assert (found["alarms"], found["status"]) == (["drift"], "ACTIVE")
        none = client.preview_silence({"matchers": ["severity=ticket"], "ends_at": "2999-01-01"})
        assert none["alarms"] == []


def test_what_was_held_back_is_listed_with_the_reason(told):
    with Client(told.url) as client:
        (found,) = client.deliveries(status="muted")
        assert found["silence"] == "roll-out"
        assert client.delivery(found["id"])["carries"] == []
        assert client.deliveries(status="dead") == []
    assert "roll-out" in run(told, "delivery", "list", "--json")
    assert "muted" in run(told, "delivery", "get", found["id"])


def test_a_message_is_sent_again_by_hand(told):
    (found,) = told.client.get("/api/v1/deliveries", params={"status": "muted"}).json()["items"]
    output = run(told, "delivery", "redeliver", found["id"])
    assert "queued again for pager" in output
    assert told.client.get(f"/api/v1/deliveries/{found['id']}").json()["status"] == "pending"
    again = told.client.post(f"/api/v1/deliveries/{found['id']}/redeliver")
    assert again.status_code == 409
    assert "is pending, so it goes out by itself; expected one" in again.text


def test_a_disabled_channel_is_told_and_enabled(told):
    gone = {"enabled": False, "disabled_reason": "receiver answered 410 Gone"}
    dead = {"status": "dead", "finished_at": told.context.now()}
    with told.context.engine.begin() as connection:
        connection.execute(update(tables.channels).values(**gone))
        connection.execute(update(tables.outbox).values(**dead))
    (found,) = told.client.get("/api/v1/deliveries").json()["items"]
    refused = told.client.post(f"/api/v1/deliveries/{found['id']}/redeliver")
    assert refused.status_code == 409
    assert "driftline channel enable pager" in refused.text
    assert told.client.get(f"/api/v1/deliveries/{found['id']}").json()["status"] == "dead"

    assert "pager is enabled" in run(told, "channel", "enable", "pager")
    with Client(told.url) as client:
        assert client.get("Channel", "pager")["status"]["enabled"]
        assert client.enable_channel("pager")["disabled_reason"] is None
    assert told.client.post("/api/v1/channels/nothing/enable").status_code == 404
    assert "queued again" in run(told, "delivery", "redeliver", found["id"])


def test_a_silence_by_command_line_lives_and_is_ended(told):
    said = run(told, "silence", "put", "by-hand", "-m", "severity=page", "--for", "999d")
    assert "holds back 1 alarm until" in said
    assert "by-hand" in run(told, "silence", "list")
    assert "drift" in run(told, "silence", "get", "by-hand")
    assert "is over" in run(told, "silence", "expire", "by-hand")
    found = json.loads(run(told, "silence", "get", "by-hand", "--json"))
    assert found["status"]["status"] == "EXPIRED"
    assert told.client.delete("/api/v1/silences/by-hand").status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/silences/nothing/expire", 404),
        ("GET", "/api/v1/deliveries/nothing", 404),
        ("GET", "/api/v1/deliveries?limit=0", 400),
        ("GET", "/api/v1/deliveries?status=foo", 400),
    ],
)
def test_wrong_questions_get_a_sentence(server, method, path, status):
    answer = server.client.request(method, path)
    assert answer.status_code == status
    server.error_of(answer)


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("Silence", {"matchers": ["a=b"]}, "ends_at is missing"),
        ("Silence", {"ends_at": "2999-01-01T00:00:00Z"}, "hold back every message"),
        ("Channel", {"url": "https://a.example/", "group_by": [""]}, "group_by"),
    ],
)
def test_a_wrong_declaration_is_refused(server, declare, kind, spec, said):
    answer = server.apply(declare(kind, "wrong", **spec))
    assert answer.status_code == 400
    assert said in server.error_of(answer)["message"]


def test_a_mute_rule_is_declared_by_cloudwatchs_names(server, declare):
    answer = server.apply(
        declare(
            "Silence",
            "weekly",
            rule={"schedule": {"expression": "cron(0 2 * * SUN)", "duration": "PT4H"}},
            mute_targets={"alarm_names": ["drift"]},
            expire_date=datetime(2999, 1, 1, tzinfo=UTC).isoformat(),
        )
    )
    assert answer.status_code == 200, answer.text
    found = server.client.get("/api/v1/silences/weekly").json()
    assert found["status"]["status"] in ("SCHEDULED", "ACTIVE")
