"""SNS, as far as alarms need it: a topic is a channel, its one subscription that channel's URL."""

from __future__ import annotations

from typing import Any

from driftline.alerts.alarms.actions import channel_of
from driftline.alerts.documents import from_aws
from driftline.serving.aws.ours import declared, every
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations import resources

# A channel without anybody to send to, and one of SNS's own form.
_ALONE: dict[str, Any] = {"type": "none"}
_SUBSCRIBED: dict[str, Any] = {"type": "webhook", "format": "sns"}


@serves("sns.CreateTopic")
async def create_topic(wire: Wire, given: Given) -> Answer:
    """Declare a channel that sends nowhere yet, or return the topic of the one that is there."""
    arn = _arn(wire, given["Name"])
    name, tags = _channel(arn), from_aws({"Tags": given.get("Tags", [])})["tags"]
    if await declared(wire, "channels", name) is None:
        await _apply(wire, {"name": name, "tags": tags, "spec": _ALONE})
    return {"TopicArn": arn}


@serves("sns.Subscribe")
async def subscribe(wire: Wire, given: Given) -> Answer:
    """Have a topic's channel post to a URL, in SNS's form; nobody has to confirm it."""
    topic, protocol = given["TopicArn"], given["Protocol"]
    if protocol not in ("http", "https"):
        raise WireError(
            "InvalidParameter",
            f"Invalid parameter: Protocol {protocol}; expected http or https. For mail and others "
            "declare a Channel of that name (docs/channels.md)",
        )
    found = await _topic(wire, topic)
    if found["spec"]["type"] != "none":
        raise WireError(
            "InvalidParameter",
            "Invalid parameter: TopicArn; the topic has its subscription, and there is one of a "
            "topic here: create another, and name both in the alarm's actions",
        )
    spec = {**_SUBSCRIBED, "url": given.get("Endpoint", "")}
    await _apply(wire, {key: found[key] for key in ("name", "owner", "tags")} | {"spec": spec})
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
    name = _channel(given["TopicArn"])
    if await declared(wire, "channels", name) is not None:
        await wire.ask(resources.delete_resource, collection="channels", name=name)
    return {}


def _channel(arn: str) -> str:
    found = channel_of(arn)
    if found is None:
        raise WireError("InvalidParameter", "Invalid parameter: TopicArn")
    return found


async def _topic(wire: Wire, arn: str) -> dict[str, Any]:
    found = await declared(wire, "channels", _channel(arn))
    if found is None:
        raise WireError("NotFound", "Topic does not exist")
    return found


async def _apply(wire: Wire, channel: dict[str, Any]) -> None:
    await wire.ask(resources.apply, resources=[{"kind": "Channel", **channel}])


def _arn(wire: Wire, name: str) -> str:
    return f"arn:aws:sns:{wire.region}:{wire.account}:{name}"
