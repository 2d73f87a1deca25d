"""From a model, a reference and roles to the resources of a monitored endpoint, as documents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from driftline.capture.tap.target import is_name
from driftline.errors import InputError
from driftline.monitors.kind import DAILY, Kind, all_kinds
from driftline.roles import Roles
from driftline.serving.processing.schedules import roles_spec

_DAY_S = 86_400
_NAME_MAX = 63


def endpoint_name(file: Path, name: str | None) -> str:
    """Return the endpoint's name: the one that was given, or one made of a file's."""
    made = re.sub(r"[^A-Za-z0-9]+", "-", file.stem).strip("-")[:_NAME_MAX].rstrip("-")
    found = made if name is None else name
    if not is_name(found):
        raise InputError(
            f'name "{(name or file.stem)[:80]}"; expected --name with letters, digits and inner '
            f"hyphens, {_NAME_MAX} at most"
        )
    return found


def draft_resources(
    name: str,
    roles: Roles,
    *,
    model: str | None = None,
    reference: str | Sequence[str] | None = None,
    channel_url: str | None = None,
) -> list[dict[str, Any]]:
    """Return the resources of an endpoint; without a ``model`` an app of the user's answers."""
    given, endpoint = roles_spec(roles), {} if model is None else {"model": name}
    found = [] if model is None else [_resource("Model", name, {"path": model})]
    if reference is None:
        if given:
            raise InputError(
                f"{', '.join(given)} given without a reference; roles are those of its columns"
            )
        return [*found, _resource("Endpoint", name, endpoint)]
    found.append(_resource("Baseline", name, {"data": reference, **endpoint, **given}))
    found.append(_resource("Endpoint", name, {**endpoint, "baseline": name}))
    monitors = monitor_resources(name, roles, has_model=model is not None)
    if channel_url is not None:
        if not channel_url.startswith(("https://", "http://")):
            raise InputError(f'channel "{channel_url}"; expected https://HOST/PATH of a webhook')
        found.insert(0, _resource("Channel", name, {"type": "webhook", "url": channel_url}))
        for alarm in (one for one in monitors if one["kind"] == "Alarm"):
            alarm["spec"]["alarm_actions"] = [name]
    return [*found, *monitors]


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


def _alarm(endpoint: str, monitor: str, kind: Kind, about: Mapping[str, object]) -> dict[str, Any]:
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
