"""Authentication of every request: its secret is looked up, and remembered for a moment."""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Generic, Protocol, TypeVar

from cachetools import TTLCache
from sqlalchemy import Engine

from driftline.access.credentials import Signer, find_signer, find_token
from driftline.access.principal import CURRENT, SECRET_HEADER, Principal, TrustedProxy
from driftline.access.signature import is_signed
from driftline.access.tokens import digest_of, find_session
from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.errors import UnavailableError
from driftline.loopback import CHALLENGE, App, Receive, Scope, Send, refuse

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
    """Looks up who sends a request; tokens, access keys and sessions expire by the clock ``now``.

    ``unseal`` opens the secrets of access keys.
    """

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        *,
        proxy: TrustedProxy | None = None,
        takes_cookies: bool = False,
        unseal: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self.now, self._proxy, self._unseal = engine, now, proxy, unseal
        self.takes_cookies = takes_cookies
        self._principals = LookUps[Principal](clock)
        self._signers = LookUps[Signer](clock)

    async def principal(self, scope: Scope, secret: str | None) -> Principal | None:
        """Return who sends a request with a secret; None when the secret is unknown."""
        if self._proxy is not None and (found := self._proxy.principal(scope)) is not None:
            return found
        return None if secret is None else await self.find(secret)

    async def find(self, secret: str) -> Principal | None:
        """Return whom a secret stands for; None when nobody."""
        return await self._principals.find(digest_of(secret), partial(self._look_up, secret))

    async def signer(self, access_key_id: str) -> Signer | None:
        """Return who signs with an access key, expired or not; None when nobody."""
        look_up = partial(self._look_up_signer, access_key_id)
        return await self._signers.find(access_key_id, look_up)

    def forget(self) -> None:
        """Look everybody up anew: tokens or sessions have changed."""
        self._principals.forget()
        self._signers.forget()

    def _look_up(self, secret: str) -> Principal | None:
        now = self.now()
        with read_connection(self._engine) as connection:
            return find_token(connection, secret, now) or find_session(connection, secret, now)

    def _look_up_signer(self, access_key_id: str) -> Signer | None:
        with read_connection(self._engine) as connection:
            return find_signer(connection, access_key_id, self._unseal)


Known = TypeVar("Known")


class LookUps(Generic[Known]):
    """Look-ups in the database, whose answers are remembered for a moment.

    An invocation neither waits nor fails because the database is slow or away: who is known stays
    known meanwhile, and somebody else is an UnavailableError.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._passes = FailedPasses(log, "looking up who asks")
        self._known: TTLCache[str, Known] = TTLCache(_REMEMBERED_MAX, KNOWN_S, clock)
        self._valid: TTLCache[str, Known] = TTLCache(_REMEMBERED_MAX, STALE_S, clock)
        self._asking: dict[str, asyncio.Future[Known | None]] = {}
        # Of its own: a database that hangs must not take the threads of what serves.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="access")

    async def find(self, key: str, look_up: Callable[[], Known | None]) -> Known | None:
        """Return what is known under a key; None when nothing is."""
        if (known := self._known.get(key)) is not None:
            return known
        was_valid = self._valid.get(key)
        asked = self._ask(key, look_up)
        patience_s = _PATIENCE_UNKNOWN_S if was_valid is None else _PATIENCE_S
        await asyncio.wait({asked}, timeout=patience_s)
        if asked.done() and asked.exception() is None:
            return asked.result()
        if was_valid is None:
            told = asked.exception() if asked.done() else None
            raise told if isinstance(told, UnavailableError) else UnavailableError(_NO_ANSWER)
        self._known[key] = was_valid
        return was_valid

    def forget(self) -> None:
        """Look everything up anew."""
        self._known.clear()
        self._valid.clear()

    def _ask(self, key: str, look_up: Callable[[], Known | None]) -> asyncio.Future[Known | None]:
        """Look something up in a thread, once for all who wait for it."""
        if key not in self._asking:
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._threads, look_up)
            asked.add_done_callback(partial(self._note, key))
            self._asking[key] = asked
        return self._asking[key]

    def _note(self, key: str, asked: asyncio.Future[Known | None]) -> None:
        """Remember what a look-up found."""
        self._asking.pop(key, None)
        if asked.cancelled():
            return
        if error := asked.exception():
            self._passes.failed(error)
            return
        self._passes.passed()
        if (found := asked.result()) is not None:
            self._known[key] = self._valid[key] = found
        else:
            self._known.pop(key, None)
            self._valid.pop(key, None)


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


SHOWN_KEY = "driftline.shown"
"""Under which a scope holds the secret that was shown; None for who showed none."""

# What nothing behind the gate may record or hand on.
_SECRETS = frozenset({b"authorization", b"cookie", SECRET_HEADER})
NOBODY = Principal("nobody", frozenset())


async def refuse_unknown(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer 401 to a request without a valid secret."""
    message = (
        'no token, or none that is valid; expected the header "Authorization: Bearer TOKEN" with a '
        "token made by: driftline token create NAME --role ROLE"
    )
    await refuse(send, 401, "unauthorized", message, [CHALLENGE])


class SignedRequests(Protocol):
    """Reads requests that are signed with access keys."""

    async def admit(
        self, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Principal, Scope, Receive] | None:
        """Return whose a request is, and the request to hand on; None once it is refused."""


class Gate:
    """ASGI layer that answers 401 to requests without a valid secret, but for ``public`` paths.

    Requests with a signature of AWS's are for ``signed`` to verify, where there is one.
    """

    def __init__(
        self,
        app: App,
        authenticator: Authenticator,
        public: Collection[str],
        refuse: App = refuse_unknown,
        signed: SignedRequests | None = None,
    ) -> None:
        self.app, self.authenticator, self.refuse = app, authenticator, refuse
        self.public, self.signed = frozenset(public), signed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on as somebody's, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 4401})
            return
        secret = secret_of(scope, takes_cookies=self.authenticator.takes_cookies)
        principal: Principal | None = NOBODY
        if scope["path"] not in self.public:
            if self.signed is not None and is_signed(scope):
                admitted = await self.signed.admit(scope, receive, send)
                if admitted is None:
                    return
                principal, scope, receive = admitted
            else:
                try:
                    principal = await self.authenticator.principal(scope, secret)
                except UnavailableError as error:
                    await refuse(send, 503, "unavailable", str(error), [(b"retry-after", b"1")])
                    return
        if principal is None:
            await self.refuse(scope, receive, send)
            return
        kept = [(name, value) for name, value in scope["headers"] if name not in _SECRETS]
        mark = CURRENT.set(principal)
        try:
            await self.app({**scope, "headers": kept, SHOWN_KEY: secret}, receive, send)
        finally:
            CURRENT.reset(mark)
