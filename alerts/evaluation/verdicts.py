"""Stores state, history and notifications of many alarms in one transaction.

The old state is compared and set: an alarm that another evaluator, or a user, has changed meanwhile
is left alone and judged again. Where the database locks rows, locked ones are skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, bindparam, insert, select, update
from sqlalchemy.exc import InterfaceError, OperationalError

from driftline.alerts import tables
from driftline.alerts.alarms.alarm import State, StateChange
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation import composites
from driftline.alerts.evaluation.wording import Before, state_columns, state_update
from driftline.alerts.notify.pipeline import NotificationBatch, notify

log = logging.getLogger(__name__)

_AT_ONCE = 200  # A writer of SQLite holds up all others; so many take some tenths of a second.

# Tells how storing one alarm went wrong.
Failed = Callable[[str, Exception], None]


@dataclass(frozen=True, slots=True)
class Standpoint:
    """Where an alarm stood when it was judged; all of it is compared before anything is set."""

    id: int
    name: str
    state: State
    state_seq: int
    updated_at: datetime
    evaluated_until: datetime | None
    seen_revision: int

    @classmethod
    def of(cls, row: Row[Any]) -> Standpoint:
        """Take it from a row of the table of alarms."""
        return cls(*(getattr(row, name) for name in cls.__slots__))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an evaluation says of one alarm."""

    before: Standpoint
    definition: AlarmDefinition
    changes: tuple[StateChange, ...] = ()  # Oldest first.
    values: Mapping[str, object] = field(default_factory=dict)  # What else is to be set in its row.

    @property
    def is_news(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.changes or self.values)


class UntrainedReasons:
    """The reasons of alarms that wait for a band, as they were last written.

    Their state does not change while they wait; how much a band lacks does.
    """

    def __init__(self) -> None:
        self._written: dict[int, str] = {}

    def news(self, before: Standpoint, reason: str | None) -> dict[str, object]:
        """Return what to set in the row of an alarm for this reason; None: it does not wait."""
        if reason is None:
            self._written.pop(before.id, None)
        elif self._written.get(before.id) != reason:
            self._written[before.id] = reason
            return {"state_reason": reason}
        return {}


def store_each(
    engine: Engine,
    verdicts: Sequence[Verdict],
    *,
    now: datetime,
    dashboard_url: str,
    failed: Failed,
    may_store: Callable[[Connection], bool] = lambda _: True,
) -> list[StateChange]:
    """Store verdicts, some hundred at once; if some cannot be stored, the others are."""
    done: list[StateChange] = []
    news = [one for one in verdicts if one.is_news]
    for first in range(0, len(news), _AT_ONCE):
        some = news[first : first + _AT_ONCE]
        try:
            with engine.begin() as connection:
                if not may_store(connection):
                    return done
                done += store(connection, some, now=now, dashboard_url=dashboard_url)
            continue
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # Which of them it is shows when each is stored alone.
            log.warning("verdicts_stored_singly count=%d", len(some), exc_info=True)
        for one in some:
            try:
                with engine.begin() as connection:
                    if not may_store(connection):
                        return done
                    done += store(connection, [one], now=now, dashboard_url=dashboard_url)
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:  # noqa: BLE001 - counted by the caller; the others go on
                failed(one.before.name, error)
    return done


def store(
    connection: Connection, verdicts: Sequence[Verdict], *, now: datetime, dashboard_url: str
) -> list[StateChange]:
    """Store verdicts in the caller's transaction, and what composite alarms make of them."""
    rows = _held(connection, [one.before.id for one in verdicts])
    still = []
    for one in verdicts:
        row = rows.get(one.before.id)
        if row is None or Standpoint.of(row) != one.before:
            log.info("alarm_moved_meanwhile alarm=%r", one.before.name)
            continue
        still.append(one)
    _set(connection, still)
    _add_history(connection, still, rows)
    changes = []
    # Before any message: see hold_above.
    composites.hold_above(connection, {one.before.name for one in still if one.changes})
    batch = NotificationBatch(connection)
    for one in still:
        row = rows[one.before.id]
        was = (row.state_reason, row.state_reason_data, row.state_changed_at)
        for found in one.changes:
            change = replace(
                found, old_reason=was[0], old_reason_data=was[1], old_changed_at=was[2]
            )
            was = (change.reason, change.reason_data, change.time)
            notify(
                connection,
                change,
                one.definition,
                batch=batch,
                dashboard_url=dashboard_url,
                configured_at=one.before.updated_at,
            )
            changes.append(change)
    batch.write()
    return changes + composites.follow(connection, changes, now, dashboard_url=dashboard_url)


def _held(connection: Connection, ids: Sequence[int]) -> dict[int, Row[Any]]:
    """Lock the rows of alarms, in one order, and give them by id."""
    table = tables.alarms
    query: Select[Any] = (
        select(
            *(table.c[name] for name in Standpoint.__slots__),
            table.c.state_reason,
            table.c.state_reason_data,
            table.c.state_changed_at,
        )
        .where(table.c.id.in_(ids))
        .order_by(table.c.id)
        .with_for_update(skip_locked=True)
    )
    return {row.id: row for row in connection.execute(query)}


def _set(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    """Write the rows; those that set the same columns in one statement."""
    table = tables.alarms
    groups: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for one in verdicts:
        values = dict(one.values)
        if one.changes:
            values |= state_columns(one.changes[-1])
        # The names of parameters must not be those of columns.
        row = {f"new_{name}": value for name, value in values.items()}
        groups.setdefault(tuple(sorted(values)), []).append(row | {"alarm": one.before.id})
    for names, rows in groups.items():
        query = update(table).where(table.c.id == bindparam("alarm"))
        connection.execute(query.values({name: bindparam(f"new_{name}") for name in names}), rows)


def _add_history(
    connection: Connection, verdicts: Sequence[Verdict], rows: Mapping[int, Row[Any]]
) -> None:
    found = []
    for one in verdicts:
        row = rows[one.before.id]
        before = Before(row.state, row.state_reason, row.state_reason_data)
        for change in one.changes:
            item = state_update(change, before)
            found.append({"alarm_id": change.alarm_id, **item.columns})
            before = Before(change.new, change.reason, change.reason_data)
    if found:
        connection.execute(insert(tables.history), found)
