"""Stored alarms: put, get, list, delete, and their history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from driftline.alerts import tables
from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.known import unknown_alarm
from driftline.alerts.alarms.reason import INITIAL
from driftline.alerts.alarms.stored import AlarmStanding, StoredAlarm, readable
from driftline.alerts.documents import Time
from driftline.alerts.errors import AlarmError, AlarmInUse
from driftline.alerts.tables import links
from driftline.database.dialects import advisory_lock
from driftline.database.paging import Place, is_behind

# Kinds of alarms, as stored.
METRIC = "metric"
COMPOSITE = "composite"
# Name of the lock of all composite alarms: their states follow from one another.
COMPOSITES = "composites"

MONITOR_DIMENSION = "MonitoringSchedule"
ENDPOINT_DIMENSIONS = ("Endpoint", "EndpointName")

# Begins the lines of the search text that name scaling policies.
_SCALING = "scaling:"

# A fresh look at the last judged periods is forced by a revision that no metric can have.
LOOK_AGAIN = -1


class MetricAlarm(AlarmDefinition, AlarmStanding):
    """A metric alarm: its definition and where it stands."""

    kind: Literal["metric"] = "metric"
    evaluated_until: Time | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRecord(StoredAlarm):
    """A stored alarm: its definition and its state."""

    definition: AlarmDefinition
    evaluated_until: datetime | None

    @property
    def name(self) -> str:
        """The alarm's name."""
        return self.definition.alarm_name

    @property
    def shown(self) -> MetricAlarm:
        """The alarm as it is shown."""
        return MetricAlarm.model_construct(
            **dict(self.definition), **self.state_dict(), name=self.name,
            evaluated_until=self.evaluated_until,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One line of an alarm's history, of type ConfigurationUpdate, StateUpdate or Action."""

    alarm_name: str
    time: datetime
    type: str
    summary: str
    data: Mapping[str, object]
    id: int = field(default=0, compare=False)  # Counts up; 0 before it is stored.
    # The alarm's; of one that was deleted what the item itself tells. None before it is stored.
    alarm_kind: Literal["metric", "composite"] | None = field(default=None, compare=False)

    @property
    def columns(self) -> dict[str, object]:
        """What the table of history keeps of it."""
        return {
            "alarm_name": self.alarm_name,
            "time": self.time,
            "type": self.type,
            "summary": self.summary,
            "data": dict(self.data),
        }


def put_alarm(connection: Connection, definition: AlarmDefinition, now: datetime) -> AlarmRecord:
    """Store an alarm, or overwrite the one of its name; its state stays untouched.

    A new alarm on a metric with data is first judged at its newest datapoint, not along months of
    history; one on a metric without data begins at the first datapoint to come.
    """
    check_channels(connection, definition)
    old = find_row(connection, definition.alarm_name)
    if old is not None and old.kind != METRIC:
        raise AlarmError(
            f'alarm "{definition.alarm_name}": a composite alarm has this name; expected a name '
            "that is unique among alarms of all kinds"
        )
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
        create_row(connection, definition, METRIC, values | start, now)
    else:
        before = None
        with suppress(AlarmError):  # What cannot be read is replaced as a whole.
            before = record_of(old).definition
        if before != definition:
            moved = before is None or _grid(before) != _grid(definition)
            values["updated_at"] = later(now, old.updated_at)
            update_row(connection, old.id, definition, values | (start if moved else {}), now)
    row = find_row(connection, definition.alarm_name)
    assert row is not None
    return record_of(row, definition)


def begin_alarms(connection: Connection, dimension: tuple[str, str], moment: datetime) -> None:
    """Let alarms with a dimension that have judged nothing yet begin at a moment, not before."""
    name, value = dimension
    table = tables.alarms
    chosen = []
    for record in list_alarms(connection):
        definition = record.definition
        named = [definition.dimensions, *(query.dimensions for query in definition.metrics)]
        if any(one.get(name) == value for one in named):
            chosen.append(record.id)
    connection.execute(
        update(table)
        .where(
            table.c.id.in_(chosen),
            table.c.evaluated_until.is_(None),
            or_(table.c.start_at.is_(None), table.c.start_at < moment),
        )
        .values(start_at=moment)
    )


def get_alarm(connection: Connection, name: str) -> AlarmRecord:
    """Return a stored metric alarm; UnknownAlarm for an unknown name."""
    row = find_row(connection, name)
    if row is None or row.kind != METRIC:
        raise unknown_alarm(connection, name)
    return record_of(row)


def list_alarms(connection: Connection, *, monitor: str | None = None) -> list[AlarmRecord]:
    """Return the metric alarms that can be read, all or those of a monitor, by name."""
    table = tables.alarms.c
    query = select(tables.alarms).where(table.kind == METRIC).order_by(table.name)
    if monitor is not None:
        query = query.where(tables.alarms.c.monitor == monitor)
    found = []
    for row in connection.execute(query):
        with suppress(AlarmError):  # The evaluator tells of it.
            found.append(record_of(row))
    return found


def scaling_alarms(connection: Connection) -> list[Row[Any]]:
    """Return id, name, state and updated_at of the alarms whose actions name a scaling policy."""
    table = tables.alarms.c
    names = table.search_text.contains(f"\n{_SCALING}")
    query = select(table.id, table.name, table.state, table.updated_at).where(names)
    return [*connection.execute(query.where(table.kind == METRIC).order_by(table.name))]


def delete_alarm(connection: Connection, name: str, now: datetime) -> None:
    """Remove one alarm as :func:`delete_alarms` does."""
    delete_alarms(connection, [name], now)


def delete_alarms(connection: Connection, names: Sequence[str], now: datetime) -> None:
    """Remove alarms of any kind, all or none; their history stays."""
    wanted = tuple(dict.fromkeys(names))
    hold_for_change(connection, wanted)
    rows = [found for name in wanted if (found := find_row(connection, name)) is not None]
    if missing := set(wanted) - {row.name for row in rows}:
        raise unknown_alarm(connection, min(missing))
    _check_unneeded(connection, rows)
    for row in rows:
        connection.execute(delete(links).where(links.c.alarm_id == row.id))
        connection.execute(delete(tables.alarms).where(tables.alarms.c.id == row.id))
        data = {"version": "1.0", "type": "Delete", "deletedAlarm": row.definition}
        item = HistoryItem(
            row.name, now, "ConfigurationUpdate", f'Alarm "{row.name}" deleted', data
        )
        add_history(connection, alarm_id=row.id, item=item)


def hold_for_change(connection: Connection, names: Sequence[str]) -> None:
    """Lock alarms of any kind until the end of this transaction.

    Transactions that change both lock the rows of metric alarms first, then all composites, then
    their rows: two that lock them in different orders would deadlock.
    """
    table = tables.alarms.c
    query = select(table.id).where(table.kind == METRIC, table.name.in_(names)).order_by(table.id)
    connection.execute(query.with_for_update())
    advisory_lock(connection, COMPOSITES)


def history(
    connection: Connection,
    name: str | None = None,
    *,
    alarm_id: int | None = None,
    type: str | None = None,  # noqa: A002 - the word of DescribeAlarmHistory
    kind: Literal["metric", "composite"] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: Place | None = None,
    limit: int = 100,
    newest_first: bool = True,
) -> list[HistoryItem]:
    """Return history items of one alarm, or of all, newest first; also of deleted alarms.

    Those behind a place (id); with ``alarm_id`` none of an earlier alarm of the name.
    """
    table, owner = tables.history.c, tables.alarms.c
    alarm_kind = _kind_in_history()
    query = select(tables.history, alarm_kind.label("alarm_kind")).limit(limit)
    query = query.outerjoin(tables.alarms, owner.id == table.alarm_id)
    query = query.order_by(table.id.desc() if newest_first else table.id)
    query = query.where(is_behind(after, [table.id], descending=newest_first))
    if name is not None:
        query = query.where(table.alarm_name == name)
    if alarm_id is not None:
        query = query.where(table.alarm_id == alarm_id)
    if type is not None:
        query = query.where(table.type == type)
    if kind is not None:
        query = query.where(alarm_kind == kind)
    if start is not None:
        query = query.where(table.time >= start)
    if end is not None:
        query = query.where(table.time < end)
    return [
        HistoryItem(
            row.alarm_name, row.time, row.type, row.summary, row.data, row.id, row.alarm_kind
        )
        for row in connection.execute(query)
    ]


def _kind_in_history() -> ColumnElement[str]:
    """Select the kind of an item's alarm; of one that was deleted, as its definition tells."""
    table, other = tables.history.c, tables.history.alias()
    is_composite = exists().where(
        other.c.alarm_name == table.alarm_name,
        other.c.alarm_id == table.alarm_id,
        other.c.type == "ConfigurationUpdate",
        cast(other.c.data, Text).contains('"alarm_rule"'),
    )
    told = case((is_composite, COMPOSITE), else_=METRIC)
    return func.coalesce(tables.alarms.c.kind, told)


def add_history(connection: Connection, *, alarm_id: int, item: HistoryItem) -> None:
    """Write one line of history in the caller's transaction."""
    connection.execute(insert(tables.history).values(alarm_id=alarm_id, **item.columns))


def create_row(
    connection: Connection,
    definition: AnyDefinition,
    kind: str,
    values: Mapping[str, object],
    now: datetime,
) -> int:
    """Store a new alarm, unchecked and without data; return its id."""
    result = connection.execute(
        insert(tables.alarms).values(
            **values,
            **_listed(definition),
            name=definition.alarm_name,
            kind=kind,
            created_at=now,
            state="INSUFFICIENT_DATA",
            state_reason=INITIAL,
            state_changed_at=now,
            state_seq=0,
        )
    )
    assert result.inserted_primary_key is not None
    data = {"version": "1.0", "type": "Create", "createdAlarm": values["definition"]}
    summary = f'Alarm "{definition.alarm_name}" created'
    item = HistoryItem(definition.alarm_name, now, "ConfigurationUpdate", summary, data)
    alarm_id = int(result.inserted_primary_key[0])
    add_history(connection, alarm_id=alarm_id, item=item)
    return alarm_id


def update_row(
    connection: Connection,
    alarm_id: int,
    definition: AnyDefinition,
    values: Mapping[str, object],
    now: datetime,
) -> None:
    """Change what an alarm is; its state stays untouched."""
    row = {**values, **_listed(definition)}
    connection.execute(update(tables.alarms).where(tables.alarms.c.id == alarm_id).values(**row))
    data = {"version": "1.0", "type": "Update", "updatedAlarm": values["definition"]}
    summary = f'Alarm "{definition.alarm_name}" updated'
    item = HistoryItem(definition.alarm_name, now, "ConfigurationUpdate", summary, data)
    add_history(connection, alarm_id=alarm_id, item=item)


def _listed(definition: AnyDefinition) -> dict[str, object]:
    """Return what lists sort and filter by, in the columns of the table."""
    words, dimensions = [definition.alarm_name, definition.severity], {}
    if isinstance(definition, AlarmDefinition):
        dimensions = definition.dimensions
        words += [f"{_SCALING}{one}" for one in definition.policy_names]
        words += [definition.judged_name, *dimensions.values()]
    else:
        words.append(definition.alarm_rule)
    named = {dimensions[name] for name in ENDPOINT_DIMENSIONS if name in dimensions}
    return {
        "severity": definition.severity,
        "only_scales": definition.only_scales,
        "monitor": dimensions.get(MONITOR_DIMENSION),
        "endpoint": named.pop() if len(named) == 1 else None,
        "search_text": "".join(f"\n{word.casefold()}" for word in words) + "\n",
    }


def later(now: datetime, before: datetime) -> datetime:
    """Return the time of a change: now, or just after the last one where the clock stands.

    Evaluators know a definition by the time of its change.
    """
    return max(now, before + timedelta(microseconds=1))


def check_channels(connection: Connection, definition: AnyDefinition) -> None:
    """Refuse an action that names no channel: AlarmError."""
    known = set(connection.scalars(select(tables.channels.c.name)))
    if unknown := definition.channel_names - known:
        raise AlarmError(
            f'alarm "{definition.alarm_name}": channel "{min(unknown)}" does not exist; '
            f"expected one of {sorted(known)}, or declare it first"
        )


def _check_unneeded(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Refuse to delete what composites look at that are not deleted, too."""
    going = {row.name for row in rows}
    query = (
        select(links.c.child, tables.alarms.c.name)
        .join(tables.alarms, tables.alarms.c.id == links.c.alarm_id)
        .where(links.c.child.in_(going))
        .order_by(links.c.child, tables.alarms.c.name)
    )
    needed = [one for one in connection.execute(query) if one.name not in going]
    if not needed:
        return
    names = list(dict.fromkeys(one.child for one in needed))
    users = sorted({one.name for one in needed})
    # CloudWatch's own sentence, then what mends it.
    raise AlarmInUse(
        f"Cannot delete {','.join(names)} as there are composite alarm(s) depending on "
        f"{'it' if len(names) == 1 else 'them'}. Change or delete first: {', '.join(users)}"
    )


def _newest_datapoint(connection: Connection, definition: AlarmDefinition) -> datetime | None:
    points, metrics = tables.datapoints.c, tables.metrics.c
    query = (
        select(func.max(points.time))
        .join(tables.metrics, metrics.id == points.metric_id)
        .where(metrics.key.in_(_metric_keys(definition)))
    )
    newest: datetime | None = connection.scalar(query)
    return newest


def _grid(definition: AlarmDefinition) -> tuple[object, ...]:
    """Return what the periods of an alarm rest on; when it changes, an evaluator begins anew."""
    return _metric_keys(definition), definition.period, definition.evaluation_window


def _metric_keys(definition: AlarmDefinition) -> list[str]:
    """Return the digests of all metrics of an alarm, those of its metric math, too."""
    found = [query.metric_key for query in definition.metrics if query.is_metric]
    return sorted(set(found)) if definition.metrics else [definition.metric_key]


def find_row(connection: Connection, name: str) -> Row[Any] | None:
    """Return the row of an alarm of any kind; None where no alarm has the name."""
    return connection.execute(
        select(tables.alarms).where(tables.alarms.c.name == name)
    ).one_or_none()


def record_of(row: Row[Any], definition: AlarmDefinition | None = None) -> AlarmRecord:
    """Read a row of the table of alarms that is one of a metric alarm; AlarmError: it cannot be.

    A definition that was just stored in it is not read and checked again.
    """
    return AlarmRecord(
        definition=definition or readable(row, AlarmDefinition.from_dict),
        evaluated_until=row.evaluated_until,
        **StoredAlarm.columns(row),
    )
