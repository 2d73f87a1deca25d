"""The ASGI layer that authenticates every request before anything else sees it."""

from __future__ import annotations

from collections.abc import Collection

from driftline.access.authentication import Authenticator, secret_of
from driftline.access.limits import refuse_for_now
from driftline.access.principal import CURRENT, Principal
from driftline.access.proxies import SECRET_HEADER
from driftline.errors import UnavailableError
from driftline.loopback import CHALLENGE, App, Receive, Scope, Send, refuse

SHOWN_KEY = "driftline.shown"
"""Under which a scope holds the secret that was shown; None for who showed none."""

# What nothing behind the gate may record or hand on.
_SECRETS = frozenset({b"authorization", b"cookie", SECRET_HEADER})
NOBODY = Principal("nobody", frozenset())


async def _refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    message = (
        'no token, or none that is valid; expected the header "Authorization: Bearer TOKEN" with a '
        "token made by: driftline token create NAME --role ROLE"
    )
    await refuse(send, 401, "unauthorized", message, [CHALLENGE])


class Gate:
    """Answers 401 to requests without a valid secret; passes others on, identified by `CURRENT`.

    ``public``: paths open to anybody, such as health, so that a load balancer needs no secret;
    ``refuse``: answers in place of the 401.
    """

    def __init__(
        self,
        app: App,
        authenticator: Authenticator,
        public: Collection[str],
        refuse: App = _refuse,
    ) -> None:
        self.app = app
        self.refuse = refuse
        self.authenticator = authenticator
        self.public = frozenset(public)

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
            try:
                principal = await self.authenticator.principal(scope, secret)
            except UnavailableError as error:
                await refuse_for_now(send, error)
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
