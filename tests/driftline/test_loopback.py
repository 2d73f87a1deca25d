import asyncio
from typing import Any

import pytest

from driftline.loopback import LocalOnly, is_loopback


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        *((one, True) for one in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "LOCALHOST.")),
        *((one, False) for one in ("0.0.0.0", "::", "10.0.0.1", "example.org", "2130706433", "")),
        ("127.0.0.1.evil.org", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def _status(headers: dict[str, str], *, method: str = "POST", external_url: str = "") -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "headers": raw}
    asyncio.run(LocalOnly(_app, external_url)(scope, None, send))  # type: ignore[arg-type]
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(
    ("host", "more", "status"),
    [
        ("127.0.0.1:8080", {}, 200),
        ("[::1]:8080", {}, 200),
        ("LOCALHOST:8080", {"origin": "http://localhost:8080"}, 200),
        ("rebound.example:8080", {}, 403),
        ("[broken", {}, 403),
        ("127.0.0.1", {"origin": "http://evil.example"}, 403),
        ("127.0.0.1", {"origin": "null"}, 403),
        # Pages of this machine that are not the listener's own: another port, scheme or name.
        ("localhost:8080", {"origin": "http://localhost:8081"}, 403),
        ("localhost:8080", {"origin": "https://localhost:8080"}, 403),
        ("localhost:8080", {"origin": "http://127.0.0.1:8080"}, 403),
        # What a browser says of who asks; it is there where a proxy has taken Origin away.
        ("localhost:8080", {"sec-fetch-site": "same-origin"}, 200),
        ("localhost:8080", {"sec-fetch-site": "same-site"}, 403),
        ("localhost:8080", {"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_only_requests_of_this_machine_pass(host: str, more: dict[str, str], status: int) -> None:
    assert _status({"host": host, **more}) == status


@pytest.mark.parametrize(
    ("method", "mode", "destination", "status"),
    [
        ("GET", "navigate", "document", 200),
        ("GET", "navigate", "iframe", 403),
        ("GET", "no-cors", "image", 403),
        ("POST", "navigate", "document", 403),
    ],
)
def test_a_link_from_elsewhere_is_followed_and_nothing_else(
    method: str, mode: str, destination: str, status: int
) -> None:
    sent = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode, "sec-fetch-dest": destination}

    assert _status({"host": "localhost:8081", **sent}, method=method) == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("drift.example.org", "https://drift.example.org", 200),
        ("127.0.0.1:8081", "https://drift.example.org", 200),
        ("drift.example.org", "http://drift.example.org", 403),
        ("drift.example.org", "https://evil.example", 403),
        ("drift.example.org.evil.example", "https://drift.example.org", 403),
    ],
)
def test_a_proxy_hands_on_under_the_external_url_alone(host: str, origin: str, status: int) -> None:
    found = _status({"host": host, "origin": origin}, external_url="https://drift.example.org")

    assert found == status
