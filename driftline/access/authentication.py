"""Authentication: the secret of a request is looked up, and remembered for a moment."""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from cachetools import TTLCache
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.limits import Clock, FailureLimit, network_of, peer_of
from driftline.access.principal import Principal
from driftline.access.proxies import TrustedProxy
from driftline.access.sessions import find_session
from driftline.access.tokens import digest_of, find_token
from driftline.database.disconnects import FailedPasses, is_disconnect
from driftline.database.engine import read_connection
from driftline.errors import UnavailableError
from driftline.loopback import Scope

log = logging.getLogger(__name__)

COOKIE = "driftline_session"
KNOWN_S = 10.0
"""So long it is known whose a secret is: a revoked token is refused this much later at most."""
STALE_S = 3600.0
"""So long a token that was valid is believed while the database does not answer."""
# A request waits no longer for a slow database: with a token that was valid, and with another one.
_PATIENCE_S, _PATIENCE_UNKNOWN_S = 1.0, 10.0
_NO_ANSWER = "the database does not answer, which knows the tokens; try again"
_REMEMBERED_MAX = 1024
_THREADS = 4


class Authenticator:
    """Looks up who sends a request.

    ``now``: the clock by which tokens and sessions expire; ``proxy``: whose identity headers are
    trusted, None: nobody's; ``takes_cookies``: whether a session cookie counts. Only where changes
    are guarded against cross-site requests: the dashboard.
    """

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        *,
        proxy: TrustedProxy | None = None,
        takes_cookies: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self._engine = engine
        self._now = now
        self._proxy = proxy
        self.takes_cookies = takes_cookies
        self._passes = FailedPasses(log, "looking up tokens")
        self._failures = FailureLimit(clock=clock)
        self._known: TTLCache[str, Principal] = TTLCache(_REMEMBERED_MAX, KNOWN_S, clock)
        self._valid: TTLCache[str, Principal] = TTLCache(_REMEMBERED_MAX, STALE_S, clock)
        self._asking: dict[str, asyncio.Future[Principal | None]] = {}
        # Of its own: a database that hangs must not take the threads of what serves.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="access")

    async def principal(self, scope: Scope, secret: str | None) -> Principal | None:
        """Return who sends a request with a secret; None when the secret is unknown."""
        if self._proxy is not None and (found := self._proxy.principal(scope)) is not None:
            return found
        if secret is None:
            return None
        # A cookie that has ended is nothing that somebody tries, and a page asks with it often.
        is_shown = any(name == b"authorization" for name, _ in scope["headers"])
        return await self.find(secret, self.peer(scope) if is_shown else None)

    def peer(self, scope: Scope) -> str:
        """Return the address that asks: that of the connection, or what a trusted proxy says."""
        said = self._proxy and self._proxy.peer(scope)
        return network_of(said) if said else peer_of(scope)

    async def find(self, secret: str, peer: str | None = None) -> Principal | None:
        """Return whom a secret stands for; None when nobody.

        With a `peer`, its wrong secrets are counted. An invocation neither waits nor fails because
        the database is slow or away: a known secret stays known meanwhile, an unknown one is an
        UnavailableError.
        """
        digest = digest_of(secret)
        if (known := self._known.get(digest)) is not None:
            return known
        was_valid = self._valid.get(digest)
        if was_valid is None and peer is not None and self._failures.is_wrong(digest):
            return None
        asked = self._ask(digest, secret)
        patience_s = _PATIENCE_UNKNOWN_S if was_valid is None else _PATIENCE_S
        await asyncio.wait({asked}, timeout=patience_s)
        if asked.done() and asked.exception() is None:
            found = asked.result()
            if found is None and peer is not None:
                self._failures.failed(peer, digest)
            return found
        if was_valid is None:
            raise UnavailableError(_NO_ANSWER)
        self._known[digest] = was_valid
        return was_valid

    def forget(self) -> None:
        """Look everybody up anew: tokens or sessions have changed."""
        self._known.clear()
        self._valid.clear()

    def _ask(self, digest: str, secret: str) -> asyncio.Future[Principal | None]:
        """Look a secret up in a thread, once for all who wait for it."""
        if digest not in self._asking:
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._threads, self._look_up, secret)
            asked.add_done_callback(partial(self._note, digest))
            self._asking[digest] = asked
        return self._asking[digest]

    def _note(self, digest: str, asked: asyncio.Future[Principal | None]) -> None:
        """Remember what a look-up found."""
        self._asking.pop(digest, None)
        if asked.cancelled():
            return
        if error := asked.exception():
            self._passes.failed(error.__cause__ or error)
            return
        self._passes.passed()
        if (principal := asked.result()) is not None:
            self._known[digest] = self._valid[digest] = principal
        else:
            for remembered in (self._known, self._valid):
                remembered.pop(digest, None)

    def _look_up(self, secret: str) -> Principal | None:
        now = self._now()
        try:
            with read_connection(self._engine) as connection:
                return find_token(connection, secret, now) or find_session(connection, secret, now)
        except SQLAlchemyError as error:
            if not is_disconnect(error):
                raise
            raise UnavailableError(_NO_ANSWER) from error


def secret_of(scope: Scope, *, takes_cookies: bool) -> str | None:
    """Return the secret that a request shows: a bearer token, a password or a session's cookie."""
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    # Of senders that know nothing but a URL, such as KServe's logger: http://NAME:TOKEN@host.
    if scheme.lower() == "basic" and not takes_cookies:
        try:
            _, _, password = b64decode(secret, validate=True).decode().partition(":")
        except ValueError:
            return None
        return password or None
    if takes_cookies:
        # Not by http.cookies, which stops at the first one of another page that it cannot read.
        pairs = headers.get(b"cookie", b"").decode("latin-1").split(";")
        return dict(one.strip().partition("=")[::2] for one in pairs).get(COOKIE)
    return None
