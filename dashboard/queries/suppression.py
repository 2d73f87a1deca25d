"""What keeps alarms quiet now, and which of them belong together: read once for a whole page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from driftline.alerts.alarms.composite_records import AnyRecord, CompositeRecord
from driftline.alerts.notify.incidents import Incident, list_incidents
from driftline.alerts.notify.labels import labels_of
from driftline.alerts.notify.silences import SilenceRecord, list_silences
from driftline.dashboard.words import moment

INCIDENTS_READ = 200


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The silences that hold back now and the incidents that are open.

    Parameters
    ----------
    now
        The time by which silences begin and end.
    """

    now: datetime
    silences: tuple[SilenceRecord, ...] = ()
    incidents: tuple[Incident, ...] = ()
    _by_alarm: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, connection: Connection, now: datetime) -> Surroundings:
        """Read them."""
        incidents = tuple(list_incidents(connection, is_open=True, limit=INCIDENTS_READ))
        by_alarm = {
            one.name: incident.id
            for incident in reversed(incidents)
            for one in incident.alarms
            if one.left_at is None
        }
        return cls(now, tuple(list_silences(connection, now, status="ACTIVE")), incidents, by_alarm)

    def silences_of(self, record: AnyRecord) -> tuple[SilenceRecord, ...]:
        """Give the silences that hold back messages of an alarm now."""
        if not self.silences:
            return ()
        labels = labels_of(record.definition)
        return tuple(one for one in self.silences if one.silence.fits(labels))

    def quiet(self, record: AnyRecord) -> tuple[str, ...]:
        """Say what keeps an alarm from telling anybody, a few words each."""
        found = []
        for one in self.silences_of(record):
            until = one.silence.mutes_until(self.now)
            end = f" until {moment(until)}" if until is not None else ""
            found.append(f"silenced by {one.silence.name}{end}")
        if isinstance(record, CompositeRecord) and record.held.by is not None:
            found.append(held_words(record))
        if not record.definition.actions_enabled:
            found.append("actions switched off")
        return tuple(found)

    def incident_of(self, record: AnyRecord) -> str | None:
        """Give the id of the open incident that an alarm is in."""
        return self._by_alarm.get(record.name)


def held_words(record: CompositeRecord) -> str:
    """Say what holds a composite's actions back; empty while nothing does."""
    held, name = record.held, record.definition.suppressor_name
    if held.by is None:
        return ""
    if held.by == "Alarm":
        return f"suppressed by {name}"
    until = "" if held.until is None else f" until {moment(held.until)}"
    return f"waits for {name}{until}" if held.by == "WaitPeriod" else f"held after {name}{until}"
