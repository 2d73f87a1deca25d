"""What buttons do: each is a call of the server's interface, and nothing else can be asked."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from driftline.alerts.alarms.records import get_alarm
from driftline.alerts.evaluation.preview import preview_alarm
from driftline.alerts.notify.silences import get_silence, list_silences
from driftline.dashboard.actions import Actions
from driftline.dashboard.pages.alarm_panels import channel_health
from driftline.dashboard.queries.stores import Stores
from driftline.errors import UnavailableError
from tests.dashboard.policed_seed import DRIFTS, LATENCY, MAINTENANCE, texts

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)


@pytest.fixture
def actions(policed_site):
    return Actions(policed_site.send, policed_site.now)


@pytest.fixture
def post(policed_address):
    with httpx.Client(base_url=policed_address) as client:
        yield lambda name, **options: client.post(f"/actions/{name}", **options)


def silences_of(site, name):
    with site.engine.connect() as connection:
        return [
            one
            for one in list_silences(connection, site.now(), status="ACTIVE")
            if name in one.silence.alarm_names
        ]


@pytest.fixture
def lee(monkeypatch):
    """The user of the system is lee."""
    monkeypatch.setattr("getpass.getuser", lambda: "lee")


def test_silence_from_a_page_is_one_of_the_server(actions, policed_site, lee):
    asked = {"alarms": [MAINTENANCE], "length": "2h", "comment": "roll-out"}
    status, said = actions.run("silence", asked)

    assert status == 200, said
    (found,) = silences_of(policed_site, MAINTENANCE)
    assert found.silence.ends_at == NOW + timedelta(hours=2)
    assert (found.silence.comment, found.silence.created_by) == ("roll-out", "lee")
    assert found.silence.name in said

    status, said = actions.run("expire", {"name": found.silence.name})

    assert status == 200, said
    assert silences_of(policed_site, MAINTENANCE) == []
    with policed_site.engine.connect() as connection:
        assert get_silence(connection, found.silence.name).expired_at == NOW


def test_actions_of_an_alarm_are_switched(actions, policed_site):
    def enabled():
        with policed_site.engine.connect() as connection:
            return get_alarm(connection, DRIFTS[0]).definition.actions_enabled

    assert actions.run("switch", {"alarm": DRIFTS[0], "enabled": "false"})[0] == 200
    assert not enabled()
    assert actions.run("switch", {"alarm": DRIFTS[0], "enabled": "true"})[0] == 200
    assert enabled()


def test_values_of_a_preview_are_saved_unless_the_alarm_has_changed_meanwhile(
    actions, policed_site, changeable
):
    def stored():
        with policed_site.engine.connect() as connection:
            return get_alarm(connection, changeable)

    before = stored()
    given = {"alarm": changeable, "since": before.updated_at.isoformat(), "needed": "1"}

    status, said = actions.run("change", given | {"threshold": "204.5", "periods": "2"})

    assert status == 200, said
    after = stored().definition
    assert after == before.definition.model_copy(
        update={"threshold": 204.5, "evaluation_periods": 2, "datapoints_to_alarm": 1}
    )

    status, said = actions.run("change", given | {"threshold": "1"})

    assert (status, "has been changed meanwhile" in said) == (409, True), said
    assert stored().definition == after

    given["since"] = stored().updated_at.isoformat()
    status, said = actions.run("change", given | {"threshold": "much"})

    assert (status, said) == (400, 'threshold "much"; expected a number')


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_a_saved_preview_changes_nothing_that_was_not_changed_in_it(
    actions, policed_site, changeable, enabled
):
    """The form sends all of its fields; whether an alarm acts is set beside its resource."""
    assert actions.run("switch", {"alarm": changeable, "enabled": enabled})[0] == 200
    with policed_site.engine.connect() as connection:
        before = get_alarm(connection, changeable)
        shown = preview_alarm(connection, before, {}, None, policed_site.now()).values
    given = {"alarm": changeable, "since": before.updated_at.isoformat(), **shown}

    status, said = actions.run("change", given | {"threshold": "204.5"})

    assert status == 200, said
    with policed_site.engine.connect() as connection:
        after = get_alarm(connection, changeable).definition
    assert after == before.definition.model_copy(update={"threshold": 204.5})


def test_a_change_between_look_and_save_is_refused_by_the_server(policed_site, changeable):
    """Whoever comes first wins: the server is told which edition may be changed."""
    with policed_site.engine.connect() as connection:
        before = get_alarm(connection, changeable)

    def send(method, path, body, **options):
        answer = policed_site.send(method, path, body, **options)
        if method == "GET":
            resource = {key: answer[key] for key in ("kind", "name", "spec")}
            spec = resource["spec"] | {"threshold": 7.0}
            policed_site.send("POST", "/api/v1/apply", {"resources": [resource | {"spec": spec}]})
        return answer

    status, said = Actions(send, policed_site.now).run(
        "change",
        {"alarm": changeable, "since": before.updated_at.isoformat(), "threshold": "9"},
    )

    assert (status, "is not what If-Match says" in said) == (409, True), said
    with policed_site.engine.connect() as connection:
        assert get_alarm(connection, changeable).definition.threshold == 7.0


@pytest.mark.parametrize(
    ("channel", "status", "words"),
    [
        ("pager", 200, "pager took the test message in"),
        ("gone", 503, "gone did not take the test message"),
        ("none", 404, '"none" does not exist'),
    ],
)
def test_a_channel_says_what_its_receiver_answered_to_a_test(actions, channel, status, words):
    found, said = actions.run("test", {"channel": channel})

    assert found == status
    assert words in said


def test_after_a_failed_test_the_answer_stands_beside_the_channel(actions, policed_site):
    actions.run("enable", {"channel": "gone"})
    actions.run("test", {"channel": "gone"})
    actions.run("test", {"channel": "pager"})

    view = Stores(policed_site.engine, policed_site.root, policed_site.now).alarm(LATENCY)

    shown = {one.name: channel_health(one) for one in view.channels}
    assert texts(shown["gone"]) == "✕ failed its test: answered 410"
    assert shown["pager"] == "✓ works"


@pytest.mark.parametrize(
    ("name", "given", "status", "words"),
    [
        ("drop", {}, 404, 'action "drop"'),
        ("silence", [], 400, "expected an object"),
        ("silence", {"alarms": [], "length": "2h"}, 400, "1 to 100 names"),
        ("silence", {"alarms": ["a"] * 101, "length": "2h"}, 400, "1 to 100 names"),
        ("silence", {"alarms": ["a"], "length": "1y"}, 400, 'length "1y"'),
        ("silence", {"alarms": ["a"], "length": "2h", "comment": "x" * 1001}, 400, "comment"),
        ("silence", {"alarms": ["a"], "length": "2h", "comment": 7}, 400, "comment"),
        ("silence", {"alarms": ["a"], "length": "2h"}, 400, "a reason"),
        ("expire", {"name": "no-such-silence"}, 404, "does not exist"),
        ("expire", {}, 400, "name: expected a text"),
        ("redeliver", {"id": "../../x"}, 400, "Method Not Allowed"),
        ("redeliver", {"id": "msg_none"}, 404, "msg_none"),
        ("switch", {"alarm": "no such alarm", "enabled": "true"}, 404, "no such alarm"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_done(actions, name, given, status, words):
    found, said = actions.run(name, given)

    assert (found, words in said) == (status, True), said


def test_without_a_server_nothing_is_changed_and_that_is_said(policed_site):
    def away(method, path, body):
        raise UnavailableError("no server answers at http://127.0.0.1:1; start one")

    assert Actions(None, policed_site.now).run("expire", {"name": "x"})[0] == 503
    status, said = Actions(away, policed_site.now).run("expire", {"name": "x"})
    assert (status, said) == (503, "no server answers at http://127.0.0.1:1; start one")


def test_an_action_over_http_answers_with_a_sentence(post):
    answer = post("expire", json={"name": "no-such-silence"})

    assert answer.status_code == 404
    assert "does not exist" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
        ({"json": {}, "headers": {"sec-fetch-site": "cross-site"}}, 403),
        ({"json": {}, "headers": {"origin": "https://evil.example"}}, 403),
        ({"json": {"name": "x" * 70_000}}, 413),
    ],
)
def test_calls_that_no_page_of_ours_sends_are_refused(post, options, status):
    assert post("expire", **options).status_code == status


def test_an_action_by_get_is_refused(policed_address):
    assert httpx.get(f"{policed_address}/actions/expire").status_code == 405
