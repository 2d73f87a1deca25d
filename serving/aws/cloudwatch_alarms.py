"""CloudWatch's alarms and their history, over our own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from driftline.alerts.alarms.actions import policy_of
from driftline.alerts.alarms.composite_records import CompositeAlarm
from driftline.alerts.alarms.parts import spec_from_aws
from driftline.alerts.alarms.records import HistoryItem, MetricAlarm
from driftline.alerts.documents import from_aws, to_aws
from driftline.alerts.errors import AlarmError
from driftline.errors import InputError
from driftline.serving.aws.ours import (
    apply_declared,
    as_read,
    declared,
    delete_declared,
    every,
    page_of,
    reads_again,
    token_for,
)
from driftline.serving.aws.scaling import arn_of
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves, serves_each
from driftline.serving.operations import alarms, resources
from driftline.serving.provisioning.apply import Declaration, Deletion
from driftline.serving.resources.specs import Kind
from driftline.serving.resources.store import ChangedError

_KINDS = {"MetricAlarm": "metric", "CompositeAlarm": "composite"}
_TYPES = {kind: name for name, kind in _KINDS.items()}
COLLECTIONS: Mapping[str, resources.Collection] = {
    "Alarm": "alarms", "CompositeAlarm": "composite-alarms", "Silence": "silences"
}  # fmt: skip
_PUT = {"MetricAlarm": "Alarm", "CompositeAlarm": "CompositeAlarm", "AlarmMuteRule": "Silence"}
# What DescribeAlarms shows of an alarm's children and parents.
_RELATIVES = {
    "ChildrenOfAlarmName": ("AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp"),
    "ParentsOfAlarmName": ("AlarmName", "AlarmArn"),
}
_ACTIONS = ("alarm_actions", "ok_actions", "insufficient_data_actions")
# What CloudWatch has no field for; it stays as it is when a client puts the alarm again.
_OURS = ("severity", "evaluation_range")


@serves_each("cloudwatch.Put{}", _PUT)
@reads_again
async def put(what: str, wire: Wire, given: Given) -> Answer:
    """Put an alarm or a mute rule."""
    kind, spec = _PUT[what], spec_from_aws(given)
    name, tags = spec.pop("name" if kind == "Silence" else "alarm_name"), spec.pop("tags", {})
    resource = {"kind": kind, "name": name, "tags": tags, "spec": spec}
    if (old := await declared(wire, COLLECTIONS[kind], name)) is not None:
        # Tags are those of the creation; TagResource changes them.
        resource |= {"owner": old["owner"], "tags": old["tags"]}
        spec |= {key: old["spec"][key] for key in _OURS if old["spec"].get(key) is not None}
    await apply(wire, Declaration(resource, as_read(old)))
    return {}


async def apply(wire: Wire, declaration: Declaration) -> None:
    """Apply one resource; of what is wrong with it the sentence begins as CloudWatch's does."""
    try:
        await apply_declared(wire, declaration)
    except ChangedError:
        raise
    except InputError as error:
        name = re.escape(declaration.document["name"])
        own = rf'(Alarm|CompositeAlarm|Silence|alarm|silence) "{name}": '
        raise WireError("ValidationError", re.sub(f"^({own})+", "", str(error))) from error


@serves("cloudwatch.DescribeAlarms")
async def describe_alarms(wire: Wire, given: Given) -> Answer:
    """List alarms by name: those on metrics, unless types are given."""
    relatives = next((key for key in _RELATIVES if key in given), "")
    if relatives and (others := set(given) - {relatives, "MaxRecords", "NextToken"}):
        raise WireError(
            "ValidationError", f"{relatives} excludes other parameters, such as {min(others)}"
        )
    if "AlarmNames" in given and "AlarmNamePrefix" in given:
        raise WireError(
            "InvalidParameterCombination", "AlarmNames and AlarmNamePrefix exclude each other"
        )
    lists: Answer = {"MetricAlarms": [], "CompositeAlarms": [], "LogAlarms": []}
    if not (kinds := _kinds(_KINDS if relatives else given.get("AlarmTypes"))):
        return lists
    page = await wire.ask(
        alarms.alarms, kind=kinds[0], name=given.get("AlarmNames"), state=given.get("StateValue"),
        prefix=given.get("AlarmNamePrefix", ""), children_of=given.get("ChildrenOfAlarmName"),
        parents_of=given.get("ParentsOfAlarmName"), limit=wire.limit(given, 50),
        next_token=page_of(wire, given),
    )  # fmt: skip
    for alarm in page.items:
        shown = _shown(wire, alarm)
        actions = [*shown["AlarmActions"], *shown["OKActions"], *shown["InsufficientDataActions"]]
        start = given.get("ActionPrefix")
        if start is None or any(one.startswith(start) for one in actions):
            named = {key: shown[key] for key in _RELATIVES[relatives]} if relatives else shown
            lists[f"{_TYPES[alarm.kind]}s"].append(named)
    return {**lists, "NextToken": token_for(wire, given, page.next_token)}


