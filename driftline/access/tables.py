"""The SQL tables of this package: tokens and access keys, sessions, the audit log."""

from __future__ import annotations

from sqlalchemy import DDL, JSON, Column, Index, Integer, MetaData, String, Table, event

from driftline.database.columns import CONSTRAINT_NAMES, BigCount, FreeText, UtcDateTime

metadata = MetaData(naming_convention=CONSTRAINT_NAMES)

# Tokens and access keys. A token's secret is never stored: it has 256 random bits, so its SHA-256
# can be neither inverted nor guessed, and needs no salt. Signatures of AWS need the secret itself:
# it is sealed with the key of channels' secrets, which is in no database.
credentials = Table(
    "access_credentials",
    metadata,
    Column("kind", String(16), primary_key=True),  # token or access-key.
    Column("name", String(128), primary_key=True),
    Column("digest", String(64), unique=True),
    Column("access_key_id", String(32), unique=True),
    Column("sealed", String(512)),  # None: a token's, or revoked, and forgotten.
    Column("roles", JSON, nullable=False),
    Column("endpoints", JSON(none_as_null=True)),  # None: all.
    Column("created_by", String(255), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

# A person who has logged in to the dashboard.
sessions = Table(
    "access_sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("subject", String(255), nullable=False),
    Column("roles", JSON, nullable=False),
    # Name of the token by which it began, and with which it ends; None: begun otherwise.
    Column("token", String(128)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

# Rows are only added: the database itself refuses all else, from whatever program.
audit = Table(
    "access_audit",
    metadata,
    Column("id", BigCount, primary_key=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("subject", String(255), nullable=False),
    Column("via", String(16), nullable=False),  # How the subject showed who it is.
    Column("action", String(64), nullable=False),  # create, update, delete, or method and route.
    Column("target", FreeText, nullable=False),
    Column("status", Integer),  # Of the answer; None where the row is part of the change itself.
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Index("ix_access_audit_subject_id", "subject", "id"),
)

_SQLITE = """
CREATE TRIGGER access_audit_no_{verb} BEFORE {verb} ON access_audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
_POSTGRESQL = (
    """
    CREATE FUNCTION access_audit_append_only() RETURNS trigger AS
    $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$ LANGUAGE plpgsql
    """,
    """
    CREATE TRIGGER access_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_audit
    FOR EACH STATEMENT EXECUTE FUNCTION access_audit_append_only()
    """,
)
for dialect, statements in {
    "sqlite": [_SQLITE.format(verb=verb) for verb in ("UPDATE", "DELETE")],
    "postgresql": _POSTGRESQL,
}.items():
    for statement in statements:
        event.listen(audit, "after_create", DDL(statement).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]
