"""Stored composite alarms: their rows, whom they look at, and alarms of any kind by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import CTE, Connection, Row, delete, func, insert, select

from driftline.alerts.alarms.alarm import State, StateChange
from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.known import unknown_alarm
from driftline.alerts.alarms.records import (
    COMPOSITE,
    METRIC,
    AlarmRecord,
    find_row,
    record_of,
)
from driftline.alerts.alarms.stored import AlarmStanding, StoredAlarm, readable
from driftline.alerts.alarms.suppression import Held
from driftline.alerts.documents import Time
from driftline.alerts.errors import AlarmError
from driftline.alerts.metrics.identity import chunks
from driftline.alerts.tables import alarms, links

# What an alarm is to the composite that looks at it.
CHILD = "child"
SUPPRESSOR = "suppressor"
_ROWS_AT_ONCE = 500


class CompositeAlarm(CompositeDefinition, AlarmStanding):
    """A composite alarm: its definition and where it stands."""

    kind: Literal["composite"] = "composite"
    actions_suppressed_by: str | None
    actions_suppressed_reason: str | None
    actions_suppressed_until: Time | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeRecord(StoredAlarm):
    """A stored composite alarm: its definition and its state."""

    definition: CompositeDefinition
    held: Held
    held_from: State | None

    @property
    def name(self) -> str:
        """The alarm's name."""
        return self.definition.alarm_name

    @property
    def shown(self) -> CompositeAlarm:
        """The alarm as it is shown."""
        return CompositeAlarm.model_construct(
            **dict(self.definition), **self.state_dict(), name=self.name,
            actions_suppressed_by=self.held.by, actions_suppressed_reason=self.held.reason,
            actions_suppressed_until=self.held.until,
        )  # fmt: skip


AnyRecord = AlarmRecord | CompositeRecord


@dataclass(frozen=True, slots=True)
class StateSince:
    """The state of an alarm of any kind, and since when."""

    state: State
    since: datetime


def change_of(
    record: AnyRecord, new: State, reason: str, reason_data: str, now: datetime
) -> StateChange:
    """Return what changes when an alarm goes to another state that no datapoints led to."""
    return StateChange(
        alarm_id=record.id,
        alarm_name=record.name,
        seq=record.state_seq + 1,
        old=record.state,
        new=new,
        reason=reason,
        reason_data=reason_data,
        time=now,
        period_end=now,
        first_breach=None,
        evaluated=(),
        old_reason=record.state_reason,
        old_reason_data=record.state_reason_data,
        old_changed_at=record.state_changed_at,
    )


def get_any(connection: Connection, name: str) -> AnyRecord:
    """Return a stored alarm of any kind; none of the name is UnknownAlarm.

    One whose definition cannot be read is AlarmError, with the mends.
    """
    return any_record(_row(connection, name))


def list_composites(
    connection: Connection, names: Sequence[str] | None = None
) -> list[CompositeRecord]:
    """Return all composite alarms that can be read, or those of some names, by name."""
    query = select(alarms).where(alarms.c.kind == COMPOSITE)
    if names is None:
        rows = connection.execute(query).all()
    else:
        rows = [
            row
            for some in chunks(names)
            for row in connection.execute(query.where(alarms.c.name.in_(some)))
        ]
    found = []
    for row in rows:
        with suppress(AlarmError):  # The evaluator tells of it.
            found.append(_composite(row))
    return sorted(found, key=lambda one: one.name)


def list_any(
    connection: Connection,
    *,
    kind: Literal["metric", "composite"] | None = None,
    state: State | None = None,
    prefix: str = "",
    names: Sequence[str] | None = None,
    metric_key: str | None = None,
    channel: str | None = None,
    tags: Mapping[str, str] | None = None,
    parents_of: str | None = None,
    children_of: str | None = None,
    after: str = "",
    limit: int = 100,
) -> list[AnyRecord]:
    """Return alarms of all kinds by name, as DescribeAlarms does.

    One whose definition cannot be read is AlarmError, with the mends.
    """
    query = select(alarms).where(alarms.c.name > after).order_by(alarms.c.name)
    if kind is not None:
        query = query.where(alarms.c.kind == kind)
    if state is not None:
        query = query.where(alarms.c.state == state)
    if prefix:
        query = query.where(alarms.c.name.startswith(prefix, autoescape=True))
    if names is not None:
        query = query.where(alarms.c.name.in_(names))
    if metric_key is not None:
        query = query.where(alarms.c.metric_key == metric_key)
    if parents_of is not None:
        wanted = select(links.c.alarm_id).where(links.c.child == parents_of)
        query = query.where(alarms.c.id.in_(wanted))
    if children_of is not None:
        parent = alarms.alias()
        inner = (
            select(links.c.child)
            .join(parent, parent.c.id == links.c.alarm_id)
            .where(parent.c.name == children_of, links.c.role == CHILD)
        )
        query = query.where(alarms.c.name.in_(inner))
    found: list[AnyRecord] = []
    # A page of ten thousand alarms takes a page of rows.
    with connection.execute(query.execution_options(yield_per=min(limit, _ROWS_AT_ONCE))) as rows:
        for row in rows:
            record = any_record(row)
            # LIKE knows no case in SQLite; the other two stand inside of the definition.
            if not record.name.startswith(prefix):
                continue
            if not _is_asked(record, channel, tags):
                continue
            found.append(record)
            if len(found) == limit:
                break
    return found


