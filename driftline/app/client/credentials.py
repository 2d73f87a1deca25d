"""The token that a client shows by itself: which one, and to which servers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from driftline.errors import ForbiddenError, UnavailableError
from driftline.loopback import is_loopback

if TYPE_CHECKING:
    from driftline.settings.settings import Settings

_PORTS = {"http": 80, "https": 443}


def settings_here() -> Settings:
    """Return the settings of the working folder and of the environment."""
    # Imported here and below: most servers ask for no token.
    from driftline.settings.settings import load

    return load(environment=os.environ)


def find_token(server: str, settings: Settings) -> str | None:
    """Return the token for a server; None where there is none for it.

    The token of the settings goes to this machine, over TLS, and to hosts that the settings name.
    This machine's own token, which may do everything, goes to the settings' own server alone. A
    token that others on the way could read is refused.
    """
    address = urlsplit(server)
    host = address.hostname or ""
    if settings.auth.token:
        names = (settings.server.host, *settings.auth.hosts)
        if is_loopback(host) or address.scheme == "https" or host in map(str.lower, names):
            return settings.auth.token
        raise ForbiddenError(
            f"[auth] token is not sent to {server}, where others could read it on the way; "
            f'expected an https address, or "{host}" in [auth] hosts where the network is trusted'
        )
    own = urlsplit(settings.server_url)
    is_own = host == own.hostname or (is_loopback(host) and is_loopback(own.hostname or ""))
    port = address.port or _PORTS.get(address.scheme)
    if not (is_own and port == own.port and settings.token_file.exists()):
        return None
    from driftline.access.tokens import read_token

    try:
        return read_token(settings.token_file)
    except UnavailableError as error:
        raise ForbiddenError(
            f"{error}; or set DRIFTLINE_AUTH__TOKEN to a token of your own"
        ) from error
