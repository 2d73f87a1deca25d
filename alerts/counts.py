"""Counts for reconciliation: what was evaluated, changed, queued and delivered."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, func, select

from driftline.alerts import tables
from driftline.alerts.documents import Output


@dataclass(frozen=True, slots=True)
class Counts(Output):
    """How many there are; changes of state include those of deleted alarms.

    The deliveries' total is the number of actions that changes of state called for.
    """

    metrics: int
    datapoints: int
    alarms_by_state: dict[str, int]
    state_changes: int
    deliveries_by_status: dict[str, int]


def counts(connection: Connection) -> Counts:
    """Count everything, in the caller's transaction."""
    changes = select(func.count()).select_from(tables.history)
    return Counts(
        metrics=connection.scalar(select(func.count()).select_from(tables.metrics)) or 0,
        datapoints=connection.scalar(select(func.count()).select_from(tables.datapoints)) or 0,
        alarms_by_state=count_by(connection, tables.alarms.c.state),
        state_changes=connection.scalar(changes.where(tables.history.c.type == "StateUpdate")) or 0,
        # Messages that carry others are no actions of their own.
        deliveries_by_status=count_by(
            connection, tables.outbox.c.status, tables.outbox.c.kind == "change"
        ),
    )


def count_by(
    connection: Connection, column: Column[str], where: ColumnElement[bool] | None = None
) -> dict[str, int]:
    """Count the rows of a column's table by its values."""
    query = select(column, func.count()).group_by(column).order_by(column)
    if where is not None:
        query = query.where(where)
    return {str(value): int(count) for value, count in connection.execute(query)}
