import dataclasses
import json
import logging
from datetime import timedelta

import pytest

from driftline.alerts.errors import ChannelError, ChannelInUse
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.notify import channels
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.deliveries import list_deliveries
from driftline.alerts.notify.notification_maintenance import forget
from tests.servers.postgres import BOTH


@pytest.fixture(params=BOTH)
def backend(request):
    return request.param


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

    assert made.secret_text.startswith("whsec_")
    assert again.secret_text == made.secret_text
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
        ({"type": "carrier-pigeon"}, 'type "carrier-pigeon"; expected one of webhook'),
        ({"format": "xml"}, 'format "xml"; expected one of driftline, sns'),
        ({"url": "ftp://hooks.example"}, 'scheme "ftp"'),
        ({"url": "hooks.example/x"}, "expected such as https://host/path"),
        ({"url": "https://user:pass@hooks.example"}, "carries a user or password"),
        ({"url": "env:AWS_SECRET_ACCESS_KEY"}, "no variable of another name"),
        ({"url": "file:/etc/hostname"}, "expected"),
        ({"secret": "env:DRIFTLINE_AUTH__TOKEN"}, "no variable of another name"),
        ({"secret": "env:driftline_channel_pager"}, "no variable of another name"),
        ({"secret": "file:/etc/hostname"}, "base64"),
        ({"options": {"authorization": "env:DRIFTLINE_CHANNEL_"}}, "expected"),
        ({"type": "pagerduty", "secret": "env:PGPASSWORD"}, "no variable of another name"),
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
        channels.delete_channel(connection, "pager", house.clock())


def test_what_a_deleted_channel_owed_is_over_and_goes_with_the_rest(house, engine, evaluator):
    house.channel("pager", "https://hooks.example")
    house.alarm(alarm_actions=("pager",))
    house.put(1)
    evaluator.step()
    house.alarm(alarm_actions=())
    with engine.begin() as connection:
        channels.delete_channel(connection, "pager", house.clock())
        (row,) = list_deliveries(connection)
        assert (row.status, row.finished_at) == ("failed", house.clock())

        forget(connection, house.clock() + timedelta(seconds=1))

        assert list_deliveries(connection) == []
