"""Logging in and out, and sessions.

The login page turns a token into a session; it is plain HTML that needs no script.
``/login#token=…`` logs in by itself: browsers send the part behind ``#`` to no server and no other
page, and assets/login.js removes it from the address first. A session brings proof that a change
comes from a page.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from html import escape
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from driftline.access.authentication import COOKIE, NOBODY, SHOWN_KEY, secret_of
from driftline.access.logins import NOTE, Access
from driftline.access.oidc import Attempt, Provider
from driftline.access.principal import CURRENT, Principal
from driftline.access.tokens import csrf_token
from driftline.dashboard import guard
from driftline.dashboard.guard import is_page
from driftline.dashboard.words import sentence
from driftline.errors import ForbiddenError, UnavailableError
from driftline.loopback import App, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

LOGIN, LOGOUT = "/login", "/logout"
OIDC, CALLBACK = "/login/oidc", "/login/callback"
ATTEMPT, ATTEMPT_LENGTH = "driftline_login", timedelta(minutes=10)
PUBLIC = (
    "/healthz",
    *(f"/assets/{file}" for file in ("style.css", "theme.js", "login.js", "mark.svg")),
)
"""What is shown to those that are not known: what the page to log in is made of."""

WRONG = "This token is not valid: it is unknown, revoked or expired."
_SECRET_MAX = 256
# Browsers drop tabs and line ends, and take a backslash for a slash.
_OWN_PATH = re.compile(r"/(?!/)[!-\[\]-~]{0,2000}")
_POLICY = "; ".join(
    ("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
     "connect-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'")
)  # fmt: skip
_HEADERS = {**guard.SAFE_HEADERS, "content-security-policy": _POLICY, "cache-control": "no-store"}
_PAGE = """<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>{title} · driftline</title>
    <link rel="icon" href="/assets/mark.svg" type="image/svg+xml">
    <script src="/assets/theme.js"></script>
    <link rel="stylesheet" href="/assets/style.css">
    <script src="/assets/login.js" defer></script>
  </head>
  <body>
    <main class="lonely">
      <p class="brand"><i class="mark" aria-hidden="true"></i>driftline</p>
      <h1>{title}</h1>
      {body}
    </main>
  </body>
</html>
"""
_FORM = """<p id="wrong" class="alarm-text" role="alert">{wrong}</p>
      <form id="login" class="act" method="post" action="/login">
        <input type="hidden" name="next" value="{to}">
        <label>Token
          <input name="token" type="password" autocomplete="current-password" required autofocus>
        </label>
        <button type="submit" class="button">Log in</button>
      </form>
      <p class="note">An admin makes a token with
        <code>driftline token create NAME --role viewer</code>.</p>"""

CSRF_HEADER = b"x-csrf-token"
CSRF: ContextVar[str] = ContextVar("csrf", default="")
"""What the page that is asked for shows with each change."""

SECRET: ContextVar[str | None] = ContextVar("secret", default=None)
"""Of whom the page is for: the server is asked by the same."""


class Login:
    """ASGI layer that answers /login; everything else is passed on."""

    def __init__(self, app: App, access: Access) -> None:
        self.app, self._access = app, access
        self._provider = access.provider
        self._paths = (LOGIN,) if access.provider is None else (LOGIN, OIDC, CALLBACK)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show the page, begin a session, or pass the call on."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self.app(scope, receive, send)
            return
        try:
            request = Request(scope, receive)
            if self._provider is None or scope["path"] == LOGIN:
                answer = await self._answer(request)
            else:
                answer = await self._oidc(request, self._provider)
        except guard.Refusal as refusal:
            answer = guard.refused(refusal.status, str(refusal))
        await answer(scope, receive, send)

    async def _oidc(self, request: Request, provider: Provider) -> Response:
        """Lead to the provider, or begin a session by what its answer says."""
        scope = request.scope
        if request.method != "GET":
            raise guard.Refusal(405, f"{request.method} {scope['path']}: expected GET")
        attempt = Attempt.begin(own_path(request.query_params.get("next", "")))
        kept = ""  # The cookie serves once.
        try:
            if scope["path"] == OIDC:
                to, kept = await provider.begin(attempt), attempt.cookie()
                answer: Response = RedirectResponse(to, 303, headers=_HEADERS)
            else:
                begun = Attempt.read(request.cookies.get(ATTEMPT, ""))
                found = await provider.finish(begun, request.query_params)
                to = own_path(begun.to if begun else "")
                answer = RedirectResponse(to, 303, headers=_HEADERS)
                await self._begin(scope, found, answer)
        except (ForbiddenError, UnavailableError) as error:
            status = 403 if isinstance(error, ForbiddenError) else 503
            log.warning("login_refused provider=%s error=%s", provider.host, error)
            answer = self._page(status, f"Not logged in: {error}.", "/")
        set_cookie(self._access, answer, scope, ATTEMPT, kept, ATTEMPT_LENGTH, LOGIN)
        return answer

    async def _begin(self, scope: Scope, found: Principal, answer: Response) -> None:
        """Begin a session, with its cookie in the answer, of a user who may see the pages."""
        if problem := unfit(found):
            raise ForbiddenError(problem)
        secret = await self._access.begin(found, secret_of(scope, takes_cookies=True))
        set_session(self._access, answer, scope, secret)

    def _page(self, status: int, wrong: str, to: str) -> Response:
        link = ""
        if self._provider is not None:
            words = f"Log in with {escape(self._provider.host)}"
            link = f'<p><a class="button" href="{OIDC}?next={quote(to, safe="")}">{words}</a></p>'
        return _page(status, "Log in", link + _FORM.format(wrong=escape(wrong), to=escape(to)))

    async def _answer(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return self._page(200, "", own_path(request.query_params.get("next", "")))
        if request.method != "POST":
            raise guard.Refusal(405, f"{request.method} {LOGIN}: expected GET or POST")
        kind = request.headers.get("content-type", "").split(";")[0].strip()
        body = await guard.read_body(request)
        is_form = kind == "application/x-www-form-urlencoded"
        if is_form:
            fields = {name: found[0] for name, found in parse_qs(body.decode("latin-1")).items()}
        elif kind == "application/json":
            given = guard.read_json(body)
            fields = given if isinstance(given, dict) else {}
        else:
            raise guard.Refusal(415, "content-type: expected application/json, or a form")
        token, to = str(fields.get("token", "")).strip(), own_path(str(fields.get("next", "")))
        answer: Response = RedirectResponse(to, 303) if is_form else JSONResponse({"next": to})
        status, wrong = 401, WRONG
        try:
            if found := await self._find(token):
                await self._begin(request.scope, found, answer)
                status, wrong = 200, ""
        except ForbiddenError as error:
            status, wrong = 403, f"{error}."
        except UnavailableError as error:
            status, wrong = 503, f"Not logged in: {error}."
        if wrong:
            answer = self._page(status, wrong, to) if is_form else guard.refused(status, wrong)
        answer.headers.update(_HEADERS)
        return answer

    async def _find(self, token: str) -> Principal | None:
        """Return whose token it is; None for a session's secret: it would never end."""
        is_text = token.isascii() and 0 < len(token) <= _SECRET_MAX
        found = await self._access.authenticator.find(token) if is_text else None
        return found if found and found.via == "token" else None


