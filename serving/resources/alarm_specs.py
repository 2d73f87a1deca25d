"""From a declared alarm to what the room of alarms knows as one; a monitor's name fills it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import Connection

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.monitors.cron import Schedule, windows_from
from driftline.monitors.kind import OWN_METRICS, kind_named
from driftline.monitors.report.datapoints import OWN_NAMES
from driftline.serving.resources import store
from driftline.serving.resources.resources import Resource, ResourceError, key_of, nearest
from driftline.serving.resources.specs import AlarmSpec, MonitorSpec

# Any week would do: schedules repeat. It begins on a Monday.
_SOME_TIME = datetime(2024, 1, 1, tzinfo=UTC)
_WINDOWS_COMPARED = 60


def alarm_of(resource: Resource, spec: AlarmSpec) -> AlarmDefinition:
    """Give the alarm of a resource whose spec is filled in.

    Raises
    ------
    AlarmError
        When fields do not go together.
    """
    found = spec.model_dump(exclude={"monitor"}, exclude_none=True)
    more = {"alarm_name": resource.name, "owner": resource.owner or "", "tags": dict(resource.tags)}
    return AlarmDefinition.from_dict({**found, **more})


def fill_in(connection: Connection, resources: Sequence[Resource]) -> list[Resource]:
    """Fill in what alarms with ``monitor`` leave out: namespace, dimensions and period.

    Parameters
    ----------
    connection
        Where monitors are looked up that are not among the resources.

    Raises
    ------
    ResourceError
        When the monitor does not exist, or has no windows of one length.
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
        found.append(resource)
    return found


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
    own = {"Endpoint": monitor.endpoint, "MonitoringSchedule": name}
    return spec.model_copy(
        update={
            "monitor": name,
            "namespace": namespace,
            "metric_name": metric,
            "dimensions": {**own, **spec.dimensions},
            "period": spec.period or _window_s(resource, monitor.schedule),
        }
    )


def _window_s(resource: Resource, schedule: str) -> int:
    """Give the length of a schedule's windows in seconds."""
    windows = islice(windows_from(Schedule(schedule), _SOME_TIME), _WINDOWS_COMPARED)
    lengths = {round(window.length.total_seconds()) for window in windows}
    if len(lengths) != 1:
        raise ResourceError(
            f'{resource}: spec.monitor with schedule "{schedule}", whose windows '
            f"{'differ in length' if lengths else 'have no length'}; expected spec.period, in "
            "seconds"
        )
    return lengths.pop()
