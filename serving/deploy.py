"""From a model file and a reference to the resources of a monitored endpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from driftline.errors import InputError

__all__ = ["deploy_resources"]

_DAY_S = 86_400
_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")
_MONITOR_SUFFIX = "-data-quality"
_NAME_MAX = 63


def deploy_resources(
    *,
    model: str,
    name: str,
    reference: str | None = None,
    label: str | None = None,
    prediction: str | None = None,
    probability: Sequence[str] = (),
    id_column: str | None = None,
    timestamp: str | None = None,
    exclude: Sequence[str] = (),
    problem: str | None = None,
    positive: str | None = None,
) -> list[dict[str, Any]]:
    """Give the resources that make a model a running endpoint, ready to be applied.

    Parameters
    ----------
    model
        Absolute path of the model file, as the server sees it.
    name
        Of the endpoint; all other names are made from it.
    reference
        Absolute path of the data taken as good. With it come a baseline, a daily monitor of data
        quality, and two alarms: a page for what no season explains, a ticket for drift that stays.
        Their messages go nowhere until a channel is named in their actions.

    Raises
    ------
    InputError
        When the name is none, or roles are given without a reference.
    """
    if _NAME.fullmatch(name) is None:
        raise InputError(
            f'name "{name[:80]}"; expected letters, digits and inner hyphens, {_NAME_MAX} at most'
        )
    roles = {
        "label": label,
        "prediction": prediction,
        "probability": list(probability) or None,
        "id": id_column,
        "timestamp": timestamp,
        "exclude": list(exclude) or None,
        "problem": problem,
        "positive": positive,
    }
    given = {role: value for role, value in roles.items() if value is not None}
    resources = [_resource("Model", name, {"path": model})]
    if reference is None:
        if given:
            raise InputError(
                f"{', '.join(given)} given without a reference; roles are those of its columns"
            )
        return [*resources, _resource("Endpoint", name, {"model": name})]
    monitor = _monitor_name(name)
    return [
        *resources,
        _resource("Baseline", name, {"data": reference, **given}),
        _resource("Endpoint", name, {"model": name, "baseline": name}),
        _resource("Monitor", monitor, {"endpoint": name, "baseline": name}),
        *_alarms(name, monitor),
    ]


def _monitor_name(endpoint: str) -> str:
    return endpoint[: _NAME_MAX - len(_MONITOR_SUFFIX)].rstrip("-") + _MONITOR_SUFFIX


def _alarms(endpoint: str, monitor: str) -> list[dict[str, Any]]:
    """Page for what no season can bring; a ticket for drift on three of five days."""
    shared = {
        "namespace": "Driftline",
        "dimensions": {"Endpoint": endpoint, "MonitoringSchedule": monitor},
        "statistic": "Maximum",
        "period": _DAY_S,
        "comparison_operator": "GreaterThanThreshold",
        "threshold": 0.0,
    }
    page = {
        "alarm_description": "Input that no season explains: a new level, a change of unit.",
        "metric_name": "pages",
        "evaluation_periods": 1,
        "severity": "page",
        "treat_missing_data": "notBreaching",
    }
    ticket = {
        "alarm_description": "Features have drifted on three of the last five days.",
        "metric_name": "drifted_features",
        "evaluation_periods": 5,
        "datapoints_to_alarm": 3,
        "severity": "ticket",
        "treat_missing_data": "ignore",
    }
    return [
        _resource("Alarm", f"{endpoint}: broken input", {**shared, **page}),
        _resource("Alarm", f"{endpoint}: drift", {**shared, **ticket}),
    ]


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "spec": spec}
