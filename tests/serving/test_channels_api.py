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
    """Return one server for all tests."""
    vault = Vault(Fernet.generate_key().decode())
    with start(
        tmp_path_factory.mktemp("channels"), allow_networks=["127.0.0.0/8"], vault=vault,
        commands={"page": "/bin/cat"},
    ) as found:  # fmt: skip
        yield found


def everything(engine) -> str:
    """All that the database holds of channels and resources, as text."""
    with engine.begin() as connection:
        rows = [
            dict(row)
            for table in (tables.channels, resources)
            for row in connection.execute(select(table)).mappings()
        ]
    return json.dumps(rows, default=str)


def test_a_command_of_the_settings_list_is_run_and_no_other(server, declare):
    refused = server.apply(declare("Channel", "page", type="command", command="rm"))
    assert refused.status_code == 400
    assert server.apply(declare("Channel", "page", type="command", command="page")).is_success
    tried = server.client.post("/api/v1/channels/page/test").json()

    assert tried["is_taken"]
    assert json.loads(tried["answer"])["type"] == "webhook.test"


SECRETS = {
    "webhook": {
        "url": "https://hooks.example", "secret": SECRET, "authorization": "Bearer t0ken",
    },
    "slack": {"url": "https://hooks.slack.example/services/t0ken", "format": "slack"},
    "apprise": {"type": "apprise", "url": "pover://t0ken@one"},
    "pagerduty": {"type": "pagerduty", "routing_key": "t0ken"},
}  # fmt: skip
FIELDS = {
    "webhook": ["secret", "authorization"],
    "slack": ["url"],
    "apprise": ["url"],
    "pagerduty": ["routing_key"],
}


@pytest.mark.parametrize("kind", SECRETS)
def test_nothing_secret_is_stored_open_shown_or_told_in_a_diff(server, declare, kind):
    changed = {
        key: value.replace(SECRET, OTHER).replace("t0ken", "t1ken")
        for key, value in SECRETS[kind].items()
    }
    answers = [server.apply(declare("Channel", "c", **SECRETS[kind])) for _ in range(2)]
    assert answers[1].json()["changes"][0]["action"] == "unchanged"
    answers.append(server.apply(declare("Channel", "c", **changed)))
    (change,) = answers[2].json()["changes"]
    answers += [
        server.client.get("/api/v1/channels"),
        server.client.get("/api/v1/channels/c"),
        server.apply(declare("Channel", "c", **(changed | {"labels": 7}))),
    ]

    assert change["action"] == "update"
    assert change["fields"] == [f"spec.{field}: changed" for field in FIELDS[kind]]
    text = everything(server.engine) + "".join(answer.text for answer in answers)
    for secret in ("t0ken", "t1ken", SECRET[6:], OTHER[6:]):
        assert secret not in text
