"""The schema of all packages' tables: its revision, and bringing it up to date by Alembic."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.engine import failure_sentence
from driftline.database.urls import without_password
from driftline.errors import ConflictError, UnavailableError

# Any fixed number would do; this one is "driftlin" in ASCII.
MIGRATION_LOCK = 0x647269_66746C696E


def migrate(engine: Engine) -> str:
    """Bring the schema up to date in one transaction, or wait for who does; return its revision."""
    known = known_revisions()
    where = without_password(engine.url.render_as_string(hide_password=True))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            stored = stored_revision(connection)
            if stored is not None and stored not in known:
                raise ConflictError(
                    f"database {where}: schema {stored} is unknown to this version of driftline, "
                    f"which knows {', '.join(reversed(known))}; install the version that made it, "
                    "or set another [database] url"
                )
            if stored != known[0]:
                _upgrade(connection, where)
            return known[0]
    except SQLAlchemyError as error:
        raise UnavailableError(failure_sentence(engine, error)) from error


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


def _upgrade(connection: Connection, where: str) -> None:
    # Imported here: every process looks at the schema, and Alembic is slow to import.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_folder()))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConflictError(
            f"database {where}: its schema cannot be migrated ({error}); restore a copy, "
            "or set another [database] url"
        ) from error
