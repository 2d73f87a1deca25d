"""The rows of a query: one SELECT, in a read-only transaction, for a limited time."""

from __future__ import annotations

import sqlite3
import time as clock
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pyarrow as pa
from sqlalchemy import Connection, CursorResult, Engine, NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from driftline.capture.windows.window import Window
from driftline.database.disconnects import is_disconnect
from driftline.database.engine import failure_sentence, open_database, sqlite_file
from driftline.errors import InputError, UnavailableError
from driftline.formats.cells import as_text
from driftline.formats.coercion import text_array
from driftline.monitors.external.files import TimeColumn

MOST_ROWS = 20_000_000
_FETCHED_ROWS = 10_000
_DAY = timedelta(days=1)
# Steps of SQLite's machine between two looks at the clock.
_STEPS = 10_000
# As SQLite and PostgreSQL call a statement that took too long.
_INTERRUPTED, _CANCELLED = "interrupted", "57014"
_FILE_TROUBLE = ("unable to open", "database is locked", "disk I/O error")
_NOT_OF_ONE_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


class QueryRows:
    """Columns and rows of a running query; they can be read once."""

    def __init__(
        self, result: CursorResult[tuple[object, ...]], shown: str, timeout_s: float
    ) -> None:
        self._result, self._shown = result, shown
        self._timeout_s, self._end = timeout_s, clock.monotonic() + timeout_s
        self.names = list(result.keys())

    def first(self) -> tuple[object, ...]:
        """Return the first row."""
        return tuple(self._result.one())

    def batches(
        self, columns: Sequence[str], time: TimeColumn | None = None, window: Window | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read columns of all rows; the query has selected them."""
        places = [self.names.index(name) for name in columns]
        count = 0
        for rows in self._result.partitions(_FETCHED_ROWS):
            count += len(rows)
            # PostgreSQL times each part of a cursor's rows by itself.
            if clock.monotonic() > self._end:
                raise _took_too_long(self._shown, self._timeout_s)
            if count > MOST_ROWS:
                raise InputError(
                    f"{self._shown}: more than {MOST_ROWS:,} rows for one window; expected fewer: "
                    "shorten the window, or count in the query"
                )
            values = list(zip(*rows, strict=True))
            arrays = [_array(values[place]) for place in places]
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


@contextmanager
def running(
    query: str, url: str, connection: str, *, window: Window, zone: str, timeout_s: float
) -> Iterator[QueryRows]:
    """Run a query with ``:start`` and ``:end`` of a window; a context manager that ends it.

    PostgreSQL gets times with their zone and compares times without one in ``zone``; SQLite, which
    has texts only, gets texts such as 2026-01-15 06:00:00 in that zone. A query that would write is
    refused.
    """
    shown = f"query on {connection}"
    engine = _engine(url, connection, timeout_s)
    try:
        with engine.connect() as session:
            if engine.dialect.name != "sqlite":
                _prepare(session, zone, timeout_s)
            statement = text(query.rstrip().removesuffix(";"))
            # Of PostgreSQL a cursor of the server's: rows come as they are asked for.
            session = session.execution_options(stream_results=True, max_row_buffer=_FETCHED_ROWS)
            wanted = statement.compile().params
            bounds = {
                "start": window.start - _turned(window.start, zone),
                "end": window.end + _turned(window.end, zone),
            }
            given = {name: _bound(bounds[name], zone, engine) for name in wanted}
            with session.execute(statement, given) as result:
                yield QueryRows(result, shown, timeout_s)
    except (SQLAlchemyError, sqlite3.Error) as error:
        # Without what SQLAlchemy adds: the statement, and where to read about the error.
        told = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        if (
            told == _INTERRUPTED
            or getattr(getattr(error, "orig", None), "sqlstate", None) == _CANCELLED
        ):
            raise _took_too_long(shown, timeout_s) from None
        if not _is_away(error, told):
            raise InputError(f"{shown}: {told}") from None
        told = failure_sentence(engine, error).replace("[database] url", "[query] connections")
        raise UnavailableError(f"{shown}: {told}") from None
    finally:
        engine.dispose()


def _took_too_long(shown: str, timeout_s: float) -> InputError:
    return InputError(
        f"{shown}: took longer than {timeout_s:g} s; expected less: shorten the window, or give "
        "the column of times an index"
    )


def counting(query: str, time: str | None) -> str:
    """Return the query of another one's row count and newest time."""
    newest = "" if time is None else ', max("{}")'.format(time.replace('"', '""'))
    inner = query.rstrip().removesuffix(";")
    return f"SELECT count(*){newest} FROM (\n{inner}\n) AS counted"  # noqa: S608 - as it was declared.


def _engine(url: str, connection: str, timeout_s: float) -> Engine:
    """Open a user's database to read; nothing is created, set or cached in it."""
    file = sqlite_file(url)
    if file is not None:

        def connect() -> sqlite3.Connection:
            found = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
            found.execute("PRAGMA query_only = ON")
            deadline = clock.monotonic() + timeout_s
            found.set_progress_handler(lambda: clock.monotonic() > deadline, _STEPS)
            return found

        return create_engine(url, creator=connect, poolclass=NullPool, hide_parameters=True)
    try:
        return open_database(url, read_only=True)
    except InputError as error:
        told = str(error).replace("[database] url", f'[query] connections, "{connection}"')
        raise InputError(told) from None


def _prepare(session: Connection, zone: str, timeout_s: float) -> None:
    """Limit PostgreSQL's statement time, and set the zone of times without one."""
    session.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}")
    session.execute(text("SELECT set_config('TimeZone', :zone, true)"), {"zone": zone})


def _turned(moment: datetime, zone: str) -> timedelta:
    """Return the largest clock change of a zone within a day of a moment.

    Databases and Arrow read a local time that occurs twice, or never, as different moments; surplus
    rows are dropped once their times have been read.
    """
    around = (moment - _DAY, moment + _DAY)
    before, after = (one.astimezone(ZoneInfo(zone)).utcoffset() for one in around)
    assert before is not None
    assert after is not None
    return abs(after - before)


def _bound(moment: datetime, zone: str, engine: Engine) -> object:
    if engine.dialect.name == "sqlite":
        return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"
    return moment


def _is_away(error: SQLAlchemyError | sqlite3.Error, told: str) -> bool:
    """Whether the database, not the statement, failed; SQLite reports both alike."""
    if told.startswith(_FILE_TROUBLE):
        return True
    is_sqlite = isinstance(getattr(error, "orig", error), sqlite3.Error)
    return not is_sqlite and isinstance(error, SQLAlchemyError) and is_disconnect(error)


def _array(values: Sequence[object]) -> pa.Array:
    """Return a column of a driver's values; mixed types become texts."""
    try:
        return pa.array(values)
    except _NOT_OF_ONE_TYPE:
        return text_array([None if value is None else as_text(value) for value in values])
