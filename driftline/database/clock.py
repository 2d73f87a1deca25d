"""The time that all who share a database agree on, by which leases begin and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.engine import read_connection

# How far two clocks lie apart changes by milliseconds in so long.
MEASURED_EVERY_S = 60.0


def database_time(connection: Connection) -> datetime:
    """Return the time of PostgreSQL's server; of SQLite, which is of one host, that of the host."""
    if connection.dialect.name != "postgresql":
        return datetime.now(UTC)
    there: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return there


class DatabaseClock:
    """PostgreSQL's time: by a host's clock that is ahead, leases of others would be free."""

    def __init__(self, engine: Engine, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._monotonic = engine, monotonic
        self._lock = threading.Lock()
        self._read: tuple[datetime, float] | None = None  # The server's time, and when it was so.
        self._tried_s = 0.0

    def __call__(self) -> datetime:
        """Return the time now, in UTC."""
        if self._engine.dialect.name != "postgresql":
            return datetime.now(UTC)
        with self._lock:  # Who comes during the first look waits: the host's time is no answer.
            if self._read is None or self._monotonic() - self._tried_s >= MEASURED_EVERY_S:
                self._look()
            assert self._read is not None
            there, at_s = self._read
        # Not by the host's clock, which somebody may set meanwhile.
        return there + timedelta(seconds=self._monotonic() - at_s)

    def _look(self) -> None:
        before_s = self._tried_s = self._monotonic()
        try:
            with read_connection(self._engine) as connection:
                there = database_time(connection)
        except SQLAlchemyError:
            if self._read is None:
                raise
            # What is asked next fails by itself; that clock goes on as this machine counts.
        else:
            self._read = there, (before_s + self._monotonic()) / 2
