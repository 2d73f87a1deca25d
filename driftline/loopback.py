"""Secure by default: without auth a listener answers this machine only.

Two guards: a listener may bind to loopback addresses only, and a request must name a loopback host
(against DNS rebinding) and come from no page but the listener's own (against pages of others, those
of another port of this machine among them).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
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
_LOOKED_AT = frozenset(
    (b"host", b"origin", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site")
)
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
        self.app = app
        self.external_url = external_url
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or refuse it with one sentence."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        problem = _problem(scope, self.external_url, self.hosts)
        if problem is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
        else:
            await refuse(send, 403, "forbidden", problem)


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


def _problem(scope: Scope, external_url: str, names: Collection[str]) -> str | None:
    """Return why a request is refused, by its host and origin; nothing when both are our own."""
    named = [
        (name, value.decode("latin-1")) for name, value in scope["headers"] if name in _LOOKED_AT
    ]
    hosts = [text for name, text in named if name == b"host"]
    external_host = _netloc_of(external_url)
    for host in hosts:
        name, is_here = _read_host(host) if len(host) < _LONG else _read_host.__wrapped__(host)
        if not (is_here or host.lower() == external_host or name in names):
            return f'Host "{host}" is not of this machine, of external_url or in [auth] hosts'
    if len(named) == len(hosts):
        return None  # No page sends it.
    scheme = scope.get("scheme", "http").replace("ws", "http")
    own = {f"{scheme}://{host.lower()}" for host in hosts if host.lower() != external_host}
    own |= {external_url} - {""}
    for name, text in named:
        if name == b"origin" and text.lower() not in own:
            return (
                f'Origin "{text}" is not "{" or ".join(sorted(own))}"; pages of others are refused'
            )
        # Browsers send it from a page of another port of this machine, too, and no page can
        # forge it. A link that is followed is no request of the page that holds it.
        if (
            name == b"sec-fetch-site"
            and text not in ("same-origin", "none")
            and not _is_link(scope, dict(named))
        ):
            return f'Sec-Fetch-Site "{text}": pages of others are refused'
    return None


def _is_link(scope: Scope, headers: Mapping[bytes, str]) -> bool:
    """Return whether a browser asks for a whole page, to show it in a tab of its own."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and headers.get(b"sec-fetch-mode") == "navigate"
        and headers.get(b"sec-fetch-dest") == "document"
    )


@lru_cache(maxsize=16)
def _netloc_of(url: str) -> str:
    return urlsplit(url).netloc


# Clients name the same few hosts again and again; the bounds keep hostile ones from piling up.
@lru_cache(maxsize=256)
def _read_host(host: str) -> tuple[str, bool]:
    """Return the name in a Host header, and whether it can only mean this machine."""
    name = _host_of(f"//{host}")
    return name, is_loopback(name)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
