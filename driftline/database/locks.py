"""Advisory locks by name: serialise transactions for which no row exists yet.

SQLite has one writer at a time anyway: a transaction holds the lock from its beginning. PostgreSQL
at READ COMMITTED lets two transactions each find nothing and each write; these locks order them.
"""

from __future__ import annotations

from sqlalchemy import Connection, Function, func, select


def advisory_lock(connection: Connection, name: str) -> None:
    """Wait for the lock of a name and keep it until the transaction ends.

    Parameters
    ----------
    connection
        In the transaction to guard, before its first read.
    name
        What is guarded, such as ``source:monitor:flights/20130115T000000Z``. Two names may share a
        lock by chance, which costs a wait and nothing else. Whoever takes several locks takes them
        in the same order everywhere.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_key(name))))


def shared_advisory_lock(connection: Connection, name: str) -> None:
    """Share the lock of a name until the transaction ends; `advisory_lock` excludes all sharers."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock_shared(_key(name))))


def try_advisory_lock(connection: Connection, name: str) -> bool:
    """Take the lock of a name if it is free; False, without a wait, when it is not.

    For chores that may as well be done the next time.
    """
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(_key(name)))))


def _key(name: str) -> Function[int]:
    return func.hashtextextended(name, 0)
