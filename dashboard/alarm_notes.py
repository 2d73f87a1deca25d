"""What stands beside the numbers of an alarm: its datapoints' words, the sides of its changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import AlarmRecord, HistoryItem, history
from driftline.alerts.metrics import store as metrics
from driftline.dashboard.address import monitor_link

__all__ = [
    "latest_note",
    "newest_words",
    "note_link",
    "note_text",
    "period_end",
    "side_of",
    "words_at",
]


def note_text(note: Mapping[str, object], key: str) -> str | None:
    """Give a text of a note; None when there is none, or something else."""
    value = note.get(key)
    return value if isinstance(value, str) and value else None


def note_link(note: Mapping[str, object]) -> str | None:
    """Take a note's link if it leads to a page of ours; notes are written by others, too."""
    link = (note_text(note, "link") or "").lstrip("/")
    if link.startswith("monitors/"):
        return f"/{link}"
    monitor = note_text(note, "monitor")
    return monitor_link(monitor, anchor="rows") if monitor else None


def newest_words(connection: Connection, record: AlarmRecord) -> Mapping[str, object]:
    """Give the note of the newest datapoint that has a cause, else of the change to ALARM."""
    note = latest_note(connection, record.definition)
    if note and note_text(note, "cause"):
        return note
    newest = history(connection, record.name, type="StateUpdate", limit=1)
    return words_at(connection, record, newest[0]) if newest else {}


def words_at(
    connection: Connection, record: AlarmRecord, item: HistoryItem
) -> Mapping[str, object]:
    """Give the note of the datapoint that decided a change of state."""
    end = period_end(item)
    return {} if end is None else latest_note(connection, record.definition, end)


def latest_note(
    connection: Connection, rule: AlarmDefinition, before: datetime | None = None
) -> Mapping[str, object]:
    """Give the note of a metric's newest datapoint that has one; metric math has none."""
    if rule.metrics:
        return {}
    metric = (rule.namespace, rule.metric_name, rule.dimensions)
    return metrics.latest_note(connection, *metric, before=before) or {}


def period_end(item: HistoryItem) -> datetime | None:
    """Give the end of the period that decided a change; None where none did."""
    end = item.data.get("periodEnd")
    return datetime.fromisoformat(end) if isinstance(end, str) else None


def side_of(data: Mapping[str, object], key: str) -> tuple[str, str]:
    """Read one side of CloudWatch's history data: the state's value and reason."""
    side = data.get(key)
    if not isinstance(side, Mapping):
        return "", ""
    return str(side.get("stateValue", "")), str(side.get("stateReason", ""))
