"""CloudWatch's alarms and their history, over our own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from driftline.alerts.alarms.actions import policy_of
from driftline.alerts.alarms.composite_records import CompositeAlarm
from driftline.alerts.alarms.parts import spec_from_aws
from driftline.alerts.alarms.records import HistoryItem, MetricAlarm
from driftline.alerts.documents import from_aws, to_aws
from driftline.alerts.errors import UnknownAlarm
from driftline.errors import InputError
from driftline.serving.aws.ours import declared, every, page_of, token_for
from driftline.serving.aws.scaling import arn_of
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.operations import alarms, resources

_KINDS = {"MetricAlarm": "metric", "CompositeAlarm": "composite"}
COLLECTIONS = {
    "Alarm": "alarms", "CompositeAlarm": "composite-alarms", "Silence": "silences"
}  # fmt: skip
_TYPES = {kind: name for name, kind in _KINDS.items()}
_ACTIONS = ("alarm_actions", "ok_actions", "insufficient_data_actions")
# What CloudWatch has no field for; it stays as it is when a client puts the alarm again.
_OURS = ("severity", "evaluation_range")
# Of what is shown of an alarm, what CloudWatch does not show.
_UNSHOWN = {
    *(*_OURS, "owner", "tags", "name", "kind", "state_seq", "created_at", "evaluation_problem"),
    *("evaluated_until", "actions_suppressed_until"),
}
_PAGE = 50

AnyAlarm = MetricAlarm | CompositeAlarm


@serves("cloudwatch.PutMetricAlarm")
async def put_metric_alarm(wire: Wire, given: Given) -> Answer:
    """Put an alarm on a metric, on metric math or beside a band."""
    await _put(wire, "Alarm", spec_from_aws(given))
    return {}


@serves("cloudwatch.PutCompositeAlarm")
async def put_composite_alarm(wire: Wire, given: Given) -> Answer:
    """Put an alarm on other alarms."""
    await _put(wire, "CompositeAlarm", spec_from_aws(given))
    return {}


async def _put(wire: Wire, kind: str, spec: dict[str, Any]) -> None:
    name, tags = spec.pop("alarm_name"), spec.pop("tags", {})
    owner = None
    if (old := await declared(wire, COLLECTIONS[kind], name)) is not None:
        # Tags are those of the creation; TagResource changes them.
        tags, owner = old["tags"], old["owner"]
        spec |= {key: old["spec"][key] for key in _OURS if old["spec"].get(key) is not None}
    again = {"kind": kind, "name": name, "owner": owner, "tags": tags, "spec": spec}
    await apply(wire, again)


async def apply(wire: Wire, resource: Mapping[str, Any], edition: str | None = None) -> None:
    """Apply one resource; of what is wrong with it the sentence begins as CloudWatch's does."""
    try:
        await wire.ask(resources.apply, resources=[resource], if_match=edition)
    except InputError as error:
        own = rf'(Alarm|CompositeAlarm|Silence|alarm|silence) "{re.escape(resource["name"])}": '
        raise WireError("ValidationError", re.sub(f"^({own})+", "", str(error))) from error


@serves("cloudwatch.DescribeAlarms")
async def describe_alarms(wire: Wire, given: Given) -> Answer:
    """List alarms by name: those on metrics, unless types are given."""
    family = [key for key in ("ChildrenOfAlarmName", "ParentsOfAlarmName") if key in given]
    if family and (others := set(given) - {family[0], "MaxRecords", "NextToken"}):
        raise WireError(
            "ValidationError", f"{family[0]} excludes other parameters, such as {min(others)}"
        )
    if "AlarmNames" in given and "AlarmNamePrefix" in given:
        raise WireError(
            "InvalidParameterCombination", "AlarmNames and AlarmNamePrefix exclude each other"
        )
    types = _KINDS if family else given.get("AlarmTypes") or ["MetricAlarm"]
    kinds = {_KINDS[one] for one in types if one in _KINDS}
    found: list[Answer] = []
    token = None
    if kinds:
        asked = {
            "kind": min(kinds) if len(kinds) == 1 else None, "name": given.get("AlarmNames"),
            "state": given.get("StateValue"), "prefix": given.get("AlarmNamePrefix", ""),
            "children_of": given.get("ChildrenOfAlarmName"),
            "parents_of": given.get("ParentsOfAlarmName"),
        }  # fmt: skip
        found, token = await _alarms(wire, given, asked)
    parts = {
        "ChildrenOfAlarmName": ("AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp"),
        "ParentsOfAlarmName": ("AlarmName", "AlarmArn"),
    }
    lists: Answer = {"MetricAlarms": [], "CompositeAlarms": [], "LogAlarms": []}
    for one in found:
        shown = {key: one[key] for key in parts[family[0]]} if family else one
        lists["CompositeAlarms" if "AlarmRule" in one else "MetricAlarms"].append(shown)
    return {**lists, "NextToken": token}


