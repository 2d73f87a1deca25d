"""Locks by name, for what must happen one after the other although no row stands for it yet.

SQLite has one writer at a time anyway: a transaction holds the lock from its beginning. PostgreSQL
at READ COMMITTED lets two transactions each find nothing and each write; they meet here.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, func, select


def reading(engine: Engine) -> Connection:
    """Give a connection that only reads, as a context manager.

    On SQLite a transaction takes the writers' lock from its beginning (docs/why/database.md); one
    that never writes must not wait for it, nor hold up those who do.
    """
    return engine.connect().execution_options(reads_only=True)


def hold(connection: Connection, name: str) -> None:
    """Wait for the lock of a name and keep it until the transaction ends.

    Parameters
    ----------
    connection
        In the transaction that is to be guarded, before its first read.
    name
        What is guarded, such as ``source:monitor:flights/20130115T000000Z``. Two names may share a
        lock by chance, which costs a wait and nothing else. Who holds several takes them in an
        order that all keep.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def share(connection: Connection, name: str) -> None:
    """Take part in the lock of a name until the transaction ends.

    Many share it at once; who holds it alone waits for them all, and they for it.
    """
    if connection.dialect.name == "postgresql":
        key = func.hashtextextended(name, 0)
        connection.execute(select(func.pg_advisory_xact_lock_shared(key)))


def try_hold(connection: Connection, name: str) -> bool:
    """Take the lock of a name if nobody has it; False, and no wait, when somebody has.

    For chores that may as well be done the next time.
    """
    if connection.dialect.name != "postgresql":
        return True
    asked = select(func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0)))
    return bool(connection.scalar(asked))
