"""Whether a database error means that the database is away, or a wrong statement."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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


class FailedPasses:
    """Failed passes of a loop that goes on; an unreachable database is logged once."""

    def __init__(self, log: logging.Logger, loop: str) -> None:
        self._log = log
        self._loop = loop
        self._is_away = False
        self.count = 0

    @contextmanager
    def noted(self, *expected: type[Exception], part: str = "") -> Iterator[None]:
        """Note how the pass in the block went: after an error that is expected the loop goes on."""
        try:
            yield
        except expected as error:
            self.failed(error, part)
        else:
            self.passed()

    def failed(self, error: BaseException, part: str = "") -> None:
        """Note a pass that failed, or a part of one, such as "alarm='late'"."""
        self.count += 1
        if not (isinstance(error, SQLAlchemyError) and is_disconnect(error)):
            what = f"{self._loop}_failed {part}".rstrip()
            self._log.error("%s count=%d", what, self.count, exc_info=error)
        elif not self._is_away:
            self._is_away = True
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            self._log.warning("%s waits for the database error=%r", self._loop, reason)

    def passed(self) -> None:
        """Note a pass that went well."""
        if self._is_away:
            self._is_away = False
            self._log.warning("%s goes on count=%d: the database is back", self._loop, self.count)