async def _alarms(
    wire: Wire, given: Given, asked: Mapping[str, Any]
) -> tuple[list[Answer], str | None]:
    """Return one page of alarms, also of those whose actions begin with a prefix."""
    size, prefix = wire.limit(given, _PAGE), given.get("ActionPrefix", "")
    found: list[Answer] = []
    token = page_of(wire, given)
    while True:
        page = await wire.ask(alarms.alarms, **asked, limit=size - len(found), next_token=token)
        shown = [_alarm(wire, one) for one in page.items]
        found += [one for one in shown if not prefix or _has_action(one, prefix)]
        token = page.next_token
        if token is None or len(found) == size:
            return found, token_for(wire, given, token)


def _has_action(shown: Answer, prefix: str) -> bool:
    lists = (shown[key] for key in ("AlarmActions", "OKActions", "InsufficientDataActions"))
    return any(action.startswith(prefix) for actions in lists for action in actions)


def _alarm(wire: Wire, alarm: AnyAlarm) -> Answer:
    """Return an alarm as it was put, where it stands, and the ARNs of channels."""
    found = {key: one for key, one in alarm if key not in _UNSHOWN}
    for key in _ACTIONS:
        found[key] = [_action_arn(wire, one) for one in found[key]]
    found["alarm_description"] = found["alarm_description"] or None
    if isinstance(alarm, MetricAlarm):
        if alarm.metrics:
            found |= dict.fromkeys(("namespace", "metric_name", "statistic", "period"))
        else:
            del found["metrics"]
    return {**to_aws(found), "AlarmArn": alarm_arn(wire, "alarm", alarm.alarm_name)}


def alarm_arn(wire: Wire, kind: str, name: str) -> str:
    """Return the ARN of an alarm, or of what else CloudWatch has by name."""
    return f"arn:aws:cloudwatch:{wire.region}:{wire.account}:{kind}:{name}"


def _action_arn(wire: Wire, action: str) -> str:
    """Return an ARN as it was put, and that of a channel or a scaling policy of ours."""
    if action.startswith("arn:"):
        return action
    if (policy := policy_of(action)) is not None:
        endpoint, variant, name = policy.split("/", 2)
        resource = f"endpoint/{endpoint}/variant/{variant}"
        return arn_of(wire, resource, "scalingPolicy", f"policyName/{name}")
    return f"arn:aws:sns:{wire.region}:{wire.account}:{action}"


@serves("cloudwatch.DescribeAlarmsForMetric")
async def describe_alarms_for_metric(wire: Wire, given: Given) -> Answer:
    """List all alarms on one metric, with a statistic, a period or a unit if given."""
    asked = {
        "namespace": given["Namespace"], "metric_name": given["MetricName"],
        "dimension": [f"{one['Name']}={one['Value']}" for one in given.get("Dimensions", ())],
    }  # fmt: skip
    found = [_alarm(wire, one) for one in await every(wire, alarms.alarms, **asked)]
    keys = ("Statistic", "ExtendedStatistic", "Period", "Unit")
    wanted = {key: given[key] for key in keys if key in given}
    suited = [one for one in found if wanted.items() <= {k: one.get(k) for k in keys}.items()]
    return {"MetricAlarms": suited}


