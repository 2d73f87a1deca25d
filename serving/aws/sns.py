"""SNS, as far as alarms need it: a topic is a channel, its one subscription that channel's URL."""

from __future__ import annotations

from driftline.alerts.alarms.actions import channel_of
from driftline.serving.aws.ours import (
    apply_declared,
    as_read,
    changed,
    declared,
    delete_declared,
    every,
    reads_again,
)
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations import resources
from driftline.serving.operations.registry import Json
from driftline.serving.provisioning.apply import Declaration
from driftline.serving.resources.store import ABSENT


@serves("sns.CreateTopic")
@reads_again
async def create_topic(wire: Wire, given: Given) -> Answer:
    """Declare a channel that sends nowhere yet, or return the topic of the one that is there."""
    arn = _arn(wire, given["Name"])
    if await _channel(wire, arn) is None:
        tags = {one["Key"]: one["Value"] for one in given.get("Tags", ())}
        # Of a type that sends nowhere.
        new = {"kind": "Channel", "name": _name(arn), "tags": tags, "spec": {"type": "none"}}
        await apply_declared(wire, Declaration(new, ABSENT))
    return {"TopicArn": arn}


@serves("sns.Subscribe")
@reads_again
async def subscribe(wire: Wire, given: Given) -> Answer:
    """Have a topic's channel post to a URL, in SNS's form; nobody has to confirm it."""
    topic, protocol = given["TopicArn"], given["Protocol"]
    if protocol not in ("http", "https"):
        raise WireError(
            "InvalidParameter",
            f"Invalid parameter: Protocol {protocol}; expected http or https. For mail and others "
            "declare a Channel of that name (docs/channels.md)",
        )
    if (found := await _channel(wire, topic)) is None:
        raise WireError("NotFound", "Topic does not exist")
    if found["spec"]["type"] != "none":
        raise WireError(
            "InvalidParameter",
            "Invalid parameter: TopicArn; the topic has its subscription, and there is one of a "
            "topic here: create another, and name both in the alarm's actions",
        )
    spec = {"type": "webhook", "format": "sns", "url": given.get("Endpoint", "")}
    again = {**changed(found), "spec": spec}
    await apply_declared(wire, Declaration(again, as_read(found)))
    return {"SubscriptionArn": f"{topic}:driftline"}


@serves("sns.ListTopics")
async def list_topics(wire: Wire, given: Given) -> Answer:
    """List channels as topics."""
    found = await every(wire, resources.list_resources, collection="channels")
    names, token = wire.page(given, lambda name: (name,), [one.name for one in found], size=100)
    return {"Topics": [{"TopicArn": _arn(wire, name)} for name in names], "NextToken": token}


@serves("sns.DeleteTopic")
async def delete_topic(wire: Wire, given: Given) -> Answer:
    """Delete a channel; a topic that is not there is deleted already."""
    await delete_declared(wire, "channels", _name(given["TopicArn"]))
    return {}


async def _channel(wire: Wire, arn: str) -> Json | None:
    return await declared(wire, "channels", _name(arn))


def _name(arn: str) -> str:
    if (name := channel_of(arn)) is None:
        raise WireError("InvalidParameter", "Invalid parameter: TopicArn")
    return name


def _arn(wire: Wire, name: str) -> str:
    return f"arn:aws:sns:{wire.region}:{wire.account}:{name}"
