"""Stored alarms: put, get, list, delete, and their history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from driftline.alerts import tables
from driftline.alerts.alarm import State
from driftline.alerts.definition import AlarmDefinition
from driftline.alerts.errors import AlarmError, UnknownAlarm
from driftline.alerts.reason import INITIAL

__all__ = [
    "AlarmRecord",
    "HistoryItem",
    "add_history",
    "delete_alarm",
    "get_alarm",
    "history",
    "list_alarms",
    "put_alarm",
]

# A fresh look at the last judged periods is forced by a revision that no metric can have.
LOOK_AGAIN = -1


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """A stored alarm: its definition and where it stands."""

    id: int
    definition: AlarmDefinition
    state: State
    state_reason: str
    state_reason_data: str | None
    state_changed_at: datetime
    state_seq: int
    created_at: datetime
    updated_at: datetime
    evaluated_until: datetime | None

    @property
    def name(self) -> str:
        """The alarm's name."""
        return self.definition.alarm_name

    def as_dict(self) -> dict[str, object]:
        """Give it as plain JSON values: the definition's fields, then the state's."""
        until = self.evaluated_until
        return self.definition.as_dict() | {
            "state_value": self.state,
            "state_reason": self.state_reason,
            "state_reason_data": self.state_reason_data,
            "state_updated_timestamp": self.state_changed_at.isoformat(),
            "state_seq": self.state_seq,
            "created_at": self.created_at.isoformat(),
            "alarm_configuration_updated_timestamp": self.updated_at.isoformat(),
            "evaluated_until": until.isoformat() if until is not None else None,
        }


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One line of an alarm's history, of type ConfigurationUpdate, StateUpdate or Action."""

    alarm_name: str
    time: datetime
    type: str
    summary: str
    data: Mapping[str, object]

    def as_dict(self) -> dict[str, object]:
        """Give it as plain JSON values."""
        return {
            "alarm_name": self.alarm_name,
            "timestamp": self.time.isoformat(),
            "history_item_type": self.type,
            "history_summary": self.summary,
            "history_data": dict(self.data),
        }


def put_alarm(connection: Connection, definition: AlarmDefinition, now: datetime) -> AlarmRecord:
    """Store an alarm, or overwrite the one of its name; its state stays untouched.

    A new alarm on a metric that has data is judged first at its newest datapoint, not along
    months of history; one on a metric without data begins at the first datapoint to come.

    Raises
    ------
    AlarmError
        When an action names a channel that does not exist.
    """
    _check_channels(connection, definition)
    old = _find(connection, definition.alarm_name)
    values: dict[str, object] = {
        "definition": definition.as_dict(),
        "metric_key": definition.metric_key,
        "updated_at": now,
        "seen_revision": LOOK_AGAIN,
        "seen_at": now,
    }
    start: dict[str, object] = {
        "start_at": _newest_datapoint(connection, definition),
        "evaluated_until": None,
        "phase_s": None,
    }
    if old is None:
        _create(connection, definition, values | start, now)
    else:
        before = _record(old).definition
        if before != definition:
            moved = (before.metric_key, before.period) != (definition.metric_key, definition.period)
            _update(connection, old.id, definition, values | (start if moved else {}), now)
    return get_alarm(connection, definition.alarm_name)


def get_alarm(connection: Connection, name: str) -> AlarmRecord:
    """Give a stored alarm; none of the name is UnknownAlarm."""
    row = _find(connection, name)
    if row is None:
        raise UnknownAlarm(f'alarm "{name}" does not exist; expected the name of an alarm')
    return _record(row)


def list_alarms(connection: Connection, *, state: State | None = None) -> list[AlarmRecord]:
    """Give all alarms, or those in a state, by name."""
    query = select(tables.alarms).order_by(tables.alarms.c.name)
    if state is not None:
        query = query.where(tables.alarms.c.state == state)
    return [_record(row) for row in connection.execute(query)]


