"""Locks by name, for what must happen one after the other although no row stands for it yet.

SQLite has one writer at a time anyway: a transaction holds the lock from its beginning. PostgreSQL
at READ COMMITTED lets two transactions each find nothing and each write; they meet here.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

__all__ = ["hold"]


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
