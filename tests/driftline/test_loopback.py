import asyncio
from typing import Any

import pytest

from driftline.errors import InputError
from driftline.loopback import LocalOnly, is_loopback, require_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST."]
)
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.evil.org", "", "2130706433"]
)
def test_other_hosts(host: str) -> None:
    assert not is_loopback(host)


def test_listening_for_others_is_refused_with_the_mend() -> None:
    with pytest.raises(InputError, match=r"\[server\] host \"0.0.0.0\".*127.0.0.1"):
        require_loopback("server", "0.0.0.0")


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def _status(headers: list[tuple[bytes, bytes]]) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(LocalOnly(_app)({"type": "http", "headers": headers}, receive, send))
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"host", b"127.0.0.1:8080")], 200),
        ([(b"host", b"localhost:8080"), (b"origin", b"http://localhost:8081")], 200),
        ([(b"host", b"[::1]:8080")], 200),
        ([(b"host", b"rebound.example:8080")], 403),
        ([(b"host", b"127.0.0.1"), (b"origin", b"http://evil.example")], 403),
        ([(b"host", b"127.0.0.1"), (b"origin", b"null")], 403),
        ([(b"host", b"[broken")], 403),
    ],
)
def test_only_requests_of_this_machine_pass(
    headers: list[tuple[bytes, bytes]], status: int
) -> None:
    assert _status(headers) == status
