"""What the pages of incidents, messages and silences show, as small frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from driftline.alerts.notify.incidents import Incident
from driftline.alerts.notify.silences import SilenceRecord
from driftline.dashboard.queries.alarm_views import MessageLine


@dataclass(frozen=True, slots=True)
class IncidentsView:
    """The newest incidents, open ones first."""

    now: datetime
    incidents: tuple[Incident, ...]


@dataclass(frozen=True, slots=True)
class IncidentView:
    """One incident: its alarms' states by name (gone ones have none) and what was told."""

    now: datetime
    incident: Incident
    states: Mapping[str, str]
    messages: tuple[MessageLine, ...]


@dataclass(frozen=True, slots=True)
class MessagesView:
    """Messages, newest first, of one status or channel if asked for; all counted by status."""

    now: datetime
    messages: tuple[MessageLine, ...]
    counts: Mapping[str, int]
    status: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class SilencesView:
    """All silences, those that hold back now first, with how many messages each holds."""

    now: datetime
    silences: tuple[tuple[SilenceRecord, str, int], ...]
