"""A queue in a table: one worker at a time has a row, by a lease on the clock that all share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Row,
    String,
    Table,
    delete,
    select,
    update,
)

from driftline.database.columns import FreeText, UtcDateTime
from driftline.database.engine import read_connection
from driftline.database.leases import Lease

LEASE = timedelta(seconds=30)
RENEW_S = 10.0


def queue_columns() -> tuple[Column[Any], ...]:
    """Return the columns of a table that a queue keeps."""
    return (
        Column("status", String(16), nullable=False),
        Column("failure_reason", FreeText),
        # Workers that took the row, save for those that gave it back for no fault of its own.
        Column("attempts", Integer, nullable=False, default=0),
        Column("next_attempt_at", UtcDateTime, nullable=False),
        Column("ended_at", UtcDateTime),
        Column("lease_owner", String(36)),
        Column("lease_until", UtcDateTime),
    )


@dataclass(frozen=True, slots=True)
class Queue:
    """The rows of a table with `queue_columns` as work, taken by ``order``, the lowest first."""

    table: Table
    key: Column[str]
    order: tuple[ColumnElement[Any], ...]
    unfinished: tuple[str, ...]

    def is_unfinished(self) -> ColumnElement[bool]:
        """Select rows that wait or are worked on."""
        return self.table.c.status.in_(self.unfinished)

    def claim(
        self, engine: Engine, owner: str, now: datetime, limit: int, *where: ColumnElement[bool]
    ) -> list[Row[Any]]:
        """Take free rows that are due, at most so many; writes only where there are some."""
        columns = self.table.c
        is_free = self.is_unfinished() & self._lease.is_free(now)
        is_due = (is_free, columns.next_attempt_at <= now, *where)
        first = select(self.key).where(*is_due).order_by(*self.order, self.key).limit(limit)
        with read_connection(engine) as connection:
            keys = connection.scalars(first).all()
        if not keys:
            return []
        taken = (
            update(self.table)
            # Asked again: another worker may have taken some meanwhile.
            .where(self.key.in_(keys), *is_due)
            .values(**self._lease.taken(owner, now), attempts=columns.attempts + 1)
            .returning(self.table)
        )
        with engine.begin() as connection:
            rows = connection.execute(taken).all()
        return sorted(rows, key=lambda row: keys.index(getattr(row, self.key.name)))

    def renew(
        self, connection: Connection, owner: str, keys: Collection[str], now: datetime,
        **values: object,
    ) -> int:  # fmt: skip
        """Keep rows, with values; return how many of them the worker still has."""
        return self._write(connection, owner, keys, values | self._lease.taken(owner, now))

    def finish(
        self, connection: Connection, owner: str, key: str, status: str, now: datetime,
        reason: str | None = None, **values: object,
    ) -> bool:  # fmt: skip
        """Store what came of a row; False when the worker does not have it any more."""
        outcome = {"status": status, "failure_reason": reason, "ended_at": now, **values}
        return bool(self._write(connection, owner, [key], outcome | self._lease.released()))

    def retry(
        self, connection: Connection, owner: str, keys: Collection[str], at: datetime,
        *, counts: bool, **values: object,
    ) -> None:  # fmt: skip
        """Let others take rows from a time on; an attempt that does not count is taken back."""
        attempts = self.table.c.attempts
        again = {"next_attempt_at": at, "attempts": attempts if counts else attempts - 1, **values}
        self._write(connection, owner, keys, again | self._lease.released())

    def drop_ended(self, connection: Connection, before: datetime) -> None:
        """Delete rows that ended before a time."""
        connection.execute(delete(self.table).where(self.table.c.ended_at < before))

    @property
    def _lease(self) -> Lease:
        columns = self.table.c
        return Lease(columns.lease_owner, columns.lease_until, LEASE)

    def _write(
        self, connection: Connection, owner: str, keys: Collection[str], values: dict[str, Any]
    ) -> int:
        is_owned = self.is_unfinished() & self._lease.is_owned(owner)
        owned = update(self.table).where(self.key.in_(keys), is_owned)
        return connection.execute(owned.values(**values)).rowcount
