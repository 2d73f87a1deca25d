"""Channels by the API: declared, tested, looked into; and nothing secret comes back."""

import json
from http.server import BaseHTTPRequestHandler

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook

from driftline.alerts import tables
from driftline.alerts.notify.secrets import Vault
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


def test_a_plugin_that_is_not_installed_is_refused_at_once(server, declare):
    refused = server.apply(declare("Channel", "bell", type="plugin", plugin="bell"))

    assert refused.status_code == 400
    said = server.error_of(refused)["message"]
    assert 'no plugin "bell" is installed, nor any other; install the package' in said
