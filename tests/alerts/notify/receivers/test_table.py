"""A receiver is one value in one table."""

import json

import pytest
from pydantic import Field

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.event import as_json
from driftline.alerts.notify.receivers.receiver import (
    Answer,
    Attempt,
    Message,
    Notification,
    Options,
    Receiver,
)
from driftline.alerts.notify.receivers.table import RECEIVERS


class DiscordOptions(Options):
    username: str | None = Field(default=None, max_length=80, description="at most 80 characters")


def render(notification: Notification) -> Message:
    event = notification.event
    name = notification.style.options.get("username")
    return Message(as_json({"content": event.title, "username": name}))


async def send(attempt: Attempt) -> Answer:
    return await attempt.post(attempt.channel.url.reveal())


@pytest.fixture
def discord(monkeypatch):
    made = Receiver(options=DiscordOptions, render=render, send=send)
    monkeypatch.setitem(RECEIVERS, "discord", made)


def test_a_new_receiver_needs_nothing_but_its_line_in_the_table(
    discord, house, receiver, evaluator, deliverer
):
    options = {"username": "driftline"}
    house.channel("chat", receiver.url, type="discord", options=options, secret=None)
    house.alarm("cpu", alarm_actions=("chat",))
    house.put(1)
    evaluator.step()

    assert deliverer.step() == 1
    body = json.loads(receiver.requests[0][1])
    assert set(body) == {"content", "username"}
    assert body["username"] == "driftline"
    assert "cpu" in body["content"]


def test_its_options_are_checked_and_those_of_others_refused(discord):
    with pytest.raises(ChannelError, match=r"username '.*; expected at most 80 characters"):
        Channel("chat", "https://a.example", type="discord", options={"username": "x" * 81})
    with pytest.raises(ChannelError, match="labels with type discord; expected none"):
        Channel("chat", "https://a.example", type="discord", options={"labels": {"a": "b"}})


def test_a_url_that_is_a_secret_is_shown_without_its_path(discord):
    channel = Channel("chat", "https://a.example/api/webhooks/1/token", type="discord")

    assert channel.as_dict()["url"] == "https://a.example/***"