@serves("cloudwatch.DescribeAlarmHistory")
async def describe_alarm_history(wire: Wire, given: Given) -> Answer:
    """List what happened to one alarm or to all, newest first, deleted ones included."""
    types = given.get("AlarmTypes") or ["MetricAlarm"]
    kinds = {_KINDS[one] for one in types if one in _KINDS}
    wanted = given.get("HistoryItemType")
    # Log alarms and contributors of alarms do not exist here, nor does anything happen to them.
    if not kinds or str(wanted).startswith("AlarmContributor"):
        return {"AlarmHistoryItems": []}
    found = await wire.ask(
        alarms.alarms_history,
        alarm=given.get("AlarmName"),
        kind=min(kinds) if len(kinds) == 1 else None,
        type=wanted,
        start=given.get("StartDate"),
        end=given.get("EndDate"),
        order="oldest" if given.get("ScanBy") == "TimestampAscending" else "newest",
        limit=wire.limit(given, 100),
        next_token=page_of(wire, given),
    )
    return {
        "AlarmHistoryItems": [_history(one) for one in found.items],
        "NextToken": token_for(wire, given, found.next_token),
    }


def _history(item: HistoryItem) -> Answer:
    data = {
        key: _lowered(to_aws(one)) if key.endswith("Alarm") and isinstance(one, Mapping) else one
        for key, one in item.data.items()
    }
    return {
        "AlarmName": item.alarm_name,
        "AlarmType": _TYPES[str(item.alarm_kind)],
        "Timestamp": item.time,
        "HistoryItemType": item.type,
        "HistorySummary": item.summary,
        "HistoryData": json.dumps(data),
    }


def _lowered(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Write names as history does: all in small letters up to the second word."""
    if isinstance(value, Mapping):
        return {
            key.replace("OKA", "oka") if key.startswith("OK") else key[0].lower() + key[1:]: (
                _lowered(one)
            )
            for key, one in value.items()
        }
    return [_lowered(one) for one in value] if isinstance(value, list) else value


@serves("cloudwatch.SetAlarmState")
async def set_alarm_state(wire: Wire, given: Given) -> Answer:
    """Put an alarm into a state and run its actions."""
    asked = from_aws(given)
    try:
        await wire.ask(alarms.set_alarm_state, name=asked.pop("alarm_name"), **asked)
    except UnknownAlarm as error:
        # CloudWatch says no more.
        raise WireError("ResourceNotFound", "") from error
    except InputError as error:
        raise WireError("InvalidFormat", str(error)) from error
    return {}


@serves("cloudwatch.DeleteAlarms")
async def delete_alarms(wire: Wire, given: Given) -> Answer:
    """Delete alarms, a composite first; names of none are passed over."""
    names = given["AlarmNames"]
    page = await wire.ask(alarms.alarms, name=names, limit=len(names) or 1)
    if names and not page.items:
        raise WireError("ResourceNotFound", f"no alarm has the name {names[0]}")
    found = sorted(page.items, key=lambda one: isinstance(one, MetricAlarm))
    if sum(isinstance(one, CompositeAlarm) for one in found) > 1:
        raise WireError("ValidationError", "Only one composite alarm can be deleted at a time")
    for one in found:
        collection = "alarms" if isinstance(one, MetricAlarm) else "composite-alarms"
        await wire.ask(resources.delete_resource, collection=collection, name=one.alarm_name)
    return {}


@serves("cloudwatch.EnableAlarmActions")
async def enable_alarm_actions(wire: Wire, given: Given) -> Answer:
    """Let the actions of alarms run."""
    await wire.ask(alarms.switch_alarm_actions, names=given["AlarmNames"], enabled=True)
    return {}


@serves("cloudwatch.DisableAlarmActions")
async def disable_alarm_actions(wire: Wire, given: Given) -> Answer:
    """Let the actions of alarms rest; their states go on changing."""
    await wire.ask(alarms.switch_alarm_actions, names=given["AlarmNames"], enabled=False)
    return {}
