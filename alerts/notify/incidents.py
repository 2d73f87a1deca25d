"""Incidents: alarms that go off together for one reason.

An alarm that goes off joins an incident that is open, or closed for less than half an hour, of the
same endpoint, when they share a feature or the cause's sentence and their data went wrong within an
hour, or a period, of each other; else it opens one. One that goes off for a new cause continues the
incident in which its monitor told a cause that lasts, however long that is closed. A composite
joins the incident of an alarm that set it off.
An incident is closed when the last of its alarms is no longer in ALARM.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, exists, insert, or_, select, update

from driftline.alerts import tables as common
from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition, CompositeDefinition
from driftline.alerts.documents import Output, Time
from driftline.alerts.errors import UnknownIncident
from driftline.alerts.notify.event import cut_cause
from driftline.alerts.notify.labels import features_of, labels_of
from driftline.alerts.tables import incident_alarms, incidents
from driftline.database.locks import advisory_lock, try_advisory_lock
from driftline.database.paging import Place, is_behind

ONSET_APART_MAX = timedelta(hours=1)
REOPENED_WITHIN = timedelta(minutes=30)
_FEATURES_MAX = 50
# So many incidents of an endpoint are looked at; beyond, nobody could tell them apart either.
_COMPARED_MAX = 100
_SEVERITIES = ("ticket", "page")
_Row = Row[tuple[object, ...]]
_MEMBERSHIP: Select[Any] = (
    select(incident_alarms.c.incident_id, incident_alarms.c.left_at)
    .where(incident_alarms.c.alarm_id == bindparam("alarm"))
    .order_by(incident_alarms.c.left_at.is_not(None), incident_alarms.c.joined_at.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class IncidentAlarm:
    """One alarm of an incident: since when, until when (None: still), how many times."""

    name: str
    joined_at: Time
    left_at: Time | None
    count: int


@dataclass(frozen=True, slots=True)
class Incident(Output):
    """Alarms that went off together, and what they have in common."""

    id: str
    endpoint: str
    cause: str
    features: Sequence[str]
    severity: str
    onset_at: Time
    opened_at: Time
    closed_at: Time | None
    alarms: Sequence[IncidentAlarm] = ()

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values, and whether it is over."""
        status = "open" if self.closed_at is None else "closed"
        return {"id": self.id, "status": status} | Output.as_dict(self)


def follow(connection: Connection, change: StateChange, alarm: AnyDefinition) -> str | None:
    """Take a change of state into the incidents; return the id of the one it belongs to."""
    if change.new != "ALARM" and change.old != "ALARM":
        return None
    advisory_lock(connection, "incidents")
    own = _membership(connection, change.alarm_id)
    is_in = own is not None and own.left_at is None
    if change.new == "ALARM":
        if own is not None and is_in:
            return str(own.incident_id)
        return _join(connection, change, alarm, was_member=own is not None)
    if own is None or not is_in:
        return None
    _leave(connection, own.incident_id, change.alarm_id, change.time)
    return str(own.incident_id)


def settle(connection: Connection, now: datetime, *, limit: int = 200) -> int:
    """Take alarms out of incidents that are gone or no longer in ALARM; return how many.

    Changes of state do so themselves; this is for alarms that were deleted.
    """
    if not try_advisory_lock(connection, "incidents"):
        return 0  # A long pass of an evaluator; there is no hurry.
    members, alarms = incident_alarms.c, common.alarms.c
    still = exists().where(alarms.id == members.alarm_id, alarms.state == "ALARM")
    query = select(members.incident_id, members.alarm_id).where(members.left_at.is_(None), ~still)
    rows = connection.execute(query.limit(limit)).all()
    for row in rows:
        _leave(connection, row.incident_id, row.alarm_id, now)
    return len(rows)


