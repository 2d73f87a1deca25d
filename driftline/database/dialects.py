"""What SQLite and PostgreSQL are asked in different words: locks, upserts, tests, rewriting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from driftline.database.engine import failure_sentence
from driftline.database.urls import without_password
from driftline.errors import UnavailableError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

# Who waits longer for a lock waits for somebody who writes.
_WAIT_MS = 1_000


def advisory_lock(connection: Connection, name: str) -> None:
    """Wait for the lock of a name and keep it until the transaction ends.

    For transactions for which no row exists yet: PostgreSQL at READ COMMITTED lets two of them each
    find nothing and each write. SQLite has one writer at a time anyway. Take it before the
    transaction's first read; several in the same order everywhere.
    """
    if connection.dialect.name == "postgresql":
        key = func.hashtextextended(name, 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that has ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    # Imported here: the one that is in use has been imported by then, and the other is not small.
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        return insert(table)
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite(table)


def write_failure(engine: Engine) -> str:
    """Return why the database takes no writes, and the mend; empty if it does."""
    # Beside the pool: the probe must not wait where requests have taken all connections.
    beside = Engine(engine.pool.recreate(), engine.dialect, engine.url, hide_parameters=True)
    try:
        with beside.connect() as connection:
            ask = connection.exec_driver_sql
            if engine.dialect.name == "sqlite":
                ask(f"PRAGMA busy_timeout = {_WAIT_MS}")
                # A number of the file's that nobody uses, written as it is.
                ask(f"PRAGMA user_version = {ask('PRAGMA user_version').scalar_one()}")
            elif ask("SHOW transaction_read_only").scalar_one() == "on":
                where = without_password(engine.url.render_as_string(hide_password=True))
                return f"database {where}: read-only; let it take writes, or name the primary"
            else:  # The number of a transaction, which the server writes down when it ends.
                ask("SELECT txid_current()")
                connection.commit()
    except SQLAlchemyError as error:
        return "" if "locked" in str(error) else failure_sentence(engine, error)
    finally:
        beside.dispose()
    return ""


def write_anew(engine: Engine, tables: Sequence[str]) -> None:
    """Have the database forget the bytes of rows that were changed, which it keeps in free places.

    Rewrites SQLite's file and empties its log, or these tables of PostgreSQL. UnavailableError:
    another connection keeps an older state open, so the bytes are not gone yet.
    """
    # Without what begins transactions for others.
    bare = Engine(engine.pool, engine.dialect, engine.url, hide_parameters=True)
    is_busy = 0
    try:
        with bare.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("VACUUM")
                log = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                [(is_busy, *_)] = log.all()
            else:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql(f"VACUUM FULL {', '.join(tables)}")
    except DBAPIError as error:
        raise UnavailableError(
            f"database: what was erased is not gone from its file yet ({error}); erase again"
        ) from error
    if is_busy:
        raise UnavailableError(
            "database: what was erased is not gone from its log yet, since somebody reads an "
            "older state of it; erase again"
        )
