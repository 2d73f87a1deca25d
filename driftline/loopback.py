"""Secure by default: without auth a listener answers this machine only.

Two guards: a listener may bind to loopback addresses only, and a request must name a loopback host
(against DNS rebinding) and come from no page but the listener's own (against pages of others, those
of another port of this machine among them).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from driftline.errors import InputError

# Where clients look for a server when nobody names one.
DEFAULT_SERVER = "http://127.0.0.1:8080"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# What browsers say of a page that sends a request, beside the host that it asks for.
_EXAMINED = frozenset((b"host", b"origin", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site"))
# Of a link that somebody follows: a whole page, to be shown in a tab of its own.
_LINK = {(b"sec-fetch-mode", "navigate"), (b"sec-fetch-dest", "document")}
_LONG = 300  # No name of a host with its port is.
# Of an answer 401.
CHALLENGE = (b"www-authenticate", b'Bearer realm="driftline"')


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can only mean this machine."""
    name = host.strip().strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def require_loopback(section: str, host: str) -> None:
    """Refuse a listener that others could reach while auth is off."""
    if not is_loopback(host):
        raise InputError(
            f'[{section}] host "{host}": while [auth] mode is "off" only loopback addresses are '
            f'allowed; use "127.0.0.1", and a proxy with authentication in front for others'
        )


class LocalOnly:
    """ASGI layer that answers 403 to requests for another host, or sent by another site's page.

    ``external_url``: the address under which a proxy with authentication forwards requests; its
    host and pages count as our own. ``hosts``: names of other machines under which it may be
    reached, in lower case without a port; only for listeners that authenticate.
    """

    def __init__(self, app: App, external_url: str = "", hosts: Collection[str] = ()) -> None:
        self.app, self.external_url, self.hosts = app, external_url, frozenset(hosts)
        self._external_host = urlsplit(external_url).netloc

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the call on, or refuse it with one sentence."""
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            return self.app(scope, receive, send)
        return refuse(send, 403, "forbidden", problem)

    def _problem(self, scope: Scope) -> str | None:
        """Return why a request is refused, by its host and origin; None when both are our own."""
        headers = [
            (name, value.decode("latin-1")) for name, value in scope["headers"] if name in _EXAMINED
        ]
        hosts = [text for name, text in headers if name == b"host"]
        for host in hosts:
            name, is_here = _read_host(host) if len(host) < _LONG else ("", False)
            if not (is_here or host.lower() == self._external_host or name in self.hosts):
                return f'Host "{host}" is not of this machine, of external_url or in [auth] hosts'
        if len(headers) == len(hosts):
            return None  # No page sends it.
        scheme = scope.get("scheme", "http")
        own = {f"{scheme}://{one.lower()}" for one in hosts if one.lower() != self._external_host}
        own |= {self.external_url} - {""}
        for name, text in headers:
            if name == b"origin" and text.lower() not in own:
                known = " or ".join(sorted(own))
                return f'Origin "{text}" is not "{known}"; pages of others are refused'
        # Browsers send it from a page of another port of this machine, too, and no page can
        # forge it. A link that is followed is no request of the page that holds it.
        is_link = scope["method"] in ("GET", "HEAD") and set(headers) >= _LINK
        sites = {text for name, text in headers if name == b"sec-fetch-site"}
        if not is_link and (strange := sites - {"same-origin", "none"}):
            return f'Sec-Fetch-Site "{min(strange)}": pages of others are refused'
        return None


# Clients name the same few hosts again and again; the bound keeps hostile ones from piling up.
@lru_cache(maxsize=256)
def _read_host(host: str) -> tuple[str, bool]:
    """Return the name in a Host header, and whether it can only mean this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return "", False
    # Names below localhost mean this machine, too (RFC 6761), such as that of a bucket.
    return name, is_loopback(name) or name.endswith(".localhost")


def error_body(code: str, message: str) -> bytes:
    """Write the one form that every error has."""
    # A name in the address can hold half a surrogate pair; a body cannot.
    return json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=True).encode()


async def refuse(
    send: Send, status: int, code: str, message: str, extra: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with an error."""
    body = error_body(code, message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *extra,
    ]
    if status in (408, 413):
        # The rest of the body is not read, so the connection cannot be used again.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
