"""An event before it is put into any format: our own body, and its text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from driftline.alerts.alarms.alarm import Point, StateChange
from driftline.alerts.alarms.composite import AnyDefinition, CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition

BODY_MAX_BYTES = 20_000
# Receivers of CloudWatch messages parse these; a self-hosted installation has neither.
ACCOUNT = "000000000000"
REGION = "us-east-1"
REGION_NAME = "US East (N. Virginia)"
_VIOLATIONS_MAX = 10
_DATAPOINTS_MAX = 50
CAUSE_MAX = 1000  # Of a message.
KEPT_CAUSE_MAX = 300  # Of a history, and of a message among others.
_TEXT_MAX = 300  # Of other events, whose data is made to fit without it.


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people are told."""

    type: str  # Such as ``alarm.state_changed`` or ``webhook.test``.
    time: datetime
    title: str  # In a few words.
    text: str  # A sentence or some lines.
    link: str = ""  # Where there is more to see.
    mood: str = "info"  # failure, warning, success or info: the colour of it.
    data: Mapping[str, object] = field(default_factory=dict)  # Plain JSON values, under 20 kB.

    @property
    def document(self) -> dict[str, object]:
        """Our own body of a message."""
        return {"type": self.type, "timestamp": _iso(self.time), "data": self.fields}

    @property
    def fields(self) -> dict[str, object]:
        """The data, with the words where no field says them."""
        if self.type == "alarm.state_changed":
            return dict(self.data)
        return {"title": self.title, "text": self.text[:_TEXT_MAX]} | dict(self.data)


def event_of(
    change: StateChange,
    definition: AnyDefinition,
    *,
    dashboard_url: str = "",
    has_values: bool = False,
    more: Mapping[str, object] | None = None,
) -> Event:
    """Return what a change of state is about."""
    note = change.note or {}
    # What a program put without a note has no other cause than the numbers themselves.
    cause = _cause(note, has_values=has_values) or change.reason
    links = _links(note, dashboard_url, alarm_path(definition.alarm_name))
    data = _data(change, definition, cause, links, has_values=has_values) | dict(more or {})
    text = cause if change.new == "ALARM" else change.reason
    return Event(
        type="alarm.state_changed",
        time=change.time,
        title=f"{change.new}: {definition.alarm_name}",
        text="\n".join((text, *_superseded_lines(data))),
        link=links["dashboard"],
        mood=_mood(change, definition),
        data=_fitting(definition, data, _links({}, dashboard_url, "/")),
    )


def _superseded_lines(data: Mapping[str, object]) -> list[str]:
    """Return a sentence on the earlier changes that the receiver may not have got."""
    listed = data.get("supersedes")
    if not isinstance(listed, list):
        return []
    changes = ", ".join(f"{one['state']} at {one['time'][:16]}Z" for one in listed)
    return [f"Not delivered before ({data['supersedes_count']}): {changes}"]


def without_values(text: str) -> str:
    """Cut a sentence before the first thing that it quotes: it may be a value of a row.

    A value may hold quotes of its own, and be cut short; so where it ends cannot be told.
    """
    start, quote, _ = text.partition('"')
    return f'{start}"…"' if quote else text


def cut_cause(cause: str, longest: int = CAUSE_MAX) -> str:
    """Return a cause, ended at a word with "…" where it is longer."""
    if len(cause) <= longest:
        return cause
    head, space, _ = cause[: longest - 1].rpartition(" ")
    return f"{head if space else cause[: longest - 2]} …"


def plain_cause(note: Mapping[str, object]) -> str:
    """Return the cause that a note tells without values of rows; "" for none."""
    plain = note.get("plain_cause")
    return str(plain) if plain else without_values(str(note.get("cause") or ""))


def cause_source(note: Mapping[str, object]) -> Mapping[str, object]:
    """Return the monitor and window of a note's cause, and `rows_of` where rows can be listed.

    A note that quotes another alarm's cause has them under `source`.
    """
    quoted = note.get("source")
    if isinstance(quoted, Mapping):
        return quoted
    return {key: note[key] for key in ("monitor", "window", "rows_of") if key in note}


def alarm_path(name: str) -> str:
    """Return the address of an alarm's page below the dashboard's; names are free text."""
    return f"/alarms/{quote(name, safe='')}"


def alarm_arn(name: str) -> str:
    """Return the alarm's name in the form that AWS's tools expect."""
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"


def dedup_key(name: str) -> str:
    """Return the key by which an incident service knows an alarm again; names are free text."""
    return f"driftline-{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"


