"""From declared resources to the definitions that alerts and monitors know."""

from __future__ import annotations

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.channel import KEY_FIELDS, Channel
from driftline.alerts.notify.silence import Silence
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.schedule import once
from driftline.serving.resources.resources import Resource
from driftline.serving.resources.specs import (
    AlarmSpec,
    ChannelSpec,
    CompositeAlarmSpec,
    MonitorSpec,
    SilenceSpec,
    baseline_and_pin,
)

Definition = AlarmDefinition | CompositeDefinition | Channel | Silence | MonitorDefinition

# What a channel holds beside the options of its receiver.
_OWN = frozenset({"type", "url", "secret", "format", *KEY_FIELDS.values()})


def definition_of(resource: Resource) -> Definition | None:
    """Return what alerts or monitors know a resource as; None of what is known to serving alone."""
    name, owner, tags = resource.name, resource.owner or "", dict(resource.tags)
    of_alarm = {"alarm_name": name, "owner": owner, "tags": tags}
    match resource.spec:
        case ChannelSpec() as spec:
            return channel_of(name, spec)
        case AlarmSpec() as spec:
            found = spec.model_dump(exclude={"monitor"}, exclude_none=True)
            return AlarmDefinition.from_dict({**found, **of_alarm})
        case CompositeAlarmSpec() as spec:
            return CompositeDefinition.from_dict({**spec.model_dump(), **of_alarm})
        case SilenceSpec() as spec:
            found = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
            return Silence.read(name, {"created_by": owner, **found})
        case MonitorSpec() as spec:
            return monitor_of(resource, spec)
    return None


def monitor_of(resource: Resource, spec: MonitorSpec) -> MonitorDefinition:
    """Return the monitor of a resource; the version that it follows is not known yet."""
    found = spec.model_dump(exclude={"data_analysis_start_time", "data_analysis_end_time"})
    own = {
        "schedule": once(spec.schedule, spec.data_analysis_start_time, spec.data_analysis_end_time),
        "rules": tuple(RuleSet.of(spec.rules, where="spec.rules").to_list()),
        "segments": None if spec.segments is None else tuple(spec.segments),
        "command": None if spec.command is None else tuple(spec.command),
    }
    baseline, pin = baseline_and_pin(spec.baseline)
    return MonitorDefinition(
        **{**found, **own, "endpoint": spec.endpoint or "", "baseline": baseline},
        baseline_version=pin,
        baseline_pinned=pin is not None,
        name=resource.name,
        owner=resource.owner,
        tags=resource.tags,
    )


def channel_of(name: str, spec: ChannelSpec) -> Channel:
    """Return the channel of a spec."""
    options = spec.model_dump(mode="json", exclude=set(_OWN), exclude_defaults=True)
    return Channel(name, spec.url, _secret(name, spec), spec.format, spec.type, options)


def _secret(name: str, spec: ChannelSpec) -> str | None:
    where, own = f'channel "{name}"', KEY_FIELDS.get(spec.type, "secret")
    for field in ("secret", *KEY_FIELDS.values()):
        if field != own and getattr(spec, field) is not None:
            raise ChannelError(f"{where}: {field} with type {spec.type}; expected {own}")
    secret: str | None = getattr(spec, own)
    if secret is None and own != "secret":
        raise ChannelError(f"{where}: {own} is missing; type {spec.type} needs one")
    return secret
