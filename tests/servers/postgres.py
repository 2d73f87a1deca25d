"""A real PostgreSQL of Debian's package, once for each worker of the tests that asks for one.

The cluster lies in a folder of its own under /tmp, belongs to an unprivileged user where the tests
run as root, forgets about fsync, and ends with the process of the tests, however that ends.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import pytest
from sqlalchemy import URL, Dialect, Engine, event

from driftline.database.engine import open_database
from driftline.database.migrations import migrate
from driftline.serving.tables import installation
from driftline.settings.settings import Settings, load
from tests.servers.ports import free_port

__all__ = [
    "BOTH",
    "BOTH_IN_FULL",
    "Postgres",
    "backend",
    "both_databases",
    "both_in_full",
    "database_url",
    "engine",
    "module_database_url",
    "new_sqlite",
    "open_url",
    "postgres",
    "running",
    "settings_of",
]

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
# For a test of what SQL alone decides; a whole file of such has a `backend` of its own.
both_databases = pytest.mark.parametrize("backend", BOTH)
# The same where another test sends PostgreSQL such statements in a short run.
BOTH_IN_FULL = [
    "sqlite",
    pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.full]),
]
both_in_full = pytest.mark.parametrize("backend", BOTH_IN_FULL)
BINARIES = Path("/usr/lib/postgresql")
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "listen_addresses": "127.0.0.1",
}
# Statements are compiled for a dialect, so the engines of a worker share both.
_COMPILED: dict[object, object] = {}
_DIALECTS: dict[str, Dialect] = {}
# Waits until the tests' end of the pipe is closed, then ends the server and removes its folder.
GUARD = 'read -r _; "$1" stop -s -m immediate -D "$2/data"; rm -rf "$2"'


@dataclass
class Postgres:
    """A running server: over TCP with the password, over its socket without."""

    binaries: Path
    folder: Path
    port: int
    user: str = "driftline"
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    count: int = 0

    def url(self, database: str = "postgres", **query: str) -> str:
        """Return the URL of a database by the server's socket, which is cheapest."""
        parts = {"host": str(self.folder), **query}
        url = URL.create("postgresql", self.user, port=self.port, database=database, query=parts)
        return url.render_as_string(hide_password=False)

    def tcp_url(self, database: str = "postgres", *, password: str | None = None) -> str:
        """Return the URL of a database as users write it."""
        word = self.password if password is None else password
        return f"postgresql://{self.user}:{word}@127.0.0.1:{self.port}/{database}"

    def new_database(self, *, template: str | None = None) -> str:
        """Make a database with all tables; give its name."""
        name = self.new_name()
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template or self.migrated}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement that can be in no transaction."""
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)

    @cached_property
    def migrated(self) -> str:
        """A database with all tables, that others are copied from."""
        self.execute("CREATE DATABASE migrated TEMPLATE template0")
        engine = open_url(self.url("migrated"))
        migrate(engine)
        engine.dispose()
        return "migrated"

    def new_name(self) -> str:
        """Return a name that no database of the server has."""
        self.count += 1
        return f"test_{self.count}"

    @cached_property
    def _admin(self) -> Engine:
        engine = open_url(self.url())
        return engine.execution_options(isolation_level="AUTOCOMMIT")

    def make_durable(self) -> None:
        """Make the server keep what it commits, and clean up, as a user's does."""
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            self.execute(f"ALTER SYSTEM SET {setting} = on")
        self.restart()

    def restart(self) -> None:
        """Stop the server at once, cutting every connection, and start it again."""
        self.control("restart", "-s", "-w", "-m", "immediate")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: "immediate" cuts every connection, "fast" tells clients why first."""
        self.control("stop", "-s", "-w", "-m", mode)

    def start(self) -> None:
        """Start the server after `stop`."""
        self.control("start", "-s", "-w")

    def control(self, *words: str) -> None:
        """Call pg_ctl on the cluster."""
        run(self.binaries / "pg_ctl", *words, "-D", self.folder / "data", "-l", self.folder / "log")

    def close(self) -> None:
        """Close the connections of this object; the server ends with its guard."""
        self._admin.dispose()


def open_url(url: str, *, read_only: bool = False) -> Engine:
    """Open a database as the processes do, with the statements that earlier tests compiled.

    A process opens one engine and compiles each statement once; the tests open thousands, and an
    eighth of the time of those that use a database went into compiling.
    """
    engine = open_database(url, read_only=read_only)
    name = engine.dialect.name
    engine.update_execution_options(compiled_cache=_COMPILED)
    if name in _DIALECTS:
        engine.dialect = _DIALECTS[name]
    else:
        # SQLAlchemy's own listener came first: by then it knows the server.
        event.listen(engine, "first_connect", lambda *_: _DIALECTS.setdefault(name, engine.dialect))
    return engine


def settings_of(url: str) -> Settings:
    """Return the default settings with this database."""
    return load(environment={"DRIFTLINE_DATABASE__URL": url})


def run(*words: object) -> None:
    """Run a program of the server, as an unprivileged user: it refuses to run as root."""
    # Nothing is piped: pg_ctl leaves a server behind that would keep a pipe open.
    subprocess.run(
        [str(word) for word in words], check=True, cwd="/", stdout=subprocess.DEVNULL, **_user()
    )


def _user() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _start(binaries: Path, folder: Path) -> Postgres:
    server = Postgres(binaries, folder, free_port())
    (folder / "password").write_text(server.password)
    if os.geteuid() == 0:
        for one in (folder, folder / "password"):
            shutil.chown(one, "postgres", "postgres")
    run(
        binaries / "initdb", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
        "--auth-local=trust", "--auth-host=scram-sha-256", f"--username={server.user}",
        f"--pwfile={folder / 'password'}", "-D", folder / "data",
    )  # fmt: skip
    lines = SETTINGS | {"port": str(server.port), "unix_socket_directories": str(folder)}
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.writelines(f"{key} = '{value}'\n" for key, value in lines.items())
    server.start()
    return server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of this worker."""
    if not any(BINARIES.glob("*/bin")):
        pytest.fail(
            f"no PostgreSQL under {BINARIES}: install the Debian package postgresql, or leave "
            "these tests out with: scripts/test -m 'not postgres'"
        )
    with running() as server:
        yield server


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a server of the newest version that is installed."""
    found = sorted(BINARIES.glob("*/bin"), key=lambda one: int(one.parent.name))
    folder = Path(tempfile.mkdtemp(prefix="driftline-postgres-", dir="/tmp"))
    words = ["sh", "-c", GUARD, "guard", str(found[-1] / "pg_ctl"), str(folder)]
    with subprocess.Popen(words, cwd="/", stdin=subprocess.PIPE, **_user()):
        server = _start(found[-1], folder)
        yield server
        server.close()


@pytest.fixture
def backend() -> str:
    """SQLite; tests of what SQL alone decides take both databases."""
    return "sqlite"


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of its own for a test, with all tables."""
    with _database(backend, request, tmp_path) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty database of its own for a test, opened as the processes open it."""
    made = open_url(database_url)
    yield made
    made.dispose()


@pytest.fixture(scope="module", params=BOTH)
def module_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An empty database for all tests of a file, with all tables; first one, then the other."""
    with _database(request.param, request, tmp_path_factory.mktemp("database")) as url:
        yield url


@contextmanager
def _database(backend: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if backend == "sqlite":
        yield new_sqlite(folder)
        return
    server = request.getfixturevalue("postgres")
    name = server.new_database()
    yield server.url(name)
    server.drop(name)


def new_sqlite(folder: Path) -> str:
    """Make a SQLite file with all tables, unless it is there; give its URL."""
    file = folder / "driftline.db"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_empty_sqlite())
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(f"UPDATE {installation.name} SET id = ?", [str(uuid.uuid4())])
    return f"sqlite:///{file}"


@cache
def _empty_sqlite() -> bytes:
    """Return a SQLite file with all tables: copying it is ten times cheaper than making one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "driftline.db")
        engine = open_url(f"sqlite:///{file}")
        migrate(engine)
        engine.dispose()
        return file.read_bytes()
