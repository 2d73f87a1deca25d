"""The SQL tables of this package: resources, the installation, the servers on it."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Integer,
    MetaData,
    String,
    Table,
)

from driftline.database.columns import CONSTRAINT_NAMES, UtcDateTime

metadata = MetaData(naming_convention=CONSTRAINT_NAMES)

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

# One row, written by the migration that made the table: tells this database from all others.
installation = Table(
    "serving_installation",
    metadata,
    Column("id", String(36), primary_key=True),
    # Counts up with each change of what is to be served: servers look at this number alone.
    Column("changes", Integer, nullable=False, server_default="0"),
)

# Which models the servers on this database run on (model_uses.py).
servers = Table(
    "serving_servers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("model_files", JSON, nullable=False),  # Relative to the storage root.
    Column("until", UtcDateTime, nullable=False),
)
