"""CloudWatch's mute rules, our silences with a schedule; tags of these, alarms and dashboards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from driftline.alerts.documents import from_aws, time_of, to_aws
from driftline.alerts.notify.silence import Silence
from driftline.serving.aws.cloudwatch_alarms import COLLECTIONS, alarm_arn, apply
from driftline.serving.aws.ours import (
    as_read,
    changed,
    declared,
    delete_declared,
    every,
    reads_again,
)
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations import resources
from driftline.serving.operations.tags import aws_tags, change_aws_tags
from driftline.serving.provisioning.apply import Declaration, Deletion
from driftline.serving.resources.echo import DASHBOARD

_DASHBOARD = re.compile(r"arn:[^:]*:cloudwatch:[^:]*:[^:]*:dashboard/(.+)")
_ARN = re.compile(r"arn:[^:]*:cloudwatch:[^:]*:[^:]*:(?P<kind>alarm|alarm-mute-rule):(?P<name>.+)")
_MISSING = "ResourceNotFoundException"


@serves("cloudwatch.GetAlarmMuteRule")
async def get_alarm_mute_rule(wire: Wire, given: Given) -> Answer:
    """Return a silence that has a schedule."""
    name = given["AlarmMuteRuleName"]
    found = await declared(wire, "silences", name)
    if found is None or (rule := _rule(wire, found)) is None:
        raise WireError(_MISSING, f"mute rule {name} does not exist")
    return rule


@serves("cloudwatch.ListAlarmMuteRules")
async def list_alarm_mute_rules(wire: Wire, given: Given) -> Answer:
    """List silences that have a schedule, all or those of an alarm or in some states."""
    silences = await every(wire, resources.list_resources, collection="silences")
    rules = [
        rule
        for one in silences
        if (rule := _rule(wire, vars(one))) is not None
        and given.get("AlarmName") in (None, *rule["MuteTargets"]["AlarmNames"])
        and rule["Status"] in given.get("Statuses", [rule["Status"]])
    ]
    shown, following = wire.page(given, lambda one: (one["Name"],), rules, size=50)
    return {"AlarmMuteRuleSummaries": shown, "NextToken": following}


@serves("cloudwatch.DeleteAlarmMuteRule")
async def delete_alarm_mute_rule(wire: Wire, given: Given) -> Answer:
    """Delete a silence, if there is one of the name; what it held back and still holds is sent."""
    await delete_declared(wire, Deletion("Silence", given["AlarmMuteRuleName"], if_there=True))
    return {}


def _rule(wire: Wire, found: Mapping[str, Any]) -> Answer | None:
    """Return a silence as a mute rule; None of one without a schedule."""
    spec = {key: value for key, value in found["spec"].items() if value not in (None, "", [])}
    silence = Silence.read(found["name"], spec)
    if silence.schedule is None:
        return None
    return to_aws(
        {
            "name": silence.name,
            "alarm_mute_rule_arn": alarm_arn(wire, "alarm-mute-rule", silence.name),
            "description": silence.comment or None,
            "rule": {"schedule": silence.schedule},
            "mute_targets": {"alarm_names": silence.alarm_names},
            "start_date": silence.starts_at,
            "expire_date": silence.ends_at,
            "status": found["status"]["status"],
            "last_updated_timestamp": time_of(found["updated_at"]),
            "mute_type": "RECURRING" if silence.schedule.is_recurring else "ONE_TIME",
        }
    )


@serves("cloudwatch.ListTagsForResource")
async def list_tags_for_resource(wire: Wire, given: Given) -> Answer:
    """List the tags of an alarm, a mute rule or a dashboard."""
    if (found := _DASHBOARD.fullmatch(given["ResourceARN"])) is not None:
        return to_aws({"tags": await wire.ask(aws_tags, kind=DASHBOARD, name=found[1])})
    return to_aws({"tags": (await _tagged(wire, given))["tags"]})


@serves("cloudwatch.TagResource")
@serves("cloudwatch.UntagResource")
@reads_again
async def change_tags(wire: Wire, given: Given) -> Answer:
    """Add tags to an alarm, a mute rule or a dashboard, or change them, or take them away."""
    added = from_aws(given).get("tags", {})
    if (dashboard := _DASHBOARD.fullmatch(given["ResourceARN"])) is not None:
        asked = {"kind": DASHBOARD, "name": dashboard[1], "remove": given.get("TagKeys")}
        await wire.ask(change_aws_tags, **asked, add=added)
        return {}
    found = await _tagged(wire, given)
    tags = {**found["tags"], **added}
    left = {key: tags[key] for key in tags if key not in given.get("TagKeys", ())}
    await apply(wire, Declaration({**changed(found), "tags": left}, as_read(found)))
    return {}


async def _tagged(wire: Wire, given: Given) -> dict[str, Any]:
    if (arn := _ARN.fullmatch(given["ResourceARN"])) is None:
        raise WireError(
            "InvalidParameterValue",
            "ResourceARN; expected that of an alarm, an alarm mute rule or a dashboard",
        )
    for kind in ("Alarm", "CompositeAlarm") if arn["kind"] == "alarm" else ("Silence",):
        if (found := await declared(wire, COLLECTIONS[kind], arn["name"])) is not None:
            return found
    raise WireError(_MISSING, f"{given['ResourceARN']} does not exist")
