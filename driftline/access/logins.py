"""Log-ins of people: their sessions in the database, and which rows they read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cachetools import LRUCache
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.audit import record
from driftline.access.authentication import Authenticator
from driftline.access.oidc import Provider
from driftline.access.principal import Principal
from driftline.access.tokens import begin_session, end_session
from driftline.database.engine import failure_sentence
from driftline.errors import UnavailableError

log = logging.getLogger(__name__)

SHOW_ROWS = "show rows"

Note = Callable[..., None]
"""Notes what somebody reads, by action, target and status; UnavailableError when it cannot."""
NOTE: ContextVar[Note] = ContextVar("note", default=lambda *_: None)
"""Notes who reads raw rows, before they are shown; nothing while nobody is asked."""


@dataclass(frozen=True, slots=True)
class Access:
    """How people show who they are; ``writer`` is the database, where their sessions begin."""

    authenticator: Authenticator
    writer: Engine
    length: timedelta
    now: Callable[[], datetime]
    is_https: bool = False
    provider: Provider | None = None
    hosts: Collection[str] = ()
    _noted: LRUCache[tuple[str, ...], bool] = field(default_factory=lambda: LRUCache(4096))

    async def begin(self, principal: Principal, old: str | None = None) -> str:
        """Begin a session in place of an old one, and return its secret."""
        return await asyncio.to_thread(self._begin, principal, old)

    def _begin(self, principal: Principal, old: str | None) -> str:
        now = self.now()
        with self._writing() as connection:
            if old is not None:
                end_session(connection, old)
            record(connection, "login", "dashboard", now, principal=principal)
            return begin_session(connection, principal, now, self.length)

    async def end(self, principal: Principal, secret: str) -> None:
        """End a session."""
        await asyncio.to_thread(self._end, principal, secret)
        self.authenticator.forget()

    def _end(self, principal: Principal, secret: str) -> None:
        with self._writing() as connection:
            record(connection, "logout", "dashboard", self.now(), principal=principal)
            end_session(connection, secret)

    def note(
        self, principal: Principal, session: str, action: str, target: str,
        status: int | None = None,
    ) -> None:  # fmt: skip
        """Note in the audit log who reads raw rows; a page that asks again does so once."""
        key = (principal.subject, session, action, target)
        if action == SHOW_ROWS and key in self._noted:
            return
        with self._writing() as connection:
            record(connection, action, target, self.now(), status=status, principal=principal)
        self._noted[key] = True

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Open a transaction; UnavailableError when the database is away, locked or read-only."""
        try:
            with self.writer.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            log.warning("session_not_written error=%r", failure_sentence(self.writer, error))
            raise UnavailableError("the database takes no changes now; try again") from error
