"""What the demo declares: the same documents, sent the same way, as any user of driftline would.

They are written as YAML into the demo's folder, so that one can read them, change them and send
them again with ``driftline apply``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from driftline.demo.flights import EVENT_TIME, LABEL
from driftline.demo.model import PREDICTION, PROBABILITY

__all__ = [
    "ALARMS",
    "CHANNEL",
    "DAY_S",
    "DIMENSIONS",
    "ENDPOINT",
    "MONITOR",
    "NAMESPACE",
    "channels_of",
    "declare",
    "read",
    "write",
]

ENDPOINT = "flights"
MONITOR = "flights-data-quality"
CHANNEL = "pager"
OWNER = "departures-team"
DAY_S = 86_400
NAMESPACE = "Driftline"
DIMENSIONS = {"Endpoint": ENDPOINT, "MonitoringSchedule": MONITOR}

# Page for what no season can do; open a ticket for drift that stays; say so when nothing is heard.
ALARMS = ("flights: broken input", "flights: drift", "flights: no traffic judged")


def declare(
    *, model_file: Path, reference_file: Path, start: datetime, receiver_url: str, secret: str
) -> list[dict[str, Any]]:
    """Give the demo's resources, ready to be applied all or nothing.

    Parameters
    ----------
    start
        First moment that the monitor judges.
    receiver_url, secret
        Where the channel delivers, and what it signs with.
    """
    resources = [
        _resource("Model", ENDPOINT, {"path": str(model_file)}),
        _resource(
            "Baseline",
            ENDPOINT,
            {
                "data": str(reference_file),
                "label": LABEL,
                "prediction": PREDICTION,
                "probability": PROBABILITY,
                "timestamp": EVENT_TIME,
                "problem": "binary",
                "positive": "1",
            },
        ),
        _resource(
            "Endpoint",
            ENDPOINT,
            {"model": ENDPOINT, "baseline": ENDPOINT, "trust_event_time": True},
        ),
        _resource(
            "Monitor",
            MONITOR,
            {
                "kind": "data-quality",
                "endpoint": ENDPOINT,
                "baseline": ENDPOINT,
                "schedule": "cron(0 0 ? * * *)",
                "start": start.isoformat(),
            },
        ),
        _resource("Channel", CHANNEL, {"type": "webhook", "url": receiver_url, "secret": secret}),
    ]
    return [*resources, *_alarms()]


def channels_of(resources: Sequence[Mapping[str, Any]], alarm: str, state: str) -> list[str]:
    """Name the channels that are told when an alarm gets into a state."""
    key = {"ALARM": "alarm_actions", "OK": "ok_actions"}.get(state, "insufficient_data_actions")
    return [
        channel
        for resource in resources
        if resource["kind"] == "Alarm" and resource["name"] == alarm
        for channel in resource["spec"].get(key, [])
    ]


def write(resources: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Write resources as YAML documents; only the owner may read them, for they hold a secret."""
    file.touch(mode=0o600)
    text = yaml.safe_dump_all([dict(resource) for resource in resources], sort_keys=False)
    file.write_text(text, encoding="utf-8")


def read(file: Path) -> list[dict[str, Any]]:
    """Read resources back, as ``driftline apply`` does."""
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def _alarms() -> list[dict[str, Any]]:
    broken, drift, silent = ALARMS
    return [
        _alarm(
            broken,
            "Input that no season explains: a new level, a change of unit, missing values.",
            metric_name="pages",
            severity="page",
            treat_missing_data="notBreaching",
            ok_actions=[CHANNEL],
        ),
        _alarm(
            drift,
            "Features have drifted from the reference on three of the last five days.",
            metric_name="drifted_features",
            severity="ticket",
            evaluation_periods=5,
            datapoints_to_alarm=3,
            treat_missing_data="ignore",
        ),
        _alarm(
            silent,
            "A day has passed without a row that the monitor could judge.",
            metric_name="rows",
            severity="page",
            comparison_operator="LessThanThreshold",
            threshold=1.0,
            treat_missing_data="breaching",
        ),
    ]


def _alarm(name: str, about: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - plain JSON values
    spec = {
        "alarm_description": about,
        "namespace": NAMESPACE,
        "dimensions": DIMENSIONS,
        "statistic": "Maximum",
        "period": DAY_S,
        "evaluation_periods": 1,
        "datapoints_to_alarm": 1,
        "comparison_operator": "GreaterThanThreshold",
        "threshold": 0.0,
        "alarm_actions": [CHANNEL],
    }
    return _resource("Alarm", name, {**spec, **fields})


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "owner": OWNER,
        "tags": {"purpose": "demo"},
        "spec": spec,
    }
