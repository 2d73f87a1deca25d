"""The one database: SQLite as a file, PostgreSQL as a real server, told apart by the URL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, func, insert, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from driftline.access.tables import metadata as access
from driftline.alerts.tables import metadata as alerts
from driftline.alerts.tables import metrics
from driftline.database.disconnects import is_disconnect
from driftline.database.engine import DatabaseUrlError, open_database, read_connection
from driftline.database.migrations import known_revisions, migrate, stored_revision
from driftline.errors import ConflictError
from driftline.monitors.tables import metadata as monitors
from driftline.serving.tables import metadata as serving
from tests.servers.commands import talking
from tests.servers.postgres import Postgres, open_url

MOMENT = datetime(2013, 1, 1, tzinfo=UTC)
TABLES: list[MetaData] = [access, alerts, monitors, serving]


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, of each kind."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/rows.db"
        return
    server = request.getfixturevalue("postgres")
    name = server.new_database(template="template0")
    yield server.url(name)
    server.drop(name)


def test_a_fresh_database_has_exactly_the_declared_tables(empty_url: str) -> None:
    engine = open_url(empty_url)

    migrate(engine)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, TABLES) == []  # type: ignore[arg-type]  # takes a list, too
    engine.dispose()


@pytest.mark.parametrize("stored", ["0000", "0001", "9999"])
def test_a_schema_of_another_version_is_refused_and_left_alone(empty_url: str, stored: str) -> None:
    engine = open_url(empty_url)
    known = migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": stored})

    expected = f"schema {stored} is unknown to this version of driftline, which knows {known};"
    with pytest.raises(ConflictError, match=expected):
        migrate(engine)
    with engine.connect() as connection:
        assert stored_revision(connection) == stored
    engine.dispose()


def test_the_revision_is_named_after_the_tables_that_are_declared() -> None:
    """Otherwise a database of other tables would pass for a current one, and fail when used."""
    digest, dialect = hashlib.blake2b(digest_size=4), sqlite.dialect()  # type: ignore[no-untyped-call]
    for metadata in TABLES:
        for table in metadata.sorted_tables:
            indexes = sorted(table.indexes, key=lambda one: str(one.name))
            for statement in (CreateTable(table), *map(CreateIndex, indexes)):
                digest.update(str(statement.compile(dialect=dialect)).encode())

    expected = f"0001{digest.hexdigest()}"
    assert known_revisions() == (expected,), "name the initial revision, and its file, so"


CHILD = """
import sys
from driftline.database.migrations import migrate, stored_revision
from tests.servers.postgres import open_url
print("ready", flush=True)
sys.stdin.readline()
print(migrate(open_url(sys.argv[1])))
"""


def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    with ExitStack() as started:
        children = [started.enter_context(talking(CHILD, empty_url)) for _ in range(3)]
        for _, _, output in children:
            assert output.readline() == "ready\n"

        for _, source, _ in children:
            source.write("go\n")
        found = [output.readline() for _, _, output in children]
        codes = [process.wait(60) for process, _, _ in children]

    assert codes == [0, 0, 0]
    assert len(set(found)) == 1
    assert found[0] != ""


def test_who_only_reads_neither_waits_for_a_writer_nor_holds_one_up(engine: Engine) -> None:
    count = select(func.count()).select_from(metrics)
    row = {"key": "k", "namespace": "n", "name": "m", "dimensions": {}, "revision": 0}
    with read_connection(engine) as reader:
        assert reader.scalar(count) == 0
        # Either would end with "database is locked" if the reader had the writers' lock.
        with engine.begin() as writer:
            writer.execute(insert(metrics).values(row))
            with read_connection(engine) as another:
                assert another.scalar(count) == 0
    with read_connection(engine) as reader:
        assert reader.scalar(count) == 1


@pytest.mark.parametrize(
    "url",
    ["nonsense", "postgresql//u:secret@h/d", "mysql://u:secret@h/d",
     "postgresql+asyncpg://u:secret@h/d"],
)  # fmt: skip
def test_other_databases_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as raised:
        open_database(url)

    assert "secret" not in str(raised.value)


@pytest.mark.postgres
def test_errors_show_no_rows_and_a_cut_connection_is_told_from_a_wrong_statement(
    postgres: Postgres,
) -> None:
    engine = open_url(postgres.url(postgres.new_database()))
    values = {"key": "k" * 99, "namespace": "secret", "name": "n", "dimensions": {}}

    with pytest.raises(DBAPIError) as wrong, engine.begin() as connection:
        connection.execute(insert(metrics).values(**values))
    with pytest.raises(DBAPIError) as cut, engine.connect() as connection:
        process = connection.scalar(text("SELECT pg_backend_pid()"))
        postgres.execute(f"SELECT pg_terminate_backend({process})")
        connection.execute(text("SELECT 1"))

    assert "secret" not in str(wrong.value)
    assert (is_disconnect(wrong.value), is_disconnect(cut.value)) == (False, True)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