def _kinds(types: Iterable[str] | None) -> list[str | None]:
    """Return the kind of these types, None for both; log alarms do not exist here."""
    found = {_KINDS[one] for one in types or ["MetricAlarm"] if one in _KINDS}
    return [None] if len(found) > 1 else [*found]


def _shown(wire: Wire, alarm: MetricAlarm | CompositeAlarm) -> Answer:
    """Return an alarm as it was put, where it stands, and the ARNs of channels."""
    found = dict(alarm)
    found |= {key: [*map(partial(_action_arn, wire), found[key])] for key in _ACTIONS}
    found["alarm_description"] = alarm.alarm_description or None
    if isinstance(alarm, MetricAlarm) and alarm.metrics:
        found |= dict.fromkeys(("namespace", "metric_name", "statistic", "period"))
    elif isinstance(alarm, MetricAlarm):
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
    found = await every(
        wire, alarms.alarms, namespace=given["Namespace"], metric_name=given["MetricName"],
        dimension=[f"{one['Name']}={one['Value']}" for one in given.get("Dimensions", ())],
    )  # fmt: skip
    keys = given.keys() & {"Statistic", "ExtendedStatistic", "Period", "Unit"}
    shown = [_shown(wire, one) for one in found]
    return {"MetricAlarms": [one for one in shown if all(one.get(k) == given[k] for k in keys)]}


@serves("cloudwatch.DescribeAlarmHistory")
async def describe_alarm_history(wire: Wire, given: Given) -> Answer:
    """List what happened to one alarm or to all, newest first, deleted ones included."""
    kinds, type_ = _kinds(given.get("AlarmTypes")), given.get("HistoryItemType", "")
    # Nothing happens to contributors of alarms, which do not exist here.
    if not kinds or type_.startswith("AlarmContributor"):
        return {"AlarmHistoryItems": []}
    page = await wire.ask(
        alarms.alarms_history, alarm=given.get("AlarmName"), kind=kinds[0], type=type_ or None,
        start=given.get("StartDate"), end=given.get("EndDate"),
        order="oldest" if given.get("ScanBy") == "TimestampAscending" else "newest",
        limit=wire.limit(given, 100), next_token=page_of(wire, given),
    )  # fmt: skip
    items = [_item(one) for one in page.items]
    return {"AlarmHistoryItems": items, "NextToken": token_for(wire, given, page.next_token)}


def _item(item: HistoryItem) -> Answer:
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
    """Write names as history does: in small letters up to the second word, or all of okactions."""
    if isinstance(value, Mapping):
        return {
            key.lower() if key == "OKActions" else key[0].lower() + key[1:]: _lowered(one)
            for key, one in value.items()
        }
    return [_lowered(one) for one in value] if isinstance(value, list) else value


@serves("cloudwatch.SetAlarmState")
async def set_alarm_state(wire: Wire, given: Given) -> Answer:
    """Put an alarm into a state and run its actions."""
    asked = from_aws(given)
    try:
        await wire.ask(alarms.set_alarm_state, name=asked.pop("alarm_name"), **asked)
    except AlarmError as error:
        raise WireError("InvalidFormat", str(error)) from error
    return {}


@serves("cloudwatch.DeleteAlarms")
async def delete_alarms(wire: Wire, given: Given) -> Answer:
    """Delete alarms, a composite first; names of none are passed over."""
    names = given["AlarmNames"]
    page = await wire.ask(alarms.alarms, name=names, limit=len(names) or 1)
    if names and not page.items:
        raise WireError("ResourceNotFound", f"no alarm has the name {names[0]}")
    found = sorted(page.items, key=lambda one: one.kind)
    if sum(one.kind == "composite" for one in found) > 1:
        raise WireError("ValidationError", "Only one composite alarm can be deleted at a time")
    if found:
        kinds: Mapping[str, Kind] = {"metric": "Alarm", "composite": "CompositeAlarm"}
        await delete_declared(
            wire, *(Deletion(kinds[one.kind], one.alarm_name, if_there=True) for one in found)
        )
    return {}


@serves_each("cloudwatch.{}AlarmActions", ("Enable", "Disable"))
async def switch_actions(verb: str, wire: Wire, given: Given) -> Answer:
    """Let the actions of alarms run, or rest while their states go on changing."""
    names, enabled = given["AlarmNames"], verb == "Enable"
    await wire.ask(alarms.switch_alarm_actions, names=names, enabled=enabled)
    return {}
