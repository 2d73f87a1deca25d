"""CloudWatch's mute rules, our silences with a schedule; and the tags of these and of alarms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from driftline.alerts.documents import from_aws, time_of, to_aws
from driftline.alerts.notify.silence import Silence
from driftline.errors import ConflictError
from driftline.serving.aws.cloudwatch_alarms import COLLECTIONS, alarm_arn, apply
from driftline.serving.aws.ours import declared, every
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations import resources

_ARN = re.compile(r"arn:[^:]*:cloudwatch:[^:]*:[^:]*:(?P<kind>alarm|alarm-mute-rule):(?P<name>.+)")
_SUMMARY = ("AlarmMuteRuleArn", "ExpireDate", "Status", "MuteType", "LastUpdatedTimestamp")


@serves("cloudwatch.TagResource")
async def tag_resource(wire: Wire, given: Given) -> Answer:
    """Add tags to an alarm or a mute rule, or change them."""
    found = await _tagged(wire, given)
    await _retag(wire, found, {**found["tags"], **from_aws(given)["tags"]})
    return {}


@serves("cloudwatch.UntagResource")
async def untag_resource(wire: Wire, given: Given) -> Answer:
    """Take tags from an alarm or a mute rule."""
    found = await _tagged(wire, given)
    kept = {key: one for key, one in found["tags"].items() if key not in given["TagKeys"]}
    await _retag(wire, found, kept)
    return {}


@serves("cloudwatch.ListTagsForResource")
async def list_tags_for_resource(wire: Wire, given: Given) -> Answer:
    """List the tags of an alarm or a mute rule."""
    found = await _tagged(wire, given)
    return {"Tags": to_aws({"tags": found["tags"]})["Tags"]}


async def _tagged(wire: Wire, given: Given) -> dict[str, Any]:
    arn = _ARN.fullmatch(given["ResourceARN"])
    if arn is None:
        raise WireError(
            "InvalidParameterValue", "ResourceARN; expected that of an alarm or an alarm mute rule"
        )
    kinds = ("Alarm", "CompositeAlarm") if arn["kind"] == "alarm" else ("Silence",)
    for kind in kinds:
        if (found := await declared(wire, COLLECTIONS[kind], arn["name"])) is not None:
            return found
    raise WireError("ResourceNotFoundException", f"{given['ResourceARN']} does not exist")


async def _retag(wire: Wire, found: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    again = {key: found[key] for key in ("kind", "name", "owner", "spec")}
    try:
        await apply(wire, {**again, "tags": tags}, found["etag"])
    except ConflictError as error:
        raise WireError("ConcurrentModificationException", str(error)) from error


@serves("cloudwatch.PutAlarmMuteRule")
async def put_alarm_mute_rule(wire: Wire, given: Given) -> Answer:
    """Put a silence with a schedule."""
    spec = from_aws(given)
    name, tags = spec.pop("name"), spec.pop("tags", {})
    old = await declared(wire, "silences", name)
    owner, tags = (None, tags) if old is None else (old["owner"], old["tags"])
    await apply(wire, {"kind": "Silence", "name": name, "owner": owner, "tags": tags, "spec": spec})
    return {}


@serves("cloudwatch.GetAlarmMuteRule")
async def get_alarm_mute_rule(wire: Wire, given: Given) -> Answer:
    """Return a silence that has a schedule."""
    name = given["AlarmMuteRuleName"]
    found = await declared(wire, "silences", name)
    rules = _rules(wire, [] if found is None else [found])
    if not rules:
        raise WireError("ResourceNotFoundException", f"mute rule {name} does not exist")
    return rules[0]


@serves("cloudwatch.ListAlarmMuteRules")
async def list_alarm_mute_rules(wire: Wire, given: Given) -> Answer:
    """List silences that have a schedule, all or those of an alarm or in some states."""
    found = await every(wire, resources.list_resources, collection="silences")
    rules = [
        one
        for one in _rules(wire, map(vars, found))
        if given.get("AlarmName") in (None, *one["MuteTargets"]["AlarmNames"])
        and one["Status"] in given.get("Statuses", [one["Status"]])
    ]
    shown, following = wire.page(given, lambda one: (one["Name"],), rules, size=50)
    summaries = [{key: one[key] for key in _SUMMARY if key in one} for one in shown]
    return {"AlarmMuteRuleSummaries": summaries, "NextToken": following}


def _rules(wire: Wire, found: Iterable[Mapping[str, Any]]) -> list[Answer]:
    """Return silences with a schedule as mute rules."""
    said = [
        (one, {key: value for key, value in one["spec"].items() if value not in (None, "", [])})
        for one in found
    ]
    read = [(one, Silence.read(one["name"], spec)) for one, spec in said]
    return [
        to_aws(
            {
                "name": silence.name,
                "alarm_mute_rule_arn": alarm_arn(wire, "alarm-mute-rule", silence.name),
                "description": silence.comment or None,
                "rule": {"schedule": silence.schedule},
                "mute_targets": {"alarm_names": list(silence.alarm_names)},
                "start_date": silence.starts_at,
                "expire_date": silence.ends_at,
                "status": one["status"]["status"],
                "last_updated_timestamp": time_of(one["updated_at"]),
                "mute_type": "RECURRING" if silence.schedule.is_recurring else "ONE_TIME",
            }
        )
        for one, silence in read
        if silence.schedule is not None
    ]


@serves("cloudwatch.DeleteAlarmMuteRule")
async def delete_alarm_mute_rule(wire: Wire, given: Given) -> Answer:
    """Delete a silence, if there is one of the name; what it held back and still holds is sent."""
    name = given["AlarmMuteRuleName"]
    if await declared(wire, "silences", name) is not None:
        await wire.ask(resources.delete_resource, collection="silences", name=name)
    return {}
