"""The labels of a change of state, which silences match and groups share, and its fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition, CompositeDefinition
from driftline.alerts.notify.event import KEPT_CAUSE_MAX, alarm_path, cut_cause, plain_cause

_LABEL_MAX = 255
_ENDPOINT = ("Endpoint", "EndpointName")
_VARIANT = ("VariantName", "Variant")
_MONITOR = ("MonitoringSchedule",)


def labels_of(alarm: AnyDefinition, note: Mapping[str, object] | None = None) -> dict[str, str]:
    """Return the labels of an alarm."""
    metric = None if isinstance(alarm, CompositeDefinition) else alarm
    dimensions = {} if metric is None else metric.dimensions
    note = note or {}
    monitor = str(note.get("monitor") or "")
    found = {
        "alarm": alarm.alarm_name,
        "severity": alarm.severity,
        "owner": alarm.owner,
        "namespace": "" if metric is None else metric.namespace,
        "metric": "" if metric is None else metric.metric_name,
        "endpoint": _first(dimensions, _ENDPOINT),
        "variant": _first(dimensions, _VARIANT),
        "monitor": monitor or _first(dimensions, _MONITOR),
        "feature": next(iter(features_of(alarm, note)), ""),
    }
    for name, value in (*alarm.tags.items(), *dimensions.items()):
        found.setdefault(name, value)
    return {name: value[:_LABEL_MAX] for name, value in found.items() if value}


def features_of(alarm: AnyDefinition, note: Mapping[str, object] | None) -> list[str]:
    """Return the features that a change is about, the worst first; none where nothing says so."""
    note = note or {}
    found: list[str] = []
    if isinstance(note.get("feature"), str):
        found.append(str(note["feature"]))
    violations = note.get("violations")
    found += [
        str(one["feature_name"])
        for one in (violations if isinstance(violations, list | tuple) else ())
        if isinstance(one, Mapping) and "feature_name" in one
    ]
    if not isinstance(alarm, CompositeDefinition) and "Feature" in alarm.dimensions:
        found.append(alarm.dimensions["Feature"])
    return list(dict.fromkeys(one for one in found if one))


def group_key(names: Iterable[str], labels: Mapping[str, str]) -> str:
    """Return the key of the group that labels fall into: canonical JSON of those named."""
    return json.dumps(
        {name: labels.get(name, "") for name in sorted(names)},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def facts_of(
    change: StateChange, labels: Mapping[str, str], dashboard_url: str
) -> dict[str, object]:
    """Return what a message that carries this change among others says of it."""
    note = change.note or {}
    # No values of rows: the channel that a group goes to may not be told them.
    text = plain_cause(note) or change.reason
    path = str(note.get("link") or alarm_path(change.alarm_name))
    link = f"{dashboard_url.rstrip('/')}/{path.lstrip('/')}"
    return {
        "labels": dict(labels),
        "old": change.old,
        "cause": cut_cause(text, KEPT_CAUSE_MAX),
        "link": link,
        "since": change.first_breach.isoformat() if change.first_breach is not None else None,
    }


def _first(found: Mapping[str, str], names: Iterable[str]) -> str:
    return next((str(found[name]) for name in names if name in found), "")
