"""Having a database forget the bytes of rows that were changed, which it keeps in free places."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from driftline.errors import UnavailableError


def write_anew(engine: Engine, tables: Sequence[str]) -> None:
    """Rewrite SQLite's file and empty its log; on PostgreSQL, rewrite these tables.

    UnavailableError: another connection keeps an older state open, so the bytes are not gone yet.
    """
    try:
        if engine.dialect.name == "sqlite":
            is_done = _rewrite_sqlite(engine)
        else:
            outside = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            with outside as connection:
                connection.exec_driver_sql(f"VACUUM FULL {', '.join(tables)}")
            is_done = True
    except (engine.dialect.loaded_dbapi.Error, DBAPIError) as error:
        raise UnavailableError(
            f"database: what was erased is not gone from its file yet ({error}); erase again"
        ) from error
    if not is_done:
        raise UnavailableError(
            "database: what was erased is not gone from its log yet, since somebody reads an "
            "older state of it; erase again"
        )


def _rewrite_sqlite(engine: Engine) -> bool:
    """Return whether the log could be emptied; readers of it are waited for, as for a lock."""
    # Not by a connection of SQLAlchemy's: that would begin a transaction.
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(is_busy, *_)] = cursor.fetchall()
        return not is_busy
