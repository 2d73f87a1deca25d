"""Secure by default: without auth a listener answers this machine only.

Two guards: a listener may bind to loopback addresses only, and a request must name a loopback host
(against DNS rebinding) and, when a browser sends one, a loopback origin (against pages of others).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
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
    """Refuse a listener that others could reach while auth is off.

    Raises
    ------
    InputError
        Naming the setting, the value and the mend.
    """
    if not is_loopback(host):
        raise InputError(
            f'[{section}] host "{host}": while [auth] mode is "off" only loopback addresses are '
            f'allowed; use "127.0.0.1", and a proxy with authentication in front for others'
        )


class LocalOnly:
    """ASGI layer that answers 403 unless Host, and Origin if given, name a loopback host."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or refuse it with one sentence."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        problem = _problem(scope)
        if problem is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
        else:
            body = json.dumps({"error": {"code": "forbidden", "message": problem}}).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def _problem(scope: Scope) -> str | None:
    """Return what is wrong with Host or Origin; nothing when both are of this machine."""
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        if name == b"host" and not is_loopback(_host_of(f"//{text}")):
            return f'Host "{text}" is not of this machine; auth is off, so only it is served'
        if name == b"origin" and not is_loopback(_host_of(text)):
            return f'Origin "{text}" is not of this machine; auth is off, so only it is served'
    return None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