def as_json(found: object) -> bytes:
    """Write plain values as our messages do: short, and in people's own letters."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _data(
    change: StateChange,
    definition: AnyDefinition,
    cause: str | None,
    links: Mapping[str, str],
    *,
    has_values: bool,
) -> dict[str, object]:
    note = change.note or {}
    return {
        "alarm": {
            "name": definition.alarm_name,
            "arn": alarm_arn(definition.alarm_name),
            "description": definition.alarm_description,
            "severity": definition.severity,
            "owner": definition.owner or None,
            "tags": dict(definition.tags),
        },
        "state": {"old": change.old, "new": change.new, "reason": change.reason},
        "cause": cause,
        **_watched(definition),
        "datapoints": _datapoints(change.evaluated),
        "monitor": {
            key: note[key] for key in ("monitor", "execution", "window", "kind") if key in note
        },
        "violations": _violations(note, has_values=has_values),
        "links": dict(links),
        "group_key": _group_key(definition),
        "first_seen": _iso(change.first_breach),
        "period_end": _iso(change.period_end),
        "seq": change.seq,
    }


def _fitting(
    definition: AnyDefinition,
    data: dict[str, object],
    home: Mapping[str, str],
) -> dict[str, object]:
    """Make the data short enough: what is bulky goes first; the link leads to all of it."""
    quoted = data["violations"]
    assert isinstance(quoted, list)
    listed = data.get("supersedes")
    bulky: tuple[tuple[str, object], ...] = (
        *(("violations", quoted[:count]) for count in (5, 2, 0)),
        ("datapoints", []),
        ("monitor", {}),
        *((("supersedes", listed[-2:]),) if isinstance(listed, list) else ()),
        ("metric", _short_metric(definition)),
        ("links", dict(home)),
        ("alarm", {"name": definition.alarm_name, "severity": definition.severity}),
    )
    for key, less in bulky:
        if len(as_json({"type": "alarm.state_changed", "data": data})) <= BODY_MAX_BYTES - 100:
            break
        data[key] = less
    return data


def _mood(change: StateChange, definition: AnyDefinition) -> str:
    if change.new == "OK":
        return "success"
    if change.new == "INSUFFICIENT_DATA":
        return "info"
    return "failure" if definition.severity == "page" else "warning"


def _cause(note: Mapping[str, object], *, has_values: bool) -> str | None:
    text = str(note.get("cause") or "") if has_values else plain_cause(note)
    return cut_cause(text) or None


def _watched(definition: AnyDefinition) -> dict[str, object]:
    """Return what the alarm looks at: a metric, metrics, or other alarms."""
    if isinstance(definition, CompositeDefinition):
        return {"metric": None, "rule": definition.alarm_rule}
    judged: dict[str, object] = {
        "statistic": definition.extended_statistic or definition.statistic,
        "unit": definition.unit,
        "period_s": definition.period,
        "comparison_operator": definition.comparison_operator,
        "threshold": definition.threshold,
    }
    if definition.metrics:
        queries = [
            {
                "id": one.id,
                "expression": one.expression,
                "namespace": one.namespace,
                "name": one.metric_name,
                "dimensions": dict(one.dimensions),
                "statistic": one.stat,
                "label": one.label,
            }
            for one in definition.metrics
        ]
        return {"metric": judged | {"queries": queries}}
    named = {
        "namespace": definition.namespace,
        "name": definition.metric_name,
        "dimensions": dict(definition.dimensions),
    }
    return {"metric": named | judged}


def _short_metric(definition: AnyDefinition) -> dict[str, object] | None:
    if isinstance(definition, AlarmDefinition) and definition.metric_name:
        return {"namespace": definition.namespace, "name": definition.metric_name}
    return None


def _datapoints(points: Sequence[Point]) -> list[dict[str, object]]:
    newest_first = list(reversed(points))[:_DATAPOINTS_MAX]
    return [{"time": _iso(point.start), "value": point.value} for point in newest_first]


def _violations(note: Mapping[str, object], *, has_values: bool) -> list[object]:
    found = note.get("violations")
    quoted = list(found)[:_VIOLATIONS_MAX] if isinstance(found, list | tuple) else []
    if has_values:
        return quoted
    return [_bare(one) for one in quoted]


def _bare(found: object) -> object:
    if isinstance(found, str):
        return without_values(found)
    if isinstance(found, Mapping):
        # The name of a feature is no value, quotes or not.
        return {
            key: value if key == "feature_name" else _bare(value) for key, value in found.items()
        }
    return found


def _links(note: Mapping[str, object], dashboard_url: str, home: str) -> dict[str, str]:
    """Return where to look: at what the datapoint's writer names, else at ``home``."""
    base = dashboard_url.rstrip("/")
    names = (("dashboard", "link"), ("report", "report_link"))
    found = {name: str(note[key]) for name, key in names if note.get(key)}
    found.setdefault("dashboard", home)
    return {name: f"{base}/{link.lstrip('/')}" for name, link in found.items()}


def _group_key(definition: AnyDefinition) -> str:
    dimensions = definition.dimensions if isinstance(definition, AlarmDefinition) else {}
    return f"alarm={definition.alarm_name},endpoint={dimensions.get('Endpoint', '')}"


def _iso(time: datetime | None) -> str | None:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if time is not None else None
