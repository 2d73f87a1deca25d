"""What is secret of channels: sealed where it is stored, looked up where it is a reference."""

import json

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook

from driftline.alerts import tables
from driftline.alerts.errors import ChannelError
from driftline.alerts.notify import channels
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.secrets import Vault
from driftline.errors import UnavailableError
from tests.servers.commands import python

OTHER = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
KEY = Fernet.generate_key().decode()


@pytest.fixture
def vault():
    return Vault(KEY)


@pytest.fixture
def put(engine, clock, vault):
    def run(*args, **more):
        with engine.begin() as connection:
            return channels.put_channel(connection, Channel(*args, **more), clock(), vault=vault)

    return run


def stored(engine) -> str:
    """All that the database holds of channels, as text."""
    with engine.begin() as connection:
        return json.dumps(
            [dict(row) for row in connection.execute(select(tables.channels)).mappings()],
            default=str,
        )


@pytest.fixture
def deliver(engine, clock, vault):
    def run(**more):
        return Deliverer(
            engine, now=clock, allow_networks=["127.0.0.0/8"], vault=more.pop("vault", vault)
        ).step()

    return run


def test_nothing_secret_lies_open_in_the_database(put, engine, secret):
    put("pager", "https://hooks.example", secret, options={"authorization": "Bearer t0ken"})
    put("chat", "https://hooks.slack.example/services/T/B/t0ken", secret, format="slack")
    put("phone", "tgram://t0ken/123", type="apprise")

    text = stored(engine)

    assert "t0ken" not in text
    assert secret.removeprefix("whsec_") not in text
    with engine.begin() as connection:
        shown = [one.as_dict() for one in channels.list_channels(connection)]
    assert [one["url"] for one in shown] == [
        "https://hooks.slack.example/***",
        "https://hooks.example",
        "tgram://***",
    ]
    assert "t0ken" not in json.dumps(shown)


def test_with_another_key_nothing_is_sent_and_the_mend_is_told(
    put, engine, house, evaluator, receiver, deliver, secret
):
    put("pager", receiver.url, secret)
    house.alarm(alarm_actions=("pager",))
    house.put(1)
    evaluator.step()
    deliver(vault=Vault(Fernet.generate_key().decode()))

    assert receiver.requests == []
    with engine.begin() as connection:
        (error,) = connection.scalars(select(tables.outbox.c.last_error)).all()
    assert "sealed with another key" in error
    assert "secrets_key" in error


def test_a_key_is_changed_by_putting_the_new_one_in_front(put, engine, clock, secret):
    put("pager", "https://hooks.example", secret)
    new = Fernet.generate_key().decode()
    both = Vault(new, KEY)

    with engine.begin() as connection:
        found = channels.open_channels(connection, ["pager"], both)["pager"]

    assert [one.reveal() for one in found.secrets] == [secret]


def test_two_secrets_sign_together(put, house, evaluator, receiver, deliver, secret):
    put("pager", receiver.url, f"{OTHER} {secret}")
    house.alarm(alarm_actions=("pager",))
    house.put(1)
    evaluator.step()
    deliver()

    ((headers, body),) = receiver.requests
    for one in (secret, OTHER):
        Webhook(one).verify(body, headers)


def test_a_reference_is_looked_up_at_each_sending(
    put, house, clock, evaluator, receiver, deliver, secret, tmp_path
):
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    vault = Vault(KEY, environment={"DRIFTLINE_CHANNEL_PAGER_FILE": str(file)})
    put("pager", receiver.url, "env:DRIFTLINE_CHANNEL_PAGER")
    house.alarm(alarm_actions=("pager",), ok_actions=("pager",))
    house.put(1)
    evaluator.step()
    deliver(vault=vault)
    file.write_text(f"{OTHER} {secret}\n")
    house.put(0, day=1)
    evaluator.step()
    deliver(vault=vault)

    (first, second) = receiver.requests
    Webhook(secret).verify(first[1], first[0])
    for one in (OTHER, secret):
        Webhook(one).verify(second[1], second[0])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("OTHER", None, "has no such environment variable"),
        ("PAGER", None, "cannot be read .No such file"),
        ("PAGER", "no secret", "the secret is not whsec_"),
        ("PAGER", "env:DRIFTLINE_CHANNEL_OTHER", "a reference leads to another reference"),
    ],
    ids=["no variable", "no file", "no secret", "chain"],
)
def test_a_reference_that_leads_nowhere_is_told_without_a_value(
    put, engine, clock, tmp_path, name, content, words
):
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    vault = Vault(KEY, environment={"DRIFTLINE_CHANNEL_PAGER_FILE": str(path)})
    put("pager", "https://hooks.example", f"env:DRIFTLINE_CHANNEL_{name}")

    with engine.begin() as connection:
        found = channels.open_channels(connection, ["pager"], vault)["pager"]

    assert isinstance(found, UnavailableError | ChannelError)
    with pytest.raises(type(found), match=words):
        raise found
    assert content is None or content not in str(found)


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path):
    file = tmp_path / "new" / "channels.key"
    sealed = Vault.at("", file).seal("x")

    assert Vault.at("", file).unseal(sealed) == "x"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["channels.key"]


def test_processes_that_begin_together_share_one_key(tmp_path):
    file = tmp_path / "channels.key"
    code = """
        import sys
        from pathlib import Path
        from driftline.alerts.notify.secrets import Vault

        file, copy = map(Path, sys.argv[1:])
        Vault.at("", file)
        copy.write_text(file.read_text())
    """
    started = [python(code, file, tmp_path / str(number)) for number in range(4)]

    assert [one.wait(60) for one in started] == [0] * 4
    assert len({(tmp_path / str(number)).read_text() for number in range(4)}) == 1


@pytest.mark.parametrize("text", ["", "\n"])
def test_without_a_key_in_the_file_nothing_is_stored_plain(tmp_path, text):
    (tmp_path / "channels.key").write_text(text)

    with pytest.raises(UnavailableError, match="holds no key"):
        Vault.at("", tmp_path / "channels.key")
