import dataclasses
import json
import logging

import pytest

from driftline.alerts import channels
from driftline.alerts.errors import ChannelError, ChannelInUse, UnknownChannel
from driftline.alerts.evaluator import Evaluator
from driftline.alerts.notify import Deliverer


def test_a_secret_never_shows(house, engine, clock, receiver, secret, caplog):
    caplog.set_level(logging.DEBUG)
    channel = house.channel("pager", receiver.url + "/token-in-path")
    house.alarm(alarm_actions=("pager",))
    house.put(1.0)
    Evaluator(engine, now=clock).step()
    Deliverer(engine, now=clock, allow_networks=["127.0.0.0/8"]).step()
    with engine.begin() as connection:
        status = channels.get_channel(connection, "pager")

    shown = [repr(channel), str(channel), repr(dataclasses.asdict(channel)), repr(status)]
    shown += [json.dumps(channel.as_dict()), json.dumps(status.as_dict()), caplog.text]

    assert len(receiver.requests) == 1
    assert "delivery_attempted" in caplog.text
    assert not any(secret in text or secret.removeprefix("whsec_") in text for text in shown)
    assert "token-in-path" not in caplog.text


def test_a_secret_is_made_when_none_is_given_and_kept_afterwards(house):
    made = house.channel("pager", "https://hooks.example", secret=None)
    again = house.channel("pager", "https://hooks.example/b", secret=None)

    assert made.signing_secret.startswith("whsec_")
    assert again.signing_secret == made.signing_secret
    assert house.channel("b", "https://hooks.example", secret=None).secret != made.secret


@pytest.mark.parametrize(
    "text", ["abc", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_" + "A" * 96]
)
def test_a_weak_secret_is_refused_without_quoting_it(text):
    with pytest.raises(ChannelError, match="base64 of 24 to 64 bytes") as caught:
        channels.Channel("pager", "https://hooks.example", text)

    assert len(text) < 7 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": "a b"}, "expected letters, digits"),
        ({"name": "-a"}, "expected letters, digits"),
        ({"name": "a" * 64}, "at most 63"),
        ({"type": "carrier-pigeon"}, 'type "carrier-pigeon"; expected webhook'),
        ({"format": "xml"}, 'format "xml"; expected driftline or sns'),
        ({"url": "ftp://hooks.example"}, 'scheme "ftp"'),
        ({"url": "hooks.example/x"}, "expected such as https://host/path"),
        ({"url": "https://user:pass@hooks.example"}, "carries a user or password"),
    ],
)
def test_a_wrong_channel_is_refused(more, message):
    fields = {"name": "pager", "url": "https://hooks.example"}

    with pytest.raises(ChannelError, match=message) as caught:
        channels.Channel(**(fields | more))

    assert "pass" not in str(caught.value).replace("password", "")


def test_a_channel_that_an_alarm_names_cannot_be_deleted(house, engine):
    house.channel("pager", "https://hooks.example")
    house.alarm(ok_actions=("pager",))

    with (
        engine.begin() as connection,
        pytest.raises(ChannelInUse, match='"pager" is an action of alarm "drift"'),
    ):
        channels.delete_channel(connection, "pager")


def test_a_deleted_channel_is_gone(house, engine):
    house.channel("pager", "https://hooks.example")
    with engine.begin() as connection:
        channels.delete_channel(connection, "pager")

        assert channels.list_channels(connection) == []
        with pytest.raises(UnknownChannel, match='channel "pager" does not exist'):
            channels.delete_channel(connection, "pager")


def test_putting_the_same_channel_again_changes_nothing(house, engine, clock):
    house.channel("pager", "https://hooks.example")
    with engine.begin() as connection:
        before = channels.get_channel(connection, "pager")
    clock.advance(minutes=1)

    house.channel("pager", "https://hooks.example")

    with engine.begin() as connection:
        assert channels.get_channel(connection, "pager") == before