def delete_alarm(connection: Connection, name: str, now: datetime) -> None:
    """Remove an alarm; its history stays. None of the name is UnknownAlarm."""
    record = get_alarm(connection, name)
    connection.execute(delete(tables.alarms).where(tables.alarms.c.id == record.id))
    data = {"version": "1.0", "type": "Delete", "deletedAlarm": record.definition.as_dict()}
    add_history(
        connection,
        alarm_id=record.id,
        item=HistoryItem(name, now, "ConfigurationUpdate", f'Alarm "{name}" deleted', data),
    )


def history(
    connection: Connection,
    name: str | None = None,
    *,
    type: str | None = None,  # noqa: A002 - the word of DescribeAlarmHistory
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 100,
) -> list[HistoryItem]:
    """Give history items of one alarm, or of all, newest first; also of deleted alarms."""
    table = tables.history.c
    query = select(tables.history).order_by(table.id.desc()).limit(limit)
    if name is not None:
        query = query.where(table.alarm_name == name)
    if type is not None:
        query = query.where(table.type == type)
    if start is not None:
        query = query.where(table.time >= start)
    if end is not None:
        query = query.where(table.time < end)
    return [
        HistoryItem(row.alarm_name, row.time, row.type, row.summary, row.data)
        for row in connection.execute(query)
    ]


def add_history(connection: Connection, *, alarm_id: int, item: HistoryItem) -> None:
    """Write one line of history in the caller's transaction."""
    connection.execute(
        insert(tables.history).values(
            alarm_id=alarm_id,
            alarm_name=item.alarm_name,
            time=item.time,
            type=item.type,
            summary=item.summary,
            data=dict(item.data),
        )
    )


def _create(
    connection: Connection,
    definition: AlarmDefinition,
    values: Mapping[str, object],
    now: datetime,
) -> None:
    result = connection.execute(
        insert(tables.alarms).values(
            **values,
            name=definition.alarm_name,
            created_at=now,
            state="INSUFFICIENT_DATA",
            state_reason=INITIAL,
            state_changed_at=now,
            state_seq=0,
        )
    )
    assert result.inserted_primary_key is not None
    data = {"version": "1.0", "type": "Create", "createdAlarm": definition.as_dict()}
    summary = f'Alarm "{definition.alarm_name}" created'
    item = HistoryItem(definition.alarm_name, now, "ConfigurationUpdate", summary, data)
    add_history(connection, alarm_id=result.inserted_primary_key[0], item=item)


def _update(
    connection: Connection,
    alarm_id: int,
    definition: AlarmDefinition,
    values: Mapping[str, object],
    now: datetime,
) -> None:
    connection.execute(update(tables.alarms).where(tables.alarms.c.id == alarm_id).values(**values))
    data = {"version": "1.0", "type": "Update", "updatedAlarm": definition.as_dict()}
    summary = f'Alarm "{definition.alarm_name}" updated'
    item = HistoryItem(definition.alarm_name, now, "ConfigurationUpdate", summary, data)
    add_history(connection, alarm_id=alarm_id, item=item)


def _check_channels(connection: Connection, definition: AlarmDefinition) -> None:
    known = set(connection.scalars(select(tables.channels.c.name)))
    if unknown := definition.channel_names - known:
        raise AlarmError(
            f'alarm "{definition.alarm_name}": channel "{min(unknown)}" does not exist; '
            f"expected one of {sorted(known)}, or declare it first"
        )


def _newest_datapoint(connection: Connection, definition: AlarmDefinition) -> datetime | None:
    points, metrics = tables.datapoints.c, tables.metrics.c
    query = (
        select(func.max(points.time))
        .join(tables.metrics, metrics.id == points.metric_id)
        .where(metrics.key == definition.metric_key)
    )
    newest: datetime | None = connection.scalar(query)
    return newest


def _find(connection: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(
        select(tables.alarms).where(tables.alarms.c.name == name)
    ).one_or_none()


def _record(row: Row[tuple[object, ...]]) -> AlarmRecord:
    return AlarmRecord(
        id=row.id,
        definition=AlarmDefinition.from_dict(row.definition),
        state=row.state,
        state_reason=row.state_reason,
        state_reason_data=row.state_reason_data,
        state_changed_at=row.state_changed_at,
        state_seq=row.state_seq,
        created_at=row.created_at,
        updated_at=row.updated_at,
        evaluated_until=row.evaluated_until,
    )
