"""The SQL table of this room: what was declared, and what was made of it."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

__all__ = ["UtcDateTime", "metadata", "resources"]


class UtcDateTime(TypeDecorator[datetime]):
    """Aware times, in and out; stored in UTC, without a zone where the database knows none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into what the database stores; a naive one is a bug."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value.isoformat()} has no zone; expected an aware time")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Names of constraints are fixed here, so that migrations can name them on every database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One table for all kinds: what is declared has one shape, and one diff, whatever its kind.
resources = Table(
    "serving_resources",
    metadata,
    Column("kind", String(16), primary_key=True),
    # The name as it is compared: without case, save for alarms, whose names are free text.
    Column("key", String(255), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("owner", String(255)),
    Column("tags", JSON, nullable=False),
    # As declared, with defaults filled in; secrets are replaced by a digest.
    Column("spec", JSON, nullable=False),
    # Where the made thing lies: digests, locations, versions, signatures (resource_store.py).
    Column("made", JSON, nullable=False),
    # Counts up with each change.
    Column("generation", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
