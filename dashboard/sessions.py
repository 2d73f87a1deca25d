"""What a person who is logged in has: a session, proof that a change comes from a page, log-out."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response

from driftline.access.audit import record
from driftline.access.authentication import COOKIE, Authenticator
from driftline.access.gate import NOBODY, SHOWN_KEY
from driftline.access.oidc import Provider
from driftline.access.principal import CURRENT, Principal
from driftline.access.sessions import begin_session, csrf_token, end_session
from driftline.dashboard.guard import CALL_PATH, FILES, refused
from driftline.database.engine import failure_sentence
from driftline.errors import UnavailableError
from driftline.loopback import App, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

LOGOUT = "/logout"
SHOW_ROWS = "show rows"
CSRF_HEADER = b"x-csrf-token"

CSRF: ContextVar[str] = ContextVar("csrf", default="")
"""What the page that is asked for shows with each change."""

SECRET: ContextVar[str | None] = ContextVar("secret", default=None)
"""Of whom the page is for: the server is asked by the same."""


class Note(Protocol):
    """Notes in the audit log what somebody reads, or was refused with a status."""

    def __call__(self, action: str, target: str, status: int | None = None) -> None:
        """Note it; UnavailableError when that cannot be."""


def _unnoted(action: str, target: str, status: int | None = None) -> None:
    """Note nothing: nobody is asked who they are."""


NOTE: ContextVar[Note] = ContextVar("note", default=_unnoted)
"""Notes who reads raw rows, before they are shown."""
_NOTED_MAX = 4096


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
    _noted: set[tuple[str, str, str]] = field(default_factory=set, init=False, compare=False)

    async def begin(self, principal: Principal, old: str | None = None) -> str:
        """Begin a session in place of an old one, and return its secret."""

        def begin() -> str:
            now = self.now()
            with self._writing() as connection:
                if old is not None:
                    end_session(connection, old)
                record(connection, "login", "dashboard", now, principal=principal)
                return begin_session(connection, principal, now, self.length)

        return await asyncio.to_thread(begin)

    async def end(self, principal: Principal, secret: str) -> None:
        """End a session."""

        def end() -> None:
            with self._writing() as connection:
                record(connection, "logout", "dashboard", self.now(), principal=principal)
                end_session(connection, secret)

        await asyncio.to_thread(end)
        self.authenticator.forget()

    def note(
        self,
        principal: Principal,
        session: str,
        action: str,
        target: str,
        status: int | None = None,
    ) -> None:
        """Note in the audit log who reads raw rows; a page that asks again does so once."""
        key = (principal.subject, session, target)
        if action == SHOW_ROWS and key in self._noted:
            return
        with self._writing() as connection:
            record(connection, action, target, self.now(), status=status, principal=principal)
        if action == SHOW_ROWS:
            if len(self._noted) >= _NOTED_MAX:
                self._noted.clear()
            self._noted.add(key)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Open a transaction; UnavailableError when the database is away, locked or read-only."""
        try:
            with self.writer.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            log.warning("session_not_written error=%r", failure_sentence(self.writer, error))
            raise UnavailableError("the database takes no changes now; try again") from error

    def set_cookie(self, answer: Response, scope: Scope, secret: str) -> None:
        """Set the cookie of a session's secret, or delete it when the secret is empty."""
        self.set(answer, scope, COOKIE, secret, self.length)

    def set(
        self,
        answer: Response,
        scope: Scope,
        name: str,
        value: str,
        length: timedelta,
        path: str = "/",
    ) -> None:
        """Set a cookie that no script reads, or delete it when its value is empty."""
        answer.set_cookie(
            name, value, max_age=round(length.total_seconds()) if value else 0, path=path,
            httponly=True, samesite="lax", secure=self.is_https or scope["scheme"] == "https",
        )  # fmt: skip


class Sessions:
    """ASGI layer inside of the gate: refuses whom the pages are not for, and forged changes."""

    def __init__(
        self, app: App, access: Access, show_refusal: Callable[[int, str], Response]
    ) -> None:
        self.app, self._access, self._show_refusal = app, access, show_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what a known person may ask for."""
        principal = CURRENT.get()
        if scope["type"] != "http" or principal is NOBODY:  # A path that is for everybody.
            await self.app(scope, receive, send)
            return
        show = self._show_refusal if is_page(scope) else refused
        if problem := unfit(principal):
            await show(403, problem)(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, principal)
        except UnavailableError as error:
            answer = show(503, str(error))
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, principal: Principal) -> App:
        """Return what answers somebody whom the pages are for."""
        secret, kept = scope[SHOWN_KEY], Response()
        if principal.via == "proxy" and is_page(scope) and not await self._is_of(secret, principal):
            secret = await self._access.begin(principal)
            self._access.set_cookie(kept, scope, secret)
        token = csrf_token(secret) if secret else ""
        is_change = scope["method"] not in ("GET", "HEAD") and scope["path"] != CALL_PATH
        if is_change and not _shows(scope, token):
            why = "X-CSRF-Token is missing or not of this session; reload the page, and try again"
            return refused(403, why)
        if scope["path"] == LOGOUT and scope["method"] == "POST":
            await self._access.end(principal, secret)
            answer = JSONResponse({"next": "/login"})
            self._access.set_cookie(answer, scope, "")
            return answer
        cookies = [one for one in kept.raw_headers if one[0] == b"set-cookie"]

        async def pages(scope: Scope, receive: Receive, send: Send) -> None:
            mark, own = CSRF.set(token), SECRET.set(secret)
            noting = NOTE.set(partial(self._access.note, principal, token))
            try:
                shown = {**scope, SHOWN_KEY: secret}
                await self.app(shown, receive, _private(scope, send, cookies))
            finally:
                NOTE.reset(noting)
                SECRET.reset(own)
                CSRF.reset(mark)

        return pages

    async def _is_of(self, secret: str | None, principal: Principal) -> bool:
        """Whether a secret is of a session of somebody with the same roles and endpoints."""
        found = None if secret is None else await self._access.authenticator.find(secret)
        return found is not None and (found.subject, found.roles, found.endpoints) == (
            principal.subject, principal.roles, principal.endpoints
        )  # fmt: skip


def unfit(principal: Principal) -> str | None:
    """Return why the pages are not for somebody; None when they are."""
    if not principal.may("viewer"):
        own = ", ".join(sorted(principal.roles)) or "no role"
        return f'"{principal.subject}" has {own}; the pages take the role viewer'
    return None


def is_page(scope: Scope) -> bool:
    """Whether a browser asks for something to show in its window."""
    takes = [value for name, value in scope["headers"] if name == b"accept"]
    return scope["method"] in ("GET", "HEAD") and any(b"text/html" in value for value in takes)


def _shows(scope: Scope, token: str) -> bool:
    shown = [value for name, value in scope["headers"] if name == CSRF_HEADER]
    return bool(token) and len(shown) == 1 and hmac.compare_digest(shown[0], token.encode())


def _private(scope: Scope, send: Send, cookies: Sequence[tuple[bytes, bytes]]) -> Send:
    """Let no answer but files be kept: the next person at this browser may be another."""
    if scope["path"].startswith(FILES):
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [one for one in message["headers"] if one[0] != b"cache-control"]
            headers += [(b"cache-control", b"no-store"), *cookies]
            message = {**message, "headers": headers}
        await send(message)

    return sending
