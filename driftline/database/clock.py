"""The time that all who share a database agree on, by which leases begin and end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.engine import read_connection

log = logging.getLogger(__name__)

# How far two clocks lie apart changes by milliseconds in so long.
MEASURED_EVERY_S = 60.0
FAR = timedelta(seconds=5)


class DatabaseClock:
    """Tells the time of PostgreSQL's server; of SQLite, which is of one host, that of the host.

    A host whose clock is ahead would otherwise take leases that others still hold, and judge
    windows that they judge. How far it is off is measured once a minute.

    Parameters
    ----------
    engine:
        Whose server's clock it is.
    host:
        The clock of this host.
    monotonic:
        The seconds by which measurements age.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        host: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._host, self._monotonic = engine, host, monotonic
        self._ahead = timedelta(0)
        self._measured_s: float | None = None

    def __call__(self) -> datetime:
        """Return the time now, in UTC."""
        if self._engine.dialect.name == "postgresql":
            now_s, last_s = self._monotonic(), self._measured_s
            if last_s is None or now_s - last_s >= MEASURED_EVERY_S:
                self._measured_s = now_s
                self._measure()
        return self._host() + self._ahead

    def _measure(self) -> None:
        before = self._host()
        try:
            with read_connection(self._engine) as connection:
                there: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        except SQLAlchemyError as error:
            # What is asked next fails by itself; the clocks lie as far apart as they did.
            log.debug("database_clock_not_read error=%s", error)
            return
        ahead = there - (before + (self._host() - before) / 2)
        if abs(ahead - self._ahead) > FAR:
            log.warning(
                "host_clock_off seconds=%.1f: leases follow the clock of the database; set the "
                "clock of this host", -ahead.total_seconds(),
            )  # fmt: skip
        self._ahead = ahead