class Sessions:
    """ASGI layer inside of the gate: refuses whom the pages are not for, and forged changes."""

    def __init__(self, app: App, access: Access) -> None:
        self.app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what a known person may ask for."""
        principal = CURRENT.get()
        if scope["type"] != "http" or principal is NOBODY:  # A path that is for everybody.
            await self.app(scope, receive, send)
            return
        show = _refusal_page if is_page(scope) else guard.refused
        if problem := unfit(principal):
            await show(403, problem)(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, principal)
        except UnavailableError as error:
            answer = show(503, str(error))
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, principal: Principal) -> App:
        """Answer a user who may see the pages."""
        secret, kept = scope[SHOWN_KEY], Response()
        if principal.via == "proxy" and is_page(scope) and not await self._is_of(secret, principal):
            secret = await self._access.begin(principal)
            set_session(self._access, kept, scope, secret)
        token = csrf_token(secret) if secret else ""
        is_change = scope["method"] not in ("GET", "HEAD") and scope["path"] != guard.CALL_PATH
        if is_change and not _shows(scope, token):
            why = "X-CSRF-Token is missing or not of this session; reload the page, and try again"
            return guard.refused(403, why)
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
        """Whether a secret is of a session of somebody with the same roles."""
        found = None if secret is None else await self._access.authenticator.find(secret)
        return found is not None and (found.subject, found.roles) == (
            principal.subject, principal.roles
        )  # fmt: skip


async def to_login(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer who is not known: a page leads to the log-in and back, a call is refused."""
    if is_page(scope):
        page, query = guard.asked_page(scope)
        back = quote(page + f"?{query}" * bool(query), safe="")
        answer: Response = RedirectResponse(f"{LOGIN}?next={back}", 303, headers=_HEADERS)
    else:
        answer = guard.refused(401, "You are not logged in, or your session has ended: open /login")
        answer.headers["www-authenticate"] = 'Bearer realm="driftline"'
    await answer(scope, receive, send)


def own_path(text: str) -> str:
    """Return a path of these pages as it is, and the first page for anything else."""
    return text if _OWN_PATH.fullmatch(text) else "/"


def _refusal_page(status: int, why: str) -> Response:
    """Return a page that says why a known user may see no others."""
    link = f'<p><a href="{LOGIN}" class="button">Log in as another</a></p>'
    title, way = ("Not now", "") if status == 503 else ("Not for you", link)
    return _page(status, title, f"<p>{escape(sentence(why))}</p>{way}")


def _page(status: int, title: str, body: str) -> Response:
    return HTMLResponse(_PAGE.format(title=title, body=body), status, headers=_HEADERS)


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
    """Return why a user may not see the pages; None when they may."""
    if not principal.may("viewer"):
        own = ", ".join(sorted(principal.roles)) or "no role"
        return f'"{principal.subject}" has {own}; the pages take the role viewer'
    if principal.endpoints is not None:
        own = ", ".join(sorted(principal.endpoints))
        return f'"{principal.subject}" is for {own} only, and the pages are about all endpoints'
    return None


def _shows(scope: Scope, token: str) -> bool:
    shown = [value for name, value in scope["headers"] if name == CSRF_HEADER]
    return bool(token) and len(shown) == 1 and hmac.compare_digest(shown[0], token.encode())


def _private(scope: Scope, send: Send, cookies: Sequence[tuple[bytes, bytes]]) -> Send:
    """Let no answer but files be kept: the next person at this browser may be another."""
    if scope["path"].startswith(guard.FILES):
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [one for one in message["headers"] if one[0] != b"cache-control"]
            headers += [(b"cache-control", b"no-store"), *cookies]
            message = {**message, "headers": headers}
        await send(message)

    return sending
