"""Whether a database error means that the database is away (it comes back), or a wrong statement.

A server that is stopped says so in several ways, by when it is noticed: connections are refused,
ended by an administrator's command, or cut half way, and what is then done with the remains of a
transaction fails once more.
"""

from __future__ import annotations

from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - the pool's own: no connection became free in time
)


def is_disconnect(error: SQLAlchemyError) -> bool:
    """Whether the same statement may succeed when the database is back."""
    if isinstance(error, OperationalError | InterfaceError | PendingRollbackError | TimeoutError):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated
