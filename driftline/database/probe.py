"""Tests by a write whether the database accepts writes.

A database that is full, or read-only, still answers every query.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.engine import failure_sentence
from driftline.database.urls import without_password

# Who waits longer for a lock waits for somebody who writes.
_WAIT_MS = 1_000


def write_failure(engine: Engine) -> str:
    """Return in one sentence why the database takes no writes, and the mend; empty if it does."""
    # Beside the pool: the probe must not wait where requests have taken all connections.
    beside = Engine(engine.pool.recreate(), engine.dialect, engine.url, hide_parameters=True)
    try:
        if engine.dialect.name != "sqlite":
            return _write_postgres(beside)
        _write_sqlite(beside)
    except (SQLAlchemyError, sqlite3.Error) as error:
        return "" if "locked" in str(error) else failure_sentence(engine, error)
    finally:
        beside.dispose()
    return ""


def _write_postgres(engine: Engine) -> str:
    """Take the number of a transaction, which the server writes down when it ends."""
    with engine.begin() as connection:
        if connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on":
            shown = without_password(engine.url.render_as_string(hide_password=True))
            return f"database {shown}: read-only; let it take writes, or name the primary server"
        connection.execute(text("SELECT txid_current()"))
    return ""


def _write_sqlite(engine: Engine) -> None:
    # Not by a connection of SQLAlchemy's: its transactions wait for thirty seconds.
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {_WAIT_MS}")
        # A number of the file's that nobody uses, written as it is.
        (version,) = cursor.execute("PRAGMA user_version").fetchone()
        cursor.execute(f"PRAGMA user_version = {version}")