def get_incident(connection: Connection, incident_id: str) -> Incident:
    """Return an incident with its alarms; none of the id is UnknownIncident."""
    query = select(incidents).where(incidents.c.id == incident_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownIncident(
            f'incident "{incident_id[:64]}" does not exist; expected an id; driftline incident '
            "list shows them"
        )
    return _incidents(connection, [row])[0]


def list_incidents(
    connection: Connection,
    *,
    is_open: bool | None = None,
    endpoint: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Place | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Return incidents with their alarms, newest first; those open or closed, of an endpoint.

    Those opened in [since, until), and behind a place (opened_at, id).
    """
    table = incidents.c
    query = select(incidents).order_by(table.opened_at.desc(), table.id.desc()).limit(limit)
    if is_open is not None:
        query = query.where(table.closed_at.is_(None) if is_open else table.closed_at.is_not(None))
    if endpoint is not None:
        query = query.where(table.endpoint == endpoint)
    if since is not None:
        query = query.where(table.opened_at >= since)
    if until is not None:
        query = query.where(table.opened_at < until)
    query = query.where(is_behind(after, [table.opened_at, table.id], descending=True))
    return _incidents(connection, connection.execute(query).all())


def _join(
    connection: Connection, change: StateChange, alarm: AnyDefinition, *, was_member: bool
) -> str:
    """Find the incident that a change to ALARM belongs to, or open one."""
    note = change.note or {}
    features = features_of(alarm, note)
    cause = cut_cause(str(note.get("cause") or ""))
    endpoint = labels_of(alarm, note).get("endpoint", "")
    onset = change.first_breach or change.time
    severity = alarm.severity
    period_s = 0 if isinstance(alarm, CompositeDefinition) else alarm.period
    # Windows of a day say on which day it began, and no more.
    apart = max(ONSET_APART_MAX, timedelta(seconds=period_s))
    found = _of_children(connection, alarm)
    # Nothing to compare: thousands of plain alarms may go off at once.
    if found is None and (was_member or features or cause):
        found = _alike(connection, change, endpoint, set(features), cause, onset, apart)
    if found is None:
        incident_id = f"inc_{int(change.time.timestamp() * 1000):012x}{secrets.token_hex(5)}"
        connection.execute(
            insert(incidents),
            {
                "id": incident_id,
                "endpoint": endpoint,
                "cause": cause or cut_cause(change.reason),
                "features": features[:_FEATURES_MAX],
                "severity": severity,
                "onset_at": onset,
                "opened_at": change.time,
            },
        )
        _add_member(connection, incident_id, change)
    else:
        incident_id = str(found.id)
        merged = list(dict.fromkeys([*found.features, *features]))[:_FEATURES_MAX]
        connection.execute(
            update(incidents)
            .where(incidents.c.id == incident_id)
            .values(
                features=merged,
                severity=max(found.severity, severity, key=_rank),
                onset_at=min(found.onset_at, onset),
                closed_at=None,
            )
        )
        _enter(connection, incident_id, change)
    return incident_id


def _alike(
    connection: Connection,
    change: StateChange,
    endpoint: str,
    features: set[str],
    cause: str,
    onset: datetime,
    apart: timedelta,
) -> _Row | None:
    """Find the newest incident that shares endpoint, onset, and a feature or the cause."""
    table, members = incidents.c, incident_alarms.c
    is_alive = or_(table.closed_at.is_(None), table.closed_at > change.time - REOPENED_WITHIN)
    is_own = is_alive
    if (lasting := _lasting_since(change)) is not None:
        # A season brings one cause after the other: they are one story while the earlier ones last.
        is_own = or_(is_alive, table.closed_at >= lasting)
    newest = (table.opened_at.desc(), table.id.desc())
    # An alarm that goes off again at once is the same story, whatever its data say now.
    again = (
        select(incidents)
        .join(incident_alarms, members.incident_id == table.id)
        .where(members.alarm_id == change.alarm_id, table.endpoint == endpoint, is_own)
        .order_by(*newest)
        .limit(1)
    )
    own = connection.execute(again).first()
    if not features and not cause:
        return own
    query = (
        select(incidents)
        .where(
            table.endpoint == endpoint,
            is_alive,
            table.onset_at.between(onset - apart, onset + apart),
        )
        .order_by(*newest)
        .limit(_COMPARED_MAX)
    )
    for row in connection.execute(query):
        if own is not None and row.id == own.id:
            return own
        if features & set(row.features) or (cause and cause == row.cause):
            return row
    return own


def _lasting_since(change: StateChange) -> datetime | None:
    """Return when the oldest cause that lasts was told first, where a monitor's note says so."""
    try:
        found = datetime.fromisoformat(str((change.note or {}).get("lasting_since") or ""))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _of_children(connection: Connection, alarm: AnyDefinition) -> _Row | None:
    """Find the incident of an alarm that a composite looks at; the newest one."""
    if not isinstance(alarm, CompositeDefinition) or not alarm.rule.names:
        return None
    members = incident_alarms.c
    query = (
        select(incidents)
        .join(incident_alarms, members.incident_id == incidents.c.id)
        .where(members.alarm_name.in_(sorted(alarm.rule.names)), members.left_at.is_(None))
        .order_by(members.joined_at.desc(), incidents.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).first()


def _membership(connection: Connection, alarm_id: int) -> Row[Any] | None:
    """Return the incident that an alarm is in, or else one that it was in."""
    return connection.execute(_MEMBERSHIP, {"alarm": alarm_id}).first()


def _enter(connection: Connection, incident_id: str, change: StateChange) -> None:
    table = incident_alarms
    own = and_(table.c.incident_id == incident_id, table.c.alarm_id == change.alarm_id)
    again = connection.execute(
        update(table).where(own).values(left_at=None, count=table.c.count + 1)
    )
    if not again.rowcount:
        _add_member(connection, incident_id, change)


def _add_member(connection: Connection, incident_id: str, change: StateChange) -> None:
    connection.execute(
        insert(incident_alarms),
        {
            "incident_id": incident_id,
            "alarm_id": change.alarm_id,
            "alarm_name": change.alarm_name,
            "joined_at": change.time,
            "count": 1,
        },
    )


def _leave(connection: Connection, incident_id: str, alarm_id: int, time: datetime) -> None:
    members = incident_alarms.c
    connection.execute(
        update(incident_alarms)
        .where(members.incident_id == incident_id, members.alarm_id == alarm_id)
        .values(left_at=time)
    )
    others = exists().where(members.incident_id == incident_id, members.left_at.is_(None))
    connection.execute(
        update(incidents).where(incidents.c.id == incident_id, ~others).values(closed_at=time)
    )


def _incidents(connection: Connection, rows: Iterable[_Row]) -> list[Incident]:
    listed = list(rows)
    members = incident_alarms.c
    query = (
        # A row of the database has a method of the column's name.
        select(incident_alarms, members.count.label("times"))
        .where(members.incident_id.in_([row.id for row in listed]))
        .order_by(members.joined_at, members.alarm_name)
    )
    alarms: dict[str, list[IncidentAlarm]] = {}
    for row in connection.execute(query):
        one = IncidentAlarm(row.alarm_name, row.joined_at, row.left_at, row.times)
        alarms.setdefault(row.incident_id, []).append(one)
    names = [name for name in Incident.__slots__ if name != "alarms"]
    return [
        Incident(**{name: row._mapping[name] for name in names}, alarms=alarms.get(row.id, []))
        for row in listed
    ]


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
