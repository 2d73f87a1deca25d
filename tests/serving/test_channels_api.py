"""Channels by the API: declared, tested, looked into; and nothing secret comes back."""

import json
from http.server import BaseHTTPRequestHandler

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner

from driftline.alerts import tables
from driftline.alerts.notify.secrets import Vault
from driftline.app.commands.channel import channel
from driftline.serving.tables import resources
from tests.servers.answering import served

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def receiver():
    """A receiver of webhooks; gives its address and what it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(({key.lower(): value for key, value in self.headers.items()}, body))
            words = b"heard you"
            self.send_response(500 if "fail" in self.path else 200)
            self.send_header("content-length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)

    with served(Handler) as found:
        yield found, got


@pytest.fixture(scope="module")
def running(start, tmp_path_factory):
    """Return one server for all tests."""
    vault = Vault(Fernet.generate_key().decode())
    settings = {"allow_networks": LOOPBACK, "vault": vault, "commands": {"page": "/bin/cat"}}
    with start(tmp_path_factory.mktemp("channels"), **settings) as found:
        yield found


@pytest.fixture
def server(running):
    """Return the server without any channel, whose log goes with it."""
    yield running
    for item in running.client.get("/api/v1/channels").json()["items"]:
        assert running.client.delete(f"/api/v1/channels/{item['name']}").status_code == 204


def everything(engine) -> str:
    """All that the database holds of channels and resources, as text."""
    with engine.begin() as connection:
        rows = [
            dict(row)
            for table in (tables.channels, resources)
            for row in connection.execute(select(table)).mappings()
        ]
    return json.dumps(rows, default=str)


def test_the_test_button_sends_one_signed_message_and_shows_the_answer(server, declare, receiver):
    url, got = receiver
    server.apply(declare("Channel", "pager", url=url, secret=SECRET))

    tried = server.client.post("/api/v1/channels/pager/test").json()

    assert tried["is_taken"]
    assert (tried["status"], tried["answer"], tried["error"]) == (200, "heard you", None)
    ((headers, body),) = got
    found = Webhook(SECRET).verify(body, headers)
    assert found["type"] == "webhook.test"
    assert headers["webhook-id"] == tried["message_id"]
    assert tried["body"] == body.decode()
    (line,) = server.client.get("/api/v1/channels/pager/log").json()["items"]
    assert (line["outcome"], line["status"]) == ("test", 200)
    assert line["message_id"] == tried["message_id"]


def test_a_test_that_fails_says_how(server, declare, receiver):
    url, _ = receiver
    server.apply(declare("Channel", "pager", url=f"{url}/fail"))

    tried = server.client.post("/api/v1/channels/pager/test").json()

    assert not tried["is_taken"]
    assert (tried["status"], tried["error"]) == (500, "answered 500")


def test_who_tests_what_is_not_there_is_told(server):
    assert server.client.post("/api/v1/channels/nowhere/test").status_code == 404
    assert server.client.get("/api/v1/channels/nowhere/log").status_code == 404


def test_a_command_of_the_settings_list_is_run_and_no_other(server, declare):
    refused = server.apply(declare("Channel", "page", type="command", command="rm"))
    assert refused.status_code == 400
    assert 'expected one of "page"' in server.error_of(refused)["message"]

    assert server.apply(declare("Channel", "page", type="command", command="page")).is_success
    tried = server.client.post("/api/v1/channels/page/test").json()

    assert tried["is_taken"]
    assert json.loads(tried["answer"])["type"] == "webhook.test"


SECRETS = {
    "webhook": {"url": "https://hooks.example", "secret": SECRET, "authorization": "Bearer t0ken"},
    "slack": {"url": "https://hooks.slack.example/services/t0ken", "format": "slack"},
    "apprise": {"type": "apprise", "url": "pover://t0ken@one"},
    "pagerduty": {"type": "pagerduty", "routing_key": "t0ken"},
}
CHANGED = {
    "webhook": {"url": "https://hooks.example", "secret": OTHER, "authorization": "Bearer t1ken"},
    "slack": {"url": "https://hooks.slack.example/services/t1ken", "format": "slack"},
    "apprise": {"type": "apprise", "url": "pover://t1ken@one"},
    "pagerduty": {"type": "pagerduty", "routing_key": "t1ken"},
}
FIELDS = {
    "webhook": ["secret", "authorization"],
    "slack": ["url"],
    "apprise": ["url"],
    "pagerduty": ["routing_key"],
}


@pytest.mark.parametrize("kind", SECRETS)
def test_nothing_secret_is_stored_open_shown_or_told_in_a_diff(server, declare, kind):
    answers = [server.apply(declare("Channel", "c", **SECRETS[kind]))]
    answers.append(server.apply(declare("Channel", "c", **SECRETS[kind])))
    assert answers[1].json()["changes"][0]["action"] == "unchanged"
    answers.append(server.apply(declare("Channel", "c", **CHANGED[kind])))
    (change,) = answers[2].json()["changes"]
    answers += [
        server.client.get("/api/v1/channels"),
        server.client.get("/api/v1/channels/c"),
        server.apply(declare("Channel", "c", **(CHANGED[kind] | {"labels": 7}))),
    ]

    assert change["action"] == "update"
    assert change["fields"] == [f"spec.{field}: changed" for field in FIELDS[kind]]
    text = everything(server.engine) + "".join(answer.text for answer in answers)
    for secret in ("t0ken", "t1ken", SECRET[6:], OTHER[6:]):
        assert secret not in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "pagerduty"}, "routing_key is missing; type pagerduty needs one"),
        ({"url": "https://x.example", "routing_key": "t0ken"}, "routing_key with type webhook"),
        (
            {"type": "pagerduty", "secret": SECRET},
            "secret with type pagerduty; expected routing_key",
        ),
        (
            {"type": "pagerduty", "routing_key": "t0ken", "url": "https://10.1.2.3"},
            'add "10.1.2.3/32" to [notify] allow_networks',
        ),
        (
            {"type": "apprise", "url": "PagerDuty://t0ken@t0ken"},
            "apprise closes no incident there; expected type: pagerduty with routing_key",
        ),
        (
            {"type": "apprise", "url": "opsgenie://t0ken"},
            "apprise closes no incident there; expected another receiver",
        ),
    ],
)
def test_what_an_incident_service_needs_is_asked_for(server, declare, fields, words):
    refused = server.apply(declare("Channel", "oncall", **fields))

    assert refused.status_code == 400
    assert words in server.error_of(refused)["message"]
    assert "t0ken" not in refused.text


@pytest.mark.parametrize("field", ["secret", "authorization", "routing_key", "url"])
def test_a_secret_of_the_wrong_kind_is_not_quoted(server, declare, field):
    refused = server.apply(declare("Channel", "c", **({"url": "https://x"} | {field: [12345678]})))

    assert refused.status_code == 400
    assert "12345678" not in refused.text


def test_a_template_that_cannot_be_is_refused_at_once(server, declare):
    refused = server.apply(
        declare("Channel", "c", url="https://x.example", format="template", template="{{ a.b() }}")
    )

    assert refused.status_code == 400
    assert "call is not let through" in server.error_of(refused)["message"]


def test_a_reference_is_kept_as_it_is(server, declare):
    url, secret = "env:DRIFTLINE_CHANNEL_URL", "env:DRIFTLINE_CHANNEL_PAGER"
    server.apply(declare("Channel", "c", url=url, secret=secret))

    tried = server.client.post("/api/v1/channels/c/test").json()

    assert server.client.get("/api/v1/channels/c").json()["spec"]["url"] == url
    assert not tried["is_taken"]
    assert f"{secret}: this process has no such environment variable" in tried["error"]


def run(server, *words):
    """Run a command about channels against the server."""
    return CliRunner().invoke(channel, [*words, "--server", server.url])


def test_the_commands_list_test_and_log(server, declare, receiver):
    url, _ = receiver
    server.apply(
        declare("Channel", "pager", url=url, format="sns"),
        declare("Channel", "broken", url=f"{url}/fail"),
    )

    listed = run(server, "list")
    taken, refused = run(server, "test", "pager"), run(server, "test", "broken")
    shown = json.loads(run(server, "test", "pager", "--json").stdout)
    log = run(server, "log", "pager")

    assert "pager" in listed.stdout
    assert "sns" in listed.stdout
    assert (taken.exit_code, refused.exit_code) == (0, 3)
    assert taken.stdout.startswith("taken (")
    assert "heard you" in taken.stdout
    assert "not taken: answered 500" in refused.stdout
    assert shown["is_taken"] is True
    assert shown["message_id"] in log.stdout
    assert max(map(len, (listed.stdout + log.stdout).splitlines())) <= 80
    (one,) = json.loads(
        run(server, "log", "pager", "--message", shown["message_id"], "--json").stdout
    )
    assert one["message_id"] == shown["message_id"]


def test_a_new_secret_is_one_that_a_channel_takes():
    first, second = (CliRunner().invoke(channel, ["new-secret"]).stdout.strip() for _ in range(2))

    Webhook(first)
    assert first.startswith("whsec_")
    assert first != second


def test_a_plugin_that_is_not_installed_is_refused_at_once(server, declare):
    refused = server.apply(declare("Channel", "bell", type="plugin", plugin="bell"))

    assert refused.status_code == 400
    said = server.error_of(refused)["message"]
    assert 'no plugin "bell" is installed, nor any other; install the package' in said


def test_apprise_without_its_package_is_refused_at_once(server, declare, monkeypatch):
    monkeypatch.setattr("driftline.serving.provisioning.targets.find_spec", lambda name: None)

    refused = server.apply(declare("Channel", "bell", type="apprise", url="pover://t0ken@one"))

    assert refused.status_code == 400
    assert "install driftline[apprise]" in server.error_of(refused)["message"]


@pytest.mark.parametrize("url", ["foo://x", "povr://t0ken@one"])
def test_apprise_with_a_scheme_that_it_does_not_know_is_refused_at_once(server, declare, url):
    refused = server.apply(declare("Channel", "bell", type="apprise", url=url))

    assert refused.status_code == 400
    said = server.error_of(refused)["message"]
    scheme = url.partition(":")[0]
    assert said.startswith(
        f'Channel "bell": spec.url: apprise knows no scheme "{scheme}"; expected'
    )
    assert "t0ken" not in said
    assert server.client.get("/api/v1/channels").json()["items"] == []


def test_apprise_with_a_url_that_it_cannot_read_is_refused_at_once(server, declare):
    good = declare("Channel", "bell", type="apprise", url="pover://t0ken@one")
    refused = server.apply(good, declare("Channel", "mute", type="apprise", url="tgram://t0ken/1"))

    assert refused.status_code == 400
    said = server.error_of(refused)["message"]
    assert said.startswith('Channel "mute": spec.url: apprise cannot read what follows "tgram://"')
    assert "t0ken" not in said
    assert server.client.get("/api/v1/channels").json()["items"] == []


@pytest.mark.parametrize("url", ["POVER://t0ken@one", "env:DRIFTLINE_CHANNEL_NONE"])
def test_apprise_with_a_scheme_that_it_knows_or_a_reference_is_taken(server, declare, url):
    assert server.apply(declare("Channel", "bell", type="apprise", url=url)).is_success
