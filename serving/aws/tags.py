"""AddTags, ListTags and DeleteTags of SageMaker, by ARN."""

from __future__ import annotations

import re
from typing import Any

from driftline.alerts.documents import to_aws
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
    return await _ask(wire, change_aws_tags, given["ResourceArn"], add=added)


@serves("sagemaker.ListTags")
async def list_tags(wire: Wire, given: Given) -> Answer:
    """List the tags of a resource; all at once, for there are few."""
    return await _ask(wire, aws_tags, given["ResourceArn"])


@serves("sagemaker.DeleteTags")
async def delete_tags(wire: Wire, given: Given) -> Answer:
    """Remove tags; keys that are not there change nothing."""
    await _ask(wire, change_aws_tags, given["ResourceArn"], remove=given["TagKeys"])
    return {}


async def _ask(wire: Wire, function: Any, arn: str, **asked: object) -> Answer:  # noqa: ANN401 - an operation's
    matched = _ARN.fullmatch(arn)
    if matched is None:
        raise WireError("ValidationException", f'"{arn}" is no ARN of a resource of SageMaker')
    # As AWS names it in its API, "endpoint-config" is an EndpointConfig; as we do, where we differ.
    named = "".join(part.title() for part in matched[1].lower().split("-"))
    kind = _OURS.get(named, named)
    try:
        return to_aws({"tags": await wire.ask(function, kind=kind, name=matched[2], **asked)})
    except NotFoundError:
        raise WireError("ValidationException", f'Could not find resource "{arn}".') from None
