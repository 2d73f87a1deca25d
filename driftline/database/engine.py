"""Opens the one SQL database, and connections that only read.

SQLite by default: write-ahead log; writers queue for the lock at once (BEGIN IMMEDIATE) instead of
failing half way, and wait for it up to thirty seconds. PostgreSQL by URL: READ COMMITTED, and
advisory locks guard what must not happen twice (dialects.py). A process that ends in order leaves
everything in the SQLite file itself, so that a copy of it alone is whole.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from driftline.database.urls import without_password
from driftline.errors import InputError, UnavailableError

BUSY_TIMEOUT_MS = 30_000
# A server that does not answer must not hold up a start for libpq's two minutes and more.
CONNECT_TIMEOUT_S = 10
# Firewalls drop idle connections silently; the probes notice within a minute.
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
# Older connections are replaced, so that one moved to another server is found again.
RECYCLE_S = 1800
# Who finds every connection in use is told so while its client still waits.
POOL_TIMEOUT_S = 5
# On SQLite readers must not wait behind writers that queue for the lock, each with a connection: as
# many as the threads of a server, 40 of Starlette's and a few more. PostgreSQL takes 100 from all
# its clients as it comes, so there are SQLAlchemy's 15 for each process.
SQLITE_CONNECTIONS = 50
POSTGRES_NAMES = ("postgres", "postgresql", "postgresql+psycopg")


class DatabaseUrlError(InputError):
    """A database URL names no database that can be used."""


def open_database(url: str, *, read_only: bool = False) -> Engine:
    """Open a database; ``read_only``: a transaction sees one moment, and waits for no writer."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # The latter of a port that is no number.
        raise DatabaseUrlError(
            f'[database] url: "{without_password(url)}" is no database URL; '
            "expected for example sqlite:////var/lib/driftline/driftline.db or "
            "postgresql://user:password@host/database"
        ) from error
    if parsed.drivername in POSTGRES_NAMES:
        return _open_postgres(parsed, read_only=read_only)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, read_only=read_only)
    raise DatabaseUrlError(
        f'[database] url: "{parsed.drivername}" is not a database that can be used; '
        "expected sqlite or postgresql"
    )


@contextmanager
def using_database(url: str, *, read_only: bool = False) -> Iterator[Engine]:
    """Open the database as `open_database` does, and close it at the end of the block."""
    engine = open_database(url, read_only=read_only)
    try:
        yield engine
    finally:
        engine.dispose()


def sqlite_files(url: str) -> list[Path]:
    """Return a SQLite database's file, as named and as it is, its logs and its journal."""
    file = sqlite_file(url)
    if file is None:
        return []
    return [file, *(Path(f"{file.resolve()}{end}") for end in ("", "-wal", "-shm", "-journal"))]


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database; None of any other, and of a URL that is none."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return None  # What is wrong with it is told where the database is opened.
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database != ":memory:"
    return Path(parsed.database) if is_file and parsed.database else None


def read_connection(engine: Engine) -> Connection:
    """Return a connection that only reads: it neither takes SQLite's lock nor waits for it."""
    return engine.connect().execution_options(reads_only=True)


def failure_sentence(engine: Engine, error: SQLAlchemyError | sqlite3.Error) -> str:
    """Return one sentence: which database does not answer, why, and the fix."""
    where = without_password(engine.url.render_as_string(hide_password=True))
    # libpq puts the cause last on its line, and tries host after host, each on a line.
    first = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    reason = first.rsplit("FATAL: ", 1)[-1].strip()
    mend = "start the server" if engine.dialect.name == "postgresql" else "see to its file and disk"
    return f"database {where}: {reason}; {mend}, or correct [database] url"


def _open_sqlite(url: URL, *, read_only: bool) -> Engine:
    pool = {}
    if url.database and url.database != ":memory:":
        _make(Path(url.database))
        pool = {"max_overflow": SQLITE_CONNECTIONS - 5, "pool_timeout": POOL_TIMEOUT_S}
    engine = create_engine(url, hide_parameters=True, json_deserializer=_load_json, **pool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine.execution_options(reads_only=True) if read_only else engine


def _open_postgres(url: URL, *, read_only: bool) -> Engine:
    # Prepared statements outlive an upgrade by another process, and fail then; connection poolers
    # do not know them at all.
    wanted = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "client_encoding": "utf8",
        "prepare_threshold": None,
        **KEEPALIVE,
    }
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={key: value for key, value in wanted.items() if key not in url.query},
            # A connection that a restart of the server has cut is replaced before it is used.
            pool_pre_ping=True,
            pool_recycle=RECYCLE_S,
            pool_timeout=POOL_TIMEOUT_S,
            # Rows hold secrets of channels; errors are logged.
            hide_parameters=True,
            json_deserializer=_load_json,
            isolation_level="READ COMMITTED",
        )
    except ImportError as error:
        raise DatabaseUrlError(
            "[database] url: PostgreSQL needs a package that is not installed; "
            'install it by: pip install "psycopg[binary]"'
        ) from error
    event.listen(engine, "connect", _prepare_postgres)
    if read_only:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


def _load_json(stored: str | bytes) -> Any:  # noqa: ANN401 # Any value of JSON.
    """Read a JSON column; half of a surrogate pair, which no answer can hold, is replaced."""
    text = stored if isinstance(stored, str) else stored.decode()
    found = json.loads(text)
    if "\\ud" not in text:
        return found
    whole = json.dumps(found, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(whole.decode("utf-16", "replace"))


def _make(file: Path) -> None:
    """Create the database's file in one step: with a write-ahead log, and for its owner alone.

    Processes that change the journal of one file at the same moment are refused at once, without a
    wait; here the second finds it made. The file holds the signing secrets of channels.
    """
    if file.exists():
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as folder:
            new = Path(folder) / file.name
            new.touch(mode=0o600)
            with closing(sqlite3.connect(new)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):
                os.link(new, file)
    except (OSError, sqlite3.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UnavailableError(f"database {file}: {why}") from error


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions by itself: the listeners below do.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _prepare_postgres(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # As long as SQLite waits: a process that hangs in its transaction must not hang all others.
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = {BUSY_TIMEOUT_MS}")
    cursor.close()
    connection.autocommit = False


def _begin_sqlite(connection: Connection) -> None:
    # Who says that it only reads holds up no writer; it must not write then.
    reads = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
