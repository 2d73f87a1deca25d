"""What a person who is logged in has: a session, proof that a change comes from a page, log-out."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import timedelta
from functools import partial

from starlette.responses import JSONResponse, Response

from driftline.access.authentication import COOKIE
from driftline.access.gate import NOBODY, SHOWN_KEY
from driftline.access.logins import NOTE, Access
from driftline.access.principal import CURRENT, Principal
from driftline.access.sessions import csrf_token
from driftline.dashboard.guard import CALL_PATH, FILES, refused
from driftline.errors import UnavailableError
from driftline.loopback import App, Message, Receive, Scope, Send

LOGOUT = "/logout"
CSRF_HEADER = b"x-csrf-token"

CSRF: ContextVar[str] = ContextVar("csrf", default="")
"""What the page that is asked for shows with each change."""

SECRET: ContextVar[str | None] = ContextVar("secret", default=None)
"""Of whom the page is for: the server is asked by the same."""


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
            set_session(self._access, kept, scope, secret)
        token = csrf_token(secret) if secret else ""
        is_change = scope["method"] not in ("GET", "HEAD") and scope["path"] != CALL_PATH
        if is_change and not _shows(scope, token):
            why = "X-CSRF-Token is missing or not of this session; reload the page, and try again"
            return refused(403, why)
        if scope["path"] == LOGOUT and scope["method"] == "POST":
            await self._access.end(principal, secret)
            answer = JSONResponse({"next": "/login"})
            set_session(self._access, answer, scope, "")
            return answer
        cookies = [one for one in kept.raw_headers if one[0] == b"set-cookie"]

        async def pages(scope: Scope, receive: Receive, send: Send) -> None:
            mark, own = CSRF.set(token), SECRET.set(secret)
            noting = NOTE.set(partial(self._access.note, principal, token))
            try:
                await self.app(scope, receive, _private(scope, send, cookies))
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


def set_session(access: Access, answer: Response, scope: Scope, secret: str) -> None:
    """Set the cookie of a session's secret, or delete it when the secret is empty."""
    set_cookie(access, answer, scope, COOKIE, secret, access.length)


def set_cookie(
    access: Access, answer: Response, scope: Scope, name: str, value: str, length: timedelta,
    path: str = "/",
) -> None:  # fmt: skip
    """Set a cookie that no script reads, or delete it when its value is empty."""
    answer.set_cookie(
        name, value, max_age=round(length.total_seconds()) if value else 0, path=path,
        httponly=True, samesite="lax", secure=access.is_https or scope["scheme"] == "https",
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