def states_since(connection: Connection, names: Iterable[str]) -> dict[str, StateSince]:
    """Return the states of alarms of any kind, by name; those that do not exist are left out."""
    columns = alarms.c.name, alarms.c.state, alarms.c.state_changed_at
    return {
        name: StateSince(state, since)
        for some in chunks(list(names))
        for name, state, since in connection.execute(
            select(*columns).where(alarms.c.name.in_(some))
        )
    }


def parents(connection: Connection, names: Iterable[str]) -> set[str]:
    """Return the composites whose rule or suppressor names one of these alarms."""
    found: set[str] = set()
    for some in chunks(list(names)):
        query = (
            select(alarms.c.name)
            .join(links, links.c.alarm_id == alarms.c.id)
            .where(links.c.child.in_(some))
        )
        found.update(connection.scalars(query))
    return found


def above(connection: Connection, names: Iterable[str]) -> set[str]:
    """Return all composites that look at these alarms, or at composites that do."""
    found: set[str] = set()
    fresh = set(names)
    while fresh:
        fresh = parents(connection, fresh) - found
        found |= fresh
    return found


def crowds(connection: Connection, names: Iterable[str], most: int) -> dict[str, int]:
    """Return, of these alarms, those whom more than ``most`` rules name, and how many do."""
    count = func.count()
    found: dict[str, int] = {}
    for some in chunks(list(names)):
        query = (
            select(links.c.child, count)
            .where(links.c.child.in_(some), links.c.role == CHILD)
            .group_by(links.c.child)
            .having(count > most)
        )
        found.update((name, number) for name, number in connection.execute(query))
    return found


def set_links(connection: Connection, alarm_id: int, definition: CompositeDefinition) -> None:
    """Note whom a composite looks at, in place of what was noted before."""
    connection.execute(delete(links).where(links.c.alarm_id == alarm_id))
    rows = [{"alarm_id": alarm_id, "child": name, "role": CHILD} for name in definition.rule.names]
    if definition.suppressor_name is not None:
        rows.append({"alarm_id": alarm_id, "child": definition.suppressor_name, "role": SUPPRESSOR})
    if rows:
        connection.execute(insert(links), rows)


def _row(connection: Connection, name: str) -> Row[Any]:
    row = find_row(connection, name)
    if row is None:
        raise unknown_alarm(connection, name)
    return row


def _is_asked(record: AnyRecord, channel: str | None, tags: Mapping[str, str] | None) -> bool:
    definition = record.definition
    if channel is not None and channel not in definition.channel_names:
        return False
    return not tags or tags.items() <= dict(definition.tags).items()


def any_record(row: Row[Any]) -> AnyRecord:
    """Read a row of the table of alarms, whatever its kind; AlarmError: it cannot be."""
    return record_of(row) if row.kind == METRIC else _composite(row)


def _composite(row: Row[Any]) -> CompositeRecord:
    return CompositeRecord(
        definition=readable(row, CompositeDefinition.from_dict),
        held=Held(row.suppressed_by, row.suppressed_until, row.held_from is not None),
        held_from=row.held_from,
        **StoredAlarm.columns(row),
    )


def alarms_of_endpoints(endpoint: str | None = None) -> CTE:
    """Return the pairs of endpoint and alarm, composites by what is in their rules; all, or one's.

    Columns: endpoint, name.
    """
    own = alarms.c.endpoint.is_not(None) if endpoint is None else alarms.c.endpoint == endpoint
    watching = select(alarms.c.endpoint, alarms.c.name).where(own).cte(recursive=True)
    parents = (
        select(watching.c.endpoint, alarms.c.name)
        .join(links, links.c.child == watching.c.name)
        .join(alarms, alarms.c.id == links.c.alarm_id)
        .where(links.c.role == CHILD)
    )
    return watching.union(parents)
