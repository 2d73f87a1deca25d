"""What the demo declares: the documents that any user would write, applied the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from driftline.app.demo.flights import EVENT_TIME, LABEL
from driftline.app.demo.model import PREDICTION, PROBABILITY

ENDPOINT = "flights"
CHANNEL = "pager"
NAMESPACE = "Driftline"
DAY, WEEK = timedelta(days=1), timedelta(days=7)
LABELS_KNOWN_AFTER = timedelta(days=2)
# A week's labels are all loaded a day after the last of them are known.
LABELLED_AFTER = LABELS_KNOWN_AFTER + DAY
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
# By kind of monitor: the length of its windows, and how long after its end one is judged.
WINDOWS = {
    "data-quality": (DAY, timedelta()),
    "model-quality": (WEEK, LABELLED_AFTER),
    "bias": (WEEK, LABELLED_AFTER),
    "attribution": (WEEK, timedelta()),
}
TWO_OF_EIGHT = {"evaluation_periods": 8, "datapoints_to_alarm": 2}
# By alarm: kind of monitor, metric, severity, and what differs from `_alarm`. A page for
# what no season can do and for measured loss of quality, a ticket for each new cause. N is so long
# that an alarm does not end and fire again with every better day (docs/why/false-alarms.md).
ALARMS: Mapping[str, tuple[str, str, str, Mapping[str, Any]]] = {
    "flights: broken input": (
        "data-quality", "pages", "page",
        {"treat_missing_data": "notBreaching", "ok_actions": [CHANNEL]},
    ),
    # After a gap it is in OK, so that the next new cause fires.
    "flights: drift": (
        "data-quality", "new_tickets", "ticket",
        {"treat_missing_data": "notBreaching", "evaluation_range": 1},
    ),
    "flights: no traffic judged": (
        "data-quality", "rows", "page",
        {
            "comparison_operator": "LessThanThreshold", "threshold": 1.0,
            "treat_missing_data": "breaching",
        },
    ),
    "flights: loss of quality": (
        "model-quality", "pages", "page", {"evaluation_periods": 4, "ok_actions": [CHANNEL]},
    ),
    "flights: lower scores": ("model-quality", "tickets", "ticket", TWO_OF_EIGHT),
    "flights: bias": ("bias", "violations", "ticket", TWO_OF_EIGHT),
    "flights: attribution": ("attribution", "violations", "ticket", TWO_OF_EIGHT),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cadence:
    """When the windows of one monitor are due."""

    monitor: str
    first: datetime
    length: timedelta
    delay: timedelta  # From a window's end until it is judged.

    def ends(self, until: datetime) -> list[datetime]:
        """Return the ends of all windows that are due at or before a moment."""
        count = max(0, (until - self.delay - self.first) // self.length)
        return [self.first + (index + 1) * self.length for index in range(count)]


def monitor_of(kind: str) -> str:
    """Name the demo's monitor of a kind."""
    return f"{ENDPOINT}-{kind}"


def dimensions(kind: str) -> dict[str, str]:
    """Return the dimensions of a monitor's metrics."""
    return {"Endpoint": ENDPOINT, "MonitoringSchedule": monitor_of(kind)}


def cadences(start: datetime, end: datetime) -> list[Cadence]:
    """Return when the windows of each monitor are due; weeks are whole, the last ends at `end`."""
    return [
        Cadence(monitor_of(kind), end - (end - start) // length * length, length, delay)
        for kind, (length, delay) in WINDOWS.items()
    ]


def declare(
    *, model: Path, reference: Path, start: datetime, end: datetime, pager_url: str, secret: str
) -> list[dict[str, Any]]:
    """Return the demo's resources, ready to be applied all or nothing."""
    baseline = {
        "data": str(reference), "model": ENDPOINT, "label": LABEL, "prediction": PREDICTION,
        "probability": PROBABILITY, "timestamp": EVENT_TIME, "problem": "binary", "positive": "1",
        "facet": "origin",
    }  # fmt: skip
    endpoint = {"model": ENDPOINT, "baseline": ENDPOINT, "trust_event_time": True}
    # The pager stays on this machine, so it may be sent values of rows.
    pager = {"type": "webhook", "url": pager_url, "secret": secret, "include_values": True}
    return [
        _resource("Model", ENDPOINT, {"path": str(model)}),
        _resource("Baseline", ENDPOINT, baseline),
        _resource("Endpoint", ENDPOINT, endpoint),
        *(_monitor(*pair, end) for pair in zip(WINDOWS, cadences(start, end), strict=True)),
        _resource("Channel", CHANNEL, pager),
        *(_resource("Alarm", name, _alarm(*about)) for name, about in ALARMS.items()),
    ]


def channels_of(resources: Sequence[Mapping[str, Any]], alarm: str, state: str) -> list[str]:
    """Name the channels that are notified when an alarm gets into a state."""
    key = {"ALARM": "alarm_actions", "OK": "ok_actions"}.get(state, "insufficient_data_actions")
    (spec,) = (one["spec"] for one in resources if (one["kind"], one["name"]) == ("Alarm", alarm))
    return list(spec.get(key, []))


def write(resources: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Write resources as YAML for their owner alone, since they hold a secret."""
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump_all(resources, sort_keys=False), encoding="utf-8")


def _monitor(kind: str, cadence: Cadence, end: datetime) -> dict[str, Any]:
    """Declare the monitor of a kind: daily, or weekly on the weekday on which the replay ends."""
    weekday = "*" if cadence.length == DAY else WEEKDAYS[end.weekday()]
    spec = {
        "kind": kind, "endpoint": ENDPOINT, "baseline": ENDPOINT,
        "schedule": f"cron(0 0 ? * {weekday} *)", "delay_s": cadence.delay.total_seconds(),
        "start": cadence.first.isoformat(),
    }  # fmt: skip
    return _resource("Monitor", cadence.monitor, spec)


def _alarm(kind: str, metric: str, severity: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    spec = {
        "namespace": NAMESPACE, "metric_name": metric, "dimensions": dimensions(kind),
        "severity": severity, "statistic": "Maximum",
        "period": round(WINDOWS[kind][0].total_seconds()), "evaluation_periods": 1,
        "datapoints_to_alarm": 1, "comparison_operator": "GreaterThanThreshold", "threshold": 0.0,
        "treat_missing_data": "ignore", "alarm_actions": [CHANNEL],
    }  # fmt: skip
    return {**spec, **fields}


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "owner": "departures-team", "spec": spec}
