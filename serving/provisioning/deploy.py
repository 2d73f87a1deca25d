"""From a model file, a reference and its roles to the resources of a monitored endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driftline.capture.tap.target import is_name
from driftline.errors import InputError
from driftline.monitors.kind import DAILY, Kind, all_kinds
from driftline.roles import Roles

_DAY_S = 86_400
_NAME_MAX = 63


def name_of_file(file: Path) -> str:
    """Return a file's name as endpoints have theirs; empty where nothing of it can stand in one."""
    return re.sub(r"[^A-Za-z0-9]+", "-", file.stem).strip("-")[:_NAME_MAX].rstrip("-")


def deploy_resources(
    *, model: str, name: str, reference: str | None = None, roles: Roles | None = None
) -> list[dict[str, Any]]:
    """Return the resources that make a model a running endpoint, ready to be applied.

    Paths are absolute, as the server sees them. A reference adds a baseline, the monitors that the
    roles allow, and their alarms, which notify nobody until a channel is named.
    """
    if not is_name(name):
        raise InputError(
            f'name "{name[:80]}"; expected letters, digits and inner hyphens, {_NAME_MAX} at most'
        )
    named = roles or Roles()
    given = roles_spec(named)
    resources = [_resource("Model", name, {"path": model})]
    if reference is None:
        if given:
            raise InputError(
                f"{', '.join(given)} given without a reference; roles are those of its columns"
            )
        return [*resources, _resource("Endpoint", name, {"model": name})]
    spec = {"data": reference, "model": name, **given}
    return [
        *resources,
        _resource("Baseline", name, spec),
        _resource("Endpoint", name, {"model": name, "baseline": name}),
        *monitor_resources(name, named, has_model=True),
    ]


def monitor_resources(name: str, roles: Roles, *, has_model: bool) -> list[dict[str, Any]]:
    """Return the monitors and alarms of an endpoint: every kind that the roles allow."""
    found = []
    for kind in all_kinds():
        if kind.is_deployable is not None and kind.is_deployable(roles, has_model):
            monitor = f"{name[: _NAME_MAX - len(kind.name) - 1].rstrip('-')}-{kind.name}"
            spec = {
                "kind": kind.name, "endpoint": name, "baseline": name, "schedule": kind.schedule,
            }  # fmt: skip
            found.append(_resource("Monitor", monitor, spec))
            found += [_alarm(name, monitor, kind, alarm) for alarm in kind.default_alarms]
    return found


def left_out(roles: Roles) -> list[tuple[str, str]]:
    """Return the kinds that a model with these roles gets no monitor of, and what each needs."""
    return [
        (kind.name, kind.needs)
        for kind in all_kinds()
        if kind.needs and kind.is_deployable is not None and not kind.is_deployable(roles, True)
    ]


def roles_spec(roles: Roles) -> dict[str, Any]:
    """Write the roles as a Baseline's spec has them, without what is not given."""
    found = {
        "label": roles.label,
        "prediction": roles.prediction,
        "probability": list(roles.probability) or None,
        "id": roles.id_column,
        "timestamp": roles.timestamp,
        "exclude": list(roles.exclude) or None,
        "categorical": list(roles.categorical) or None,
        "context": list(roles.context) or None,
        "problem": roles.problem,
        "positive": list(roles.positives) if roles.also_positive else roles.positive,
        "threshold": roles.threshold,
        "facet": [str(facet) for facet in roles.facets] or None,
        "group": roles.group,
        "weight": roles.weight,
        "quantiles": dict(roles.quantiles) or None,
    }
    return {role: value for role, value in found.items() if value is not None}


def _alarm(endpoint: str, monitor: str, kind: Kind, about: Mapping[str, object]) -> dict[str, Any]:
    """Make an alarm on what driftline counts for a monitor: above zero, once, unless told."""
    spec = {
        "namespace": "Driftline",
        "dimensions": {"Endpoint": endpoint, "MonitoringSchedule": monitor},
        "statistic": "Maximum",
        "period": _DAY_S if kind.schedule == DAILY else 7 * _DAY_S,
        "evaluation_periods": 1,
        "comparison_operator": "GreaterThanThreshold",
        "threshold": 0.0,
        **{name: value for name, value in about.items() if name != "title"},
    }
    return _resource("Alarm", f"{endpoint}: {about['title']}", spec)


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "spec": spec}
