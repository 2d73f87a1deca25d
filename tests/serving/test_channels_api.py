"""Channels by the API: declared, tested, looked into; and nothing secret comes back."""

import json

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

from driftline.alerts import tables
from driftline.alerts.notify.secrets import Vault
from driftline.serving.tables import resources

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    vault = Vault(Fernet.generate_key().decode())
    with start(
        tmp_path_factory.mktemp("channels"), vault=vault, commands={"page": "/bin/cat"}
    ) as found:
        yield found


def test_a_command_of_the_settings_list_is_run_and_no_other(server, declare):
    refused = server.apply(declare("Channel", "page", type="command", command="rm"))
    assert refused.status_code == 400
    assert server.apply(declare("Channel", "page", type="command", command="page")).is_success
    assert server.client.post("/api/v1/channels/page/test").json()["is_taken"]


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        (
            {"url": "https://hooks.example", "secret": SECRET, "authorization": "Bearer t0ken"},
            ["secret", "authorization"],
        ),
        ({"url": "https://hooks.slack.example/t0ken?key=t0ken", "format": "slack"}, ["url"]),
        ({"type": "apprise", "url": "pover://t0ken@one"}, ["url"]),
        ({"type": "pagerduty", "routing_key": "t0ken"}, ["routing_key"]),
    ],
)
def test_nothing_secret_is_stored_open_shown_or_told_in_a_diff(
    server, declare, caplog, spec, fields
):
    changed = {
        key: value.replace(SECRET, OTHER).replace("t0ken", "t1ken") for key, value in spec.items()
    }
    specs = (spec, spec, changed, changed | {"labels": 7})
    answers = [server.apply(declare("Channel", "c", **one)) for one in specs]
    answers.append(server.client.post("/api/v1/channels/c/test"))
    read = ("channels", "channels/c", "channels/c/log", "deliveries", "audit")
    answers += [server.client.get(f"/api/v1/{one}") for one in read]
    (same,), (change,) = (one.json()["changes"] for one in answers[1:3])
    with server.engine.begin() as connection:
        rows = [
            dict(row)
            for table in (tables.channels, resources)
            for row in connection.execute(select(table)).mappings()
        ]

    assert (same["action"], change["action"]) == ("unchanged", "update")
    assert change["fields"] == [f"spec.{field}: changed" for field in fields]
    text = json.dumps(rows, default=str) + "".join(answer.text for answer in answers) + caplog.text
    assert not [one for one in ("t0ken", "t1ken", SECRET[6:], OTHER[6:]) if one in text]


def test_an_address_as_it_is_shown_is_no_address(server, declare):
    server.apply(declare("Channel", "shown", url="https://hooks.example/t0ken"))
    spec = server.client.get("/api/v1/channels/shown").json()["spec"]

    assert spec["url"] == "https://hooks.example/***"  # Not even a digest to try guesses against.
    assert server.apply(declare("Channel", "shown", **spec)).status_code == 400


@pytest.mark.parametrize("url", ["pagerdutyy://t0ken", "tgram://", "no scheme"])
def test_what_apprise_cannot_read_is_refused(server, declare, url):
    refused = server.apply(declare("Channel", "unread", type="apprise", url=url))

    assert refused.status_code == 400
    assert "t0ken" not in server.error_of(refused)["message"]
