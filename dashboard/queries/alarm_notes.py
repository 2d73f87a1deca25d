"""What stands beside the numbers of an alarm: its datapoints' words, the sides of its changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from driftline.alerts.alarms.records import HistoryItem
from driftline.dashboard.address import monitor_link


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
