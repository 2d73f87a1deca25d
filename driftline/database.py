"""The one SQL database: how it is opened, and how its schema is brought up to date.

SQLite by default: write-ahead log, writers queue for the lock at once (BEGIN IMMEDIATE) in place of
failing half way, and wait for it up to thirty seconds. Every room keeps its own tables; Alembic
holds their common history in driftline/migrations.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from driftline.errors import UnavailableError
from driftline.settings import Settings, SettingsError

__all__ = ["migrate", "open_database"]

BUSY_TIMEOUT_MS = 30_000


def open_database(settings: Settings, *, read_only: bool = False) -> Engine:
    """Open the database that the settings name.

    Parameters
    ----------
    read_only
        For processes that only look: their transactions never wait for the writers' lock.

    Raises
    ------
    SettingsError
        When the URL is no database URL, or names a database that this version cannot use.
    UnavailableError
        When the file or its folder cannot be made.
    """
    try:
        url = make_url(settings.database_url)
    except ArgumentError as error:
        raise SettingsError(
            f'[database] url: "{settings.database.url}" is no database URL; '
            "expected for example sqlite:////var/lib/driftline/driftline.db"
        ) from error
    if url.get_backend_name() != "sqlite":
        raise SettingsError(
            f'[database] url: backend "{url.get_backend_name()}"; '
            "this version keeps its rows in SQLite"
        )
    if url.database and url.database != ":memory:":
        _make_private(Path(url.database))
    engine = create_engine(url)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin if read_only else _begin_immediate)
    return engine


def migrate(engine: Engine) -> str:
    """Bring the schema up to date, in one transaction, and give its revision.

    Raises
    ------
    UnavailableError
        When the database cannot be opened or is locked by another process for too long.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
            return str(found.scalar_one())
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error)
        raise UnavailableError(
            f"database {engine.url.render_as_string(hide_password=True)}: {reason}"
        ) from error


def _make_private(file: Path) -> None:
    """Make the file for its owner alone: it holds the secrets that messages are signed with."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"database {file}: {error.strerror}") from error


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions by itself: the listeners below do.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
