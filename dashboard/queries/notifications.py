"""What the pages of incidents, messages and silences ask, answered from the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine, func, select

from driftline.alerts.alarms.composite_records import standings
from driftline.alerts.notify.incidents import get_incident, list_incidents
from driftline.alerts.notify.silences import list_silences
from driftline.alerts.tables import outbox
from driftline.dashboard.queries.messages import messages_of
from driftline.dashboard.queries.notification_views import (
    IncidentsView,
    IncidentView,
    MessagesView,
    SilencesView,
)
from driftline.database.engine import read_connection

INCIDENTS_SHOWN = 100
MESSAGES_SHOWN = 200
MESSAGES_OF_ONE = 100
RANKS = {"ACTIVE": 0, "SCHEDULED": 1, "EXPIRED": 2}


class Affairs:
    """What became of changes: incidents, messages, silences; nothing here writes.

    Parameters
    ----------
    engine
        The installation's database.
    now
        The clock by which ages are told and silences begin and end.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self.engine = engine
        self.now = now

    def incidents(self) -> IncidentsView:
        """Give the open incidents, then the newest closed ones."""
        with read_connection(self.engine) as connection:
            found = [
                *list_incidents(connection, is_open=True, limit=INCIDENTS_SHOWN),
                *list_incidents(connection, is_open=False, limit=INCIDENTS_SHOWN),
            ]
        return IncidentsView(self.now(), tuple(found))

    def incident(self, incident_id: str) -> IncidentView:
        """Give one incident; NotFoundError when there is none of the id."""
        with read_connection(self.engine) as connection:
            found = get_incident(connection, incident_id)
            known = standings(connection, [one.name for one in found.alarms])
            told = messages_of(connection, incident=incident_id, limit=MESSAGES_OF_ONE)
        states = {name: one.state for name, one in known.items()}
        return IncidentView(self.now(), found, states, told)

    def messages(self, status: str | None = None, channel: str | None = None) -> MessagesView:
        """Give the newest messages, of a status or to a channel if asked for."""
        with read_connection(self.engine) as connection:
            found = messages_of(connection, status=status, channel=channel, limit=MESSAGES_SHOWN)
            counts = _counts(connection, channel)
        return MessagesView(self.now(), found, counts, status, channel)

    def silences(self) -> SilencesView:
        """Give all silences, those that hold back now first, then the newest."""
        now = self.now()
        with read_connection(self.engine) as connection:
            records = list_silences(connection, now)
            query = (
                select(outbox.c.silence, func.count())
                .where(outbox.c.status == "muted", outbox.c.silence.is_not(None))
                .group_by(outbox.c.silence)
            )
            held = {row[0]: row[1] for row in connection.execute(query)}
        found = [
            (one, one.silence.state(now, one.expired_at), held.get(one.silence.name, 0))
            for one in records
        ]
        found.sort(key=lambda entry: (RANKS[entry[1]], -entry[0].updated_at.timestamp()))
        return SilencesView(now, tuple(found))


def _counts(connection: Connection, channel: str | None) -> dict[str, int]:
    query = select(outbox.c.status, func.count()).group_by(outbox.c.status)
    if channel is not None:
        query = query.where(outbox.c.channel == channel)
    return {row[0]: row[1] for row in connection.execute(query)}
