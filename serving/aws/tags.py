"""AddTags, ListTags and DeleteTags of SageMaker, by ARN."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from driftline.errors import NotFoundError
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations.tags import aws_tags, change_aws_tags
from driftline.serving.processing.schedules import KINDS

_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:\d{12}:([a-z-]+)/(.+)", re.IGNORECASE)
_OURS = {"MonitoringSchedule": "Monitor"} | {f"{kind}JobDefinition": "Baseline" for kind in KINDS}


@serves("sagemaker.AddTags")
async def add_tags(wire: Wire, given: Given) -> Answer:
    """Add tags; answer all that there are."""
    added = {one["Key"]: one["Value"] for one in given["Tags"]}
    return {"Tags": _written(await _ask(wire, change_aws_tags, given["ResourceArn"], add=added))}


@serves("sagemaker.ListTags")
async def list_tags(wire: Wire, given: Given) -> Answer:
    """List the tags of a resource; all at once, for there are few."""
    return {"Tags": _written(await _ask(wire, aws_tags, given["ResourceArn"]))}


@serves("sagemaker.DeleteTags")
async def delete_tags(wire: Wire, given: Given) -> Answer:
    """Remove tags; keys that are not there change nothing."""
    await _ask(wire, change_aws_tags, given["ResourceArn"], remove=given["TagKeys"])
    return {}


async def _ask(wire: Wire, function: Any, arn: str, **given: Any) -> Mapping[str, str]:  # noqa: ANN401 - an operation's
    matched = _ARN.fullmatch(arn)
    if matched is None:
        raise WireError("ValidationException", f'"{arn}" is no ARN of a resource of SageMaker')
    # As AWS names it in its API, "endpoint-config" is an EndpointConfig; as we do, where we differ.
    named = "".join(part.title() for part in matched[1].lower().split("-"))
    kind = _OURS.get(named, named)
    try:
        found: Mapping[str, str] = await wire.ask(function, kind=kind, name=matched[2], **given)
    except NotFoundError:
        raise WireError("ValidationException", f'Could not find resource "{arn}".') from None
    return found


def _written(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
