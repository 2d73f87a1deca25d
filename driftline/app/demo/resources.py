"""What the demo declares: the same documents, sent the same way, as any user of driftline would.

They are written as YAML into the demo's folder, so that one can read them, change them and send
them again with ``driftline apply``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from driftline.app.demo.flights import EVENT_TIME, LABEL
from driftline.app.demo.labels import LABELS_KNOWN_AFTER
from driftline.app.demo.model import PREDICTION, PROBABILITY
from driftline.app.demo.pace import Cadence

ENDPOINT = "flights"
CHANNEL = "pager"
OWNER = "departures-team"
FACET = "origin"
DAY_S = 86_400
NAMESPACE = "Driftline"
DAY, WEEK = timedelta(days=1), timedelta(days=7)
# A week's labels are all there a day after the last of them are known.
LABELLED_AFTER = LABELS_KNOWN_AFTER + DAY
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")

# By kind: length of the windows, and how long after its end one is judged.
WINDOWS = {
    "data-quality": (DAY, timedelta()),
    "model-quality": (WEEK, LABELLED_AFTER),
    "bias": (WEEK, LABELLED_AFTER),
    "attribution": (WEEK, timedelta()),
}


@dataclass(frozen=True, slots=True)
class Watch:
    """One alarm: on which metric of which kind of monitor, and how loud."""

    name: str
    kind: str
    metric: str
    severity: str
    about: str
    fields: Mapping[str, Any] = field(default_factory=dict)


TWO_OF_EIGHT = {"evaluation_periods": 8, "datapoints_to_alarm": 2}
# A page for what no season can do and for measured loss of quality; a ticket for each new cause;
# and a page when nothing is heard. One cause shall ring once: N is so long that an alarm does not
# end and begin anew with every day or week that is a little better (docs/why/false-alarms.md).
WATCHES = (
    Watch(
        "flights: broken input",
        "data-quality",
        "pages",
        "page",
        "Input that no season explains: a new level, a change of unit, missing values.",
        {"treat_missing_data": "notBreaching", "ok_actions": [CHANNEL]},
    ),
    Watch(
        "flights: drift",
        "data-quality",
        "new_tickets",
        "ticket",
        "Data differ from the reference in a way that no day before has told.",
        # After a gap it is in OK, so that the next new cause is heard.
        {"treat_missing_data": "notBreaching", "evaluation_range": 1},
    ),
    Watch(
        "flights: no traffic judged",
        "data-quality",
        "rows",
        "page",
        "A day has passed without a row that the monitor could judge.",
        {
            "comparison_operator": "LessThanThreshold",
            "threshold": 1.0,
            "treat_missing_data": "breaching",
        },
    ),
    Watch(
        "flights: loss of quality",
        "model-quality",
        "pages",
        "page",
        "Measured against the labels, the model had lost its skill in one of the last four weeks.",
        {"evaluation_periods": 4, "ok_actions": [CHANNEL]},
    ),
    Watch(
        "flights: lower scores",
        "model-quality",
        "tickets",
        "ticket",
        "Scores that move with the share of late flights were below the reference's in two of the "
        "last eight weeks.",
        TWO_OF_EIGHT,
    ),
    Watch(
        "flights: bias",
        "bias",
        "violations",
        "ticket",
        "The airports were treated more unequally than in the reference in two of the last eight "
        "weeks.",
        TWO_OF_EIGHT,
    ),
    Watch(
        "flights: attribution",
        "attribution",
        "violations",
        "ticket",
        "The model decided by other features than in the reference in two of the last eight weeks.",
        TWO_OF_EIGHT,
    ),
)
ALARMS = tuple(watch.name for watch in WATCHES)


def monitor_of(kind: str) -> str:
    """Name the demo's monitor of a kind."""
    return f"{ENDPOINT}-{kind}"


# Which monitor each alarm watches.
WATCHED = {watch.name: monitor_of(watch.kind) for watch in WATCHES}


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
    *,
    model_file: Path,
    reference_file: Path,
    start: datetime,
    end: datetime,
    receiver_url: str,
    secret: str,
) -> list[dict[str, Any]]:
    """Return the demo's resources, ready to be applied all or nothing."""
    baseline = {
        "data": str(reference_file),
        "model": ENDPOINT,
        "label": LABEL,
        "prediction": PREDICTION,
        "probability": PROBABILITY,
        "timestamp": EVENT_TIME,
        "problem": "binary",
        "positive": "1",
        "facet": FACET,
    }
    endpoint = {"model": ENDPOINT, "baseline": ENDPOINT, "trust_event_time": True}
    return [
        _resource("Model", ENDPOINT, {"path": str(model_file)}),
        _resource("Baseline", ENDPOINT, baseline),
        _resource("Endpoint", ENDPOINT, endpoint),
        *(
            _monitor(kind, cadence, end)
            for kind, cadence in zip(WINDOWS, cadences(start, end), strict=True)
        ),
        _resource("Channel", CHANNEL, _to_pager(receiver_url, secret)),
        *(_alarm(watch) for watch in WATCHES),
    ]


def _to_pager(url: str, secret: str) -> dict[str, Any]:
    """Return the spec of the demo's channel: it stays on this machine, so it may quote values."""
    return {"type": "webhook", "url": url, "secret": secret, "include_values": True}


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


def _monitor(kind: str, cadence: Cadence, end: datetime) -> dict[str, Any]:
    """Declare the monitor of a kind: daily, or weekly on the weekday on which the replay ends."""
    weekday = "*" if cadence.length == DAY else WEEKDAYS[end.weekday()]
    spec = {
        "kind": kind,
        "endpoint": ENDPOINT,
        "baseline": ENDPOINT,
        "schedule": f"cron(0 0 ? * {weekday} *)",
        "delay_s": cadence.delay.total_seconds(),
        "start": cadence.first.isoformat(),
    }
    return _resource("Monitor", cadence.monitor, spec)


def _alarm(watch: Watch) -> dict[str, Any]:
    length, _ = WINDOWS[watch.kind]
    spec = {
        "alarm_description": watch.about,
        "namespace": NAMESPACE,
        "metric_name": watch.metric,
        "dimensions": dimensions(watch.kind),
        "severity": watch.severity,
        "statistic": "Maximum",
        "period": round(length.total_seconds()),
        "evaluation_periods": 1,
        "datapoints_to_alarm": 1,
        "comparison_operator": "GreaterThanThreshold",
        "threshold": 0.0,
        "treat_missing_data": "ignore",
        "alarm_actions": [CHANNEL],
    }
    return _resource("Alarm", watch.name, {**spec, **watch.fields})


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "owner": OWNER,
        "tags": {"purpose": "demo"},
        "spec": spec,
    }
