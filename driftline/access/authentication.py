"""Finding out who asks: the secret of a request is looked up, and remembered for a moment."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from http.cookies import CookieError, SimpleCookie

from sqlalchemy import Engine

from driftline.access.principal import Principal
from driftline.access.proxies import TrustedProxy
from driftline.access.sessions import find_session
from driftline.access.tokens import digest_of, find_token
from driftline.database.engine import read_connection
from driftline.loopback import Scope

COOKIE = "driftline_session"
REMEMBERED_S = 5.0
"""A revoked token is refused this much later at most."""
_REMEMBERED_MAX = 1024


class Authenticator:
    """Looks up who asks.

    Parameters
    ----------
    engine:
        Where tokens and sessions are stored.
    now:
        The clock by which they end.
    file_secret:
        This machine's own token (tokens.token_of_file), which may do everything; empty: none.
    proxy:
        Whose headers are believed; None: nobody's.
    takes_cookies:
        Whether a session may be shown as a cookie. Only where changes are guarded against pages of
        others: the dashboard.
    """

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        *,
        file_secret: str = "",
        proxy: TrustedProxy | None = None,
        takes_cookies: bool = False,
    ) -> None:
        self._engine = engine
        self._now = now
        self._file_secret = file_secret.encode()
        self._proxy = proxy
        self.takes_cookies = takes_cookies
        self._remembered: dict[str, tuple[float, Principal]] = {}

    async def principal(self, scope: Scope) -> Principal | None:
        """Return who sends a request; None when that is not known."""
        if self._proxy is not None and (found := self._proxy.principal(scope)) is not None:
            return found
        secret = secret_of(scope, takes_cookies=self.takes_cookies)
        return None if secret is None else await self.find(secret)

    async def find(self, secret: str) -> Principal | None:
        """Return whom a secret stands for; None when nobody."""
        # Compared in constant time: this one is not looked up by its digest.
        shown = secret.encode("utf-8", "surrogateescape")
        if self._file_secret and hmac.compare_digest(shown, self._file_secret):
            return Principal("local", frozenset({"admin"}), via="file")
        digest = digest_of(secret)
        until_s, principal = self._remembered.get(digest, (0.0, None))
        if principal is not None and time.monotonic() < until_s:
            return principal
        found = await asyncio.to_thread(self._look_up, secret)
        if found is None:
            self._remembered.pop(digest, None)
            return None
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[digest] = (time.monotonic() + REMEMBERED_S, found)
        return found

    def forget(self) -> None:
        """Look everybody up anew: tokens or sessions have changed."""
        self._remembered.clear()

    def _look_up(self, secret: str) -> Principal | None:
        now = self._now()
        with read_connection(self._engine) as connection:
            return find_token(connection, secret, now) or find_session(connection, secret, now)


def secret_of(scope: Scope, *, takes_cookies: bool) -> str | None:
    """Return the secret that a request shows, as a bearer token or a session's cookie."""
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    if takes_cookies and b"cookie" in headers:
        try:
            jar = SimpleCookie(headers[b"cookie"].decode("latin-1"))
        except CookieError:
            return None
        if COOKIE in jar:
            return jar[COOKIE].value
    return None
