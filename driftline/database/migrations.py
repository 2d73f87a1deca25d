"""The schema of the database: its revision, and bringing it up to date.

Each package that keeps rows has its own tables; Alembic holds their common history in
driftline/migrations.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.engine import BUSY_TIMEOUT_MS, CHECKPOINT_TIMEOUT_MS, failure_sentence
from driftline.database.urls import without_password
from driftline.errors import ConflictError, InputError, UnavailableError

# Any fixed number would do; this one is "driftlin" in ASCII.
MIGRATION_LOCK = 0x647269_66746C696E
# PostgreSQL lists a session for a moment after its client has closed it, our own too.
_ENDING_S = 2.0
_OTHERS = """
SELECT EXISTS (SELECT FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')
"""


def migrate(engine: Engine, to: str | None = None) -> str:
    """Return the schema's revision after bringing it there, in one transaction.

    Several processes may do so at once: one works, the others wait and find it done.

    Parameters
    ----------
    engine
        The database.
    to
        A revision that this version of driftline knows, such as "0015", back to which an older
        version can be installed again; tables and columns that came after it are dropped with
        what they hold. None: the newest.

    Raises
    ------
    InputError
        When no such revision is known.
    UnavailableError
        When the database cannot be opened or is locked by another process for too long.
    ConflictError
        When its schema is newer than this version of driftline, or cannot be brought there; on the
        way back also while another process has the database open.
    """
    readable = known_revisions()
    wanted = readable[0] if to is None else to
    if wanted not in readable:
        raise InputError(
            f'schema "{wanted}" is unknown; expected {readable[-1]} to {readable[0]}, which this '
            "version of driftline knows"
        )
    where = without_password(engine.url.render_as_string(hide_password=True))
    if to is not None:
        engine.dispose()  # Its own idle connections are nobody else's.
    try:
        with _transaction(engine, may_go_back=to is not None) as connection:
            if to is not None:
                _require_unused(connection, where)
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            stored = stored_revision(connection)
            if stored is not None and stored not in readable:
                raise ConflictError(
                    f"database {where}: its schema {stored} is of a newer driftline than this one, "
                    f"which knows it up to {readable[0]}; install the newer one, or run "
                    f"`driftline migrate --to {readable[0]}` with it, or set another [database] url"
                )
            if stored != wanted:
                is_back = stored is not None and wanted < stored
                _move(connection, where, to or "head", is_back=is_back)
            return wanted
    except SQLAlchemyError as error:
        raise UnavailableError(failure_sentence(engine, error)) from error


@contextmanager
def _transaction(engine: Engine, *, may_go_back: bool) -> Iterator[Connection]:
    """Begin a transaction, in which tables that others refer to may be made anew to go back.

    SQLite drops no column in place.
    """
    with engine.connect() as connection:
        is_loose = may_go_back and engine.dialect.name == "sqlite"
        if is_loose:
            _pragma(connection, "foreign_keys = OFF")
            _pragma(connection, f"busy_timeout = {CHECKPOINT_TIMEOUT_MS}")
            # Refused while anybody else has the file open.
            with suppress(sqlite3.OperationalError):
                _pragma(connection, "journal_mode = DELETE")
        try:
            with connection.begin():
                yield connection
        finally:
            if is_loose:
                _pragma(connection, f"busy_timeout = {BUSY_TIMEOUT_MS}")
                _pragma(connection, "foreign_keys = ON")
                with suppress(sqlite3.OperationalError):
                    _pragma(connection, "journal_mode = WAL")


def _pragma(connection: Connection, text: str) -> None:
    """Set what SQLite heeds outside of transactions only."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(f"PRAGMA {text}")


def _require_unused(connection: Connection, where: str) -> None:
    """Refuse to take away tables that a running process works with; it would bring them back."""
    if connection.dialect.name == "sqlite":
        is_used = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    else:
        until = time.monotonic() + _ENDING_S
        while is_used := connection.exec_driver_sql(_OTHERS).scalar_one():
            if time.monotonic() >= until:
                break
            time.sleep(0.05)
            # A transaction sees what it has seen of the others once.
            connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
    if is_used:
        raise ConflictError(
            f"database {where}: other processes have it open; stop all processes of driftline on "
            "every machine (server, capture or sink, scheduler, alarms, dashboard), then run this "
            "again"
        )


def stored_revision(connection: Connection) -> str | None:
    """Return the revision of the schema that a database has; None when it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    query = "SELECT version_num FROM alembic_version"
    return connection.exec_driver_sql(query).scalar_one_or_none()


def known_revisions() -> tuple[str, ...]:
    """Return the revisions of the schema that this version of driftline knows, newest first."""
    scripts = (_folder() / "versions").glob("[!_]*.py")
    return tuple(sorted((script.stem.partition("_")[0] for script in scripts), reverse=True))


def _folder() -> Path:
    return Path(__file__).parents[1] / "migrations"


def _move(connection: Connection, where: str, wanted: str, *, is_back: bool) -> None:
    # Imported here: every process looks at the schema, and Alembic is slow to import.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_folder()))
    config.attributes["connection"] = connection
    try:
        (command.downgrade if is_back else command.upgrade)(config, wanted)
    except CommandError as error:
        raise ConflictError(
            f"database {where}: its schema cannot be migrated ({error}); restore a copy, "
            "or set another [database] url"
        ) from error
