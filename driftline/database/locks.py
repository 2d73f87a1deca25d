"""Advisory locks by name: serialise transactions for which no row exists yet.

SQLite has one writer at a time anyway: a transaction holds the lock from its beginning. PostgreSQL
at READ COMMITTED lets two transactions each find nothing and each write; these locks order them.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select


def advisory_lock(connection: Connection, name: str) -> None:
    """Wait for the lock of a name and keep it until the transaction ends.

    Take it before the transaction's first read. Two names may share a lock by chance, which only
    costs a wait. Whoever takes several locks takes them in the same order everywhere.
    """
    if connection.dialect.name == "postgresql":
        key = func.hashtextextended(name, 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))
