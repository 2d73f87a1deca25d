"""From declared resources to the definitions that alerts and monitors know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from itertools import islice

from sqlalchemy import Connection

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.channel import KEY_FIELDS, Channel
from driftline.alerts.notify.silence import Silence
from driftline.errors import ConflictError, NotFoundError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.kind import OWN_METRICS, kind_named, metric_place
from driftline.monitors.report.datapoints import OWN_NAMES
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.schedule import Schedule, once, windows_from
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import ConfiguredEndpoint, ResolvedEndpoint
from driftline.serving.resources.resources import Resource, ResourceError, key_of
from driftline.serving.resources.specs import (
    AlarmSpec,
    ChannelSpec,
    CompositeAlarmSpec,
    MonitorSpec,
    SilenceSpec,
    baseline_and_pin,
)
from driftline.validation import nearest

Definition = AlarmDefinition | CompositeDefinition | Channel | Silence | MonitorDefinition

# Any week would do: schedules repeat. It begins on a Monday.
_SOME_TIME = datetime(2024, 1, 1, tzinfo=UTC)
_WINDOWS_COMPARED = 60
# What a channel holds beside the options of its receiver.
_OWN = frozenset({"type", "url", "secret", "format", *KEY_FIELDS.values()})
# Services that apprise opens an incident at for the recovery, too, or sends nothing at all; and
# what to take instead.
_UNCLOSED = {
    "pagerduty": "type: pagerduty with routing_key",
    "opsgenie": "another receiver, such as type: alertmanager",
}


def definition_of(resource: Resource) -> Definition | None:
    """Return what alerts or monitors know a resource as; None of what is known to serving alone."""
    match resource.spec:
        case ChannelSpec() as spec:
            return channel_of(resource.name, spec)
        case AlarmSpec() as spec:
            return alarm_of(resource, spec)
        case CompositeAlarmSpec() as spec:
            return composite_of(resource, spec)
        case SilenceSpec() as spec:
            return silence_of(resource.name, resource.owner, spec)
        case MonitorSpec() as spec:
            return monitor_of(resource, spec)
    return None


def alarm_of(resource: Resource, spec: AlarmSpec) -> AlarmDefinition:
    """Return the alarm of a resource whose spec is filled in."""
    found = spec.model_dump(exclude={"monitor"}, exclude_none=True)
    more = {"alarm_name": resource.name, "owner": resource.owner or "", "tags": dict(resource.tags)}
    return AlarmDefinition.from_dict({**found, **more})


def composite_of(resource: Resource, spec: CompositeAlarmSpec) -> CompositeDefinition:
    """Return the composite alarm of a resource."""
    more = {"alarm_name": resource.name, "owner": resource.owner or "", "tags": dict(resource.tags)}
    return CompositeDefinition.from_dict({**spec.model_dump(), **more})


def monitor_of(resource: Resource, spec: MonitorSpec) -> MonitorDefinition:
    """Return the monitor of a resource; the version that it follows is not known yet."""
    found = spec.model_dump(exclude={"data_analysis_start_time", "data_analysis_end_time"})
    own = {
        "schedule": once(spec.schedule, spec.data_analysis_start_time, spec.data_analysis_end_time),
        "rules": tuple(RuleSet.of(spec.rules, where="spec.rules").to_list()),
        "segments": None if spec.segments is None else tuple(spec.segments),
        "command": None if spec.command is None else tuple(spec.command),
        "depends_on": tuple(spec.depends_on),
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
    """Return the secret by the name that it has in this type of channel."""
    where = f'channel "{name}"'
    for kind, field in KEY_FIELDS.items():
        key = getattr(spec, field)
        if key is not None and spec.type != kind:
            raise ChannelError(f"{where}: {field} with type {spec.type}; expected type {kind}")
    service = spec.url.partition(":")[0].lower()
    if spec.type == "apprise" and service in _UNCLOSED:
        raise ChannelError(
            f'{where}: url begins with "{service}:", and apprise closes no incident there; '
            f"expected {_UNCLOSED[service]}"
        )
    if spec.type not in KEY_FIELDS:
        secret: str | None = spec.secret
        return secret
    field = KEY_FIELDS[spec.type]
    if spec.secret is not None:
        raise ChannelError(f"{where}: secret with type {spec.type}; expected {field}")
    key = getattr(spec, field)
    if key is None:
        raise ChannelError(f"{where}: {field} is missing; type {spec.type} needs one")
    return str(key)


def silence_of(name: str, owner: str | None, spec: SilenceSpec) -> Silence:
    """Return the silence of a spec; who declared it made it, unless it says otherwise."""
    found = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    found.setdefault("created_by", owner or "")
    return Silence.read(name, found)


def fill_in(connection: Connection, resources: Sequence[Resource]) -> list[Resource]:
    """Fill in what alarms with ``monitor`` leave out: namespace, dimensions and period.

    Monitors that others depend on are named as they were declared, whatever the case.
    """
    declared = {
        one.key: (one.name, one.spec) for one in resources if isinstance(one.spec, MonitorSpec)
    }
    found = []
    for resource in resources:
        spec = resource.spec
        if isinstance(spec, AlarmSpec) and spec.monitor is not None:
            name, monitor = _monitor(connection, resource, spec.monitor, declared)
            resource = replace(resource, spec=_filled(resource, spec, name, monitor))
        elif isinstance(spec, ConfiguredEndpoint):
            resource = replace(resource, spec=_resolved(connection, resource, spec, resources))
        elif isinstance(spec, MonitorSpec) and spec.depends_on:
            names = [_spelled(connection, name, declared) for name in spec.depends_on]
            resource = replace(resource, spec=spec.model_copy(update={"depends_on": names}))
        found.append(resource)
    return found


def _resolved(
    connection: Connection,
    resource: Resource,
    spec: ConfiguredEndpoint,
    resources: Sequence[Resource],
) -> ResolvedEndpoint:
    """Add the fields of its config, declared now or before, to an endpoint."""
    key = key_of("EndpointConfig", spec.config)
    for one in resources:
        if (one.kind, one.key) == ("EndpointConfig", key):
            return ResolvedEndpoint.of(spec, one.spec.model_dump(mode="json"))
    try:
        return ResolvedEndpoint.of(spec, store.get(connection, "EndpointConfig", spec.config).spec)
    except NotFoundError as error:
        raise ResourceError(
            f"{resource}: {error}; declare it, too, or name one that does"
        ) from error


def _spelled(
    connection: Connection, name: str, declared: Mapping[str, tuple[str, MonitorSpec]]
) -> str:
    if (own := declared.get(key_of("Monitor", name))) is not None:
        return own[0]
    row = store.find(connection, "Monitor", name)
    return name if row is None else row.name  # Of none of that name the plan says so.


def require_order(connection: Connection, resources: Sequence[Resource] = ()) -> None:
    """Refuse monitors that depend on each other in a circle, or on one that is gone by now.

    Those that are declared count in place of those that are stored.
    """
    stored = store.list_kind(connection, "Monitor")
    waits = {row.name: row.spec["depends_on"] for row in stored}
    waits |= {
        one.name: one.spec.depends_on for one in resources if isinstance(one.spec, MonitorSpec)
    }
    for name, others in waits.items():
        if gone := [other for other in others if other not in waits]:
            raise ConflictError(
                f'Monitor "{name}": spec.depends_on names "{gone[0]}", which was deleted '
                "meanwhile; declare it, too, or leave it out"
            )
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        # By graphlib each is before the next one; each of these waits for the next.
        circle = list(reversed(error.args[1]))
        raise ResourceError(
            f'Monitor "{circle[0]}": spec.depends_on makes a circle, {" -> ".join(circle)}; '
            "expected monitors that do not wait for each other"
        ) from error


def _monitor(
    connection: Connection,
    resource: Resource,
    name: str,
    declared: Mapping[str, tuple[str, MonitorSpec]],
) -> tuple[str, MonitorSpec]:
    key = key_of("Monitor", name)
    if key in declared:
        return declared[key]
    row = store.find(connection, "Monitor", name)
    if row is None:
        names = [one for one, _ in declared.values()]
        names += [one.name for one in store.list_kind(connection, "Monitor")]
        near = nearest(name, names) or "there is no Monitor yet"
        raise ResourceError(f'{resource}: spec.monitor "{name}" does not exist; {near}')
    return row.name, MonitorSpec.model_validate(row.spec)


def _filled(resource: Resource, spec: AlarmSpec, name: str, monitor: MonitorSpec) -> AlarmSpec:
    if spec.metrics is not None:
        raise ResourceError(f"{resource}: spec.monitor and spec.metrics; expected one of them")
    metric = spec.metric_name or "violations"
    namespace = spec.namespace or (
        OWN_METRICS if metric in OWN_NAMES else kind_named(monitor.kind).namespace
    )
    namespace, own = metric_place(namespace, name, monitor.endpoint)
    filled: AlarmSpec = spec.model_copy(
        update={
            "monitor": name,
            "namespace": namespace,
            "metric_name": metric,
            "dimensions": {**own, **spec.dimensions},
            "period": spec.period or _window_s(resource, monitor),
        }
    )
    return filled


def _window_s(resource: Resource, monitor: MonitorSpec) -> int:
    """Return the length of a monitor's windows in seconds, but where clocks are changed."""
    schedule = monitor.schedule
    timetable = Schedule(schedule, monitor.time_zone)
    windows = islice(windows_from(timetable, _SOME_TIME), _WINDOWS_COMPARED)
    lengths = {round(window.length.total_seconds()) for window in windows}
    if len(lengths) != 1:
        raise ResourceError(
            f'{resource}: spec.monitor with schedule "{schedule}", whose windows '
            f"{'differ in length' if lengths else 'have no length'}; expected spec.period, in "
            "seconds"
        )
    return lengths.pop()
