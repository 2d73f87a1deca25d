"""SNS, as far as alarms need it: a topic is a channel, its one subscription that channel's URL."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection

from driftline.alerts.alarms.actions import channel_of
from driftline.alerts.documents import from_aws, to_aws
from driftline.errors import NotFoundError
from driftline.serving.aws.ours import (
    apply_declared,
    as_read,
    change_said,
    changed,
    declared,
    delete_declared,
    every,
    reads_again,
)
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations import resources
from driftline.serving.operations.registry import Json
from driftline.serving.operations.tags import aws_tags, change_aws_tags
from driftline.serving.provisioning.apply import Declaration, Deletion
from driftline.serving.resources import echo, store
from driftline.serving.resources.store import ABSENT

# Every topic of AWS has one, which Terraform reads.
_NO_POLICY = '{"Version":"2012-10-17","Statement":[]}'
_KEPT = re.compile(
    "DisplayName|Policy|DeliveryPolicy|KmsMasterKeyId|TracingConfig|"
    "[A-Za-z]+Feedback(RoleArn|SampleRate)"
)


@serves("sns.CreateTopic")
@reads_again
async def create_topic(wire: Wire, given: Given) -> Answer:
    """Declare a channel that sends nowhere yet, or return the topic of the one that is there."""
    arn = _arn(wire, given["Name"])
    if await _channel(wire, arn) is None:
        said = {"Tags": given.get("Tags", []), "Attributes": _kept(given.get("Attributes", {}))}
        # Of a type that sends nowhere.
        new = {"kind": "Channel", "name": _name(arn), "spec": {"type": "none"}}
        await apply_declared(wire, Declaration(new, ABSENT, said))
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
        raise _missing()
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


@serves("sns.GetTopicAttributes")
async def get_topic_attributes(wire: Wire, given: Given) -> Answer:
    """Return what clients said of a topic, and whether it has its subscription."""
    if (found := await _channel(wire, given["TopicArn"])) is None:
        raise _missing()
    count = "0" if found["spec"]["type"] == "none" else "1"
    known = {"TopicArn": given["TopicArn"], "Owner": wire.account, "SubscriptionsConfirmed": count}
    none = dict.fromkeys(("SubscriptionsPending", "SubscriptionsDeleted"), "0")
    said = {"Policy": _NO_POLICY, **found["said"].get("Attributes", {})}
    return {"Attributes": {**said, **known, **none}}


@serves("sns.SetTopicAttributes")
async def set_topic_attributes(wire: Wire, given: Given) -> Answer:
    """Keep an attribute of a topic, which changes nothing here."""
    new = _kept({given["AttributeName"]: given.get("AttributeValue", "")})

    def put(connection: Connection, name: str) -> None:
        if store.find(connection, "Channel", name) is None:
            raise _missing()
        before = echo.get(connection, "Channel", name).get("Attributes", {})
        echo.put(connection, "Channel", name, {"Attributes": {**before, **new}})

    await change_said(wire, "update", "Channel", [_name(given["TopicArn"])], put)
    return {}


@serves("sns.ListTagsForResource")
async def list_tags_for_resource(wire: Wire, given: Given) -> Answer:
    """List the tags that clients of AWS gave a topic."""
    return to_aws({"tags": await _ask(wire, aws_tags, given)})


@serves("sns.TagResource")
@serves("sns.UntagResource")
async def change_tags(wire: Wire, given: Given) -> Answer:
    """Add tags to a topic, or change them, or take them away."""
    add, remove = from_aws(given).get("tags"), given.get("TagKeys")
    await _ask(wire, change_aws_tags, given, add=add, remove=remove)
    return {}


async def _ask(wire: Wire, function: Any, given: Given, **asked: object) -> dict[str, str]:  # noqa: ANN401 - an operation's
    try:
        name = _name(given["ResourceArn"])
        tags: dict[str, str] = await wire.ask(function, kind="Channel", name=name, **asked)
    except NotFoundError:
        raise WireError("ResourceNotFound", "Resource does not exist") from None
    return tags


@serves("sns.DeleteTopic")
async def delete_topic(wire: Wire, given: Given) -> Answer:
    """Delete a channel; a topic that is not there is deleted already."""
    await delete_declared(wire, Deletion("Channel", _name(given["TopicArn"]), if_there=True))
    return {}


def _kept(attributes: Given) -> Given:
    """Return attributes that change nothing here; refuse those of topics of another kind."""
    if others := [name for name in attributes if not _KEPT.fullmatch(name)]:
        raise WireError("InvalidParameter", f"Invalid parameter: AttributeName {others[0][:80]}")
    return attributes


def _missing() -> WireError:
    return WireError("NotFound", "Topic does not exist")


async def _channel(wire: Wire, arn: str) -> Json | None:
    return await declared(wire, "channels", _name(arn))


def _name(arn: str) -> str:
    if (name := channel_of(arn)) is None:
        raise WireError("InvalidParameter", "Invalid parameter: TopicArn")
    return name


def _arn(wire: Wire, name: str) -> str:
    return f"arn:aws:sns:{wire.region}:{wire.account}:{name}"
