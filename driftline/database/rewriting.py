"""Having a database forget the bytes of rows that were changed, which it keeps in free places."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Engine
from sqlalchemy.engine.interfaces import DBAPICursor

from driftline.errors import UnavailableError

# As long as SQLite and PostgreSQL wait for each other's locks.
_PATIENCE_S = 30.0


def write_anew(engine: Engine, tables: Sequence[str]) -> None:
    """Rewrite SQLite's file and empty its log; of PostgreSQL, rewrite these tables.

    Raises
    ------
    UnavailableError
        Somebody keeps an older state open: the bytes are not gone yet.
    """
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        if engine.dialect.name == "sqlite":
            cursor.execute("VACUUM")
            _empty_log(cursor)
        else:
            driver = connection.driver_connection
            assert driver is not None
            driver.rollback()
            driver.autocommit = True
            try:
                cursor.execute(f"VACUUM FULL {', '.join(tables)}")
            finally:
                driver.autocommit = False
        cursor.close()
    except engine.dialect.loaded_dbapi.Error as error:
        raise UnavailableError(
            f"database: what was erased is not gone from its file yet ({error}); erase again"
        ) from error
    finally:
        connection.close()


def _empty_log(cursor: DBAPICursor) -> None:
    """Write SQLite's log into its file and cut it to nothing, as soon as no reader needs it."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = cursor.fetchone()
        if found is None or not found[0]:
            return
        if time.monotonic() > end:
            raise UnavailableError(
                "database: what was erased is not gone from its log yet, since somebody reads an "
                "older state of it; erase again"
            )
        time.sleep(0.1)
