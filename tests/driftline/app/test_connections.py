"""What waits for its client ends, on a listener as every process has it; what works goes on."""

import asyncio
import http.client
import socket
import threading
from typing import Any

import pytest

from driftline.app.listener import Server
from tests.driftline.app.conftest import PATIENCE_S, answering


class _App:
    """Answers with the length of the body; /slow once told so."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/slow":
            await asyncio.to_thread(self.may_answer.wait, PATIENCE_S)
        body = b"%d" % size
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def _is_ended(connection: socket.socket) -> bool:
    """Wait for the end of a connection; another way than ours would be the test's patience."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def _ask(connection: http.client.HTTPConnection) -> bytes:
    connection.request("POST", "/", body=b"four")
    return connection.getresponse().read()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: loc",
    ],
    ids=["nothing", "half a head"],
)
def test_a_connection_that_keeps_us_waiting_is_closed(sent: bytes) -> None:
    with answering(_App(), head_timeout_s=0.1) as port, _connect(port) as connection:
        connection.sendall(sent)

        assert _is_ended(connection)


def test_a_byte_now_and_then_prolongs_nothing() -> None:
    with answering(_App(), head_timeout_s=0.5) as port, _connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        connection.settimeout(0.05)
        for _ in range(round(PATIENCE_S / 0.05)):
            try:
                connection.sendall(b"x")
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        pytest.fail("the head was waited for")


def test_a_request_that_is_worked_on_waits_for_nobody() -> None:
    app = _App()
    with answering(app, head_timeout_s=0.1) as port:
        slow = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        slow.request("GET", "/slow")
        for _ in range(3):
            with _connect(port) as idle:
                assert _is_ended(idle)
        app.may_answer.set()

        assert slow.getresponse().read() == b"0"
        slow.close()


def test_after_an_answer_a_connection_is_kept_until_the_next_request() -> None:
    with answering(_App(), head_timeout_s=0.1) as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        first = _ask(client), client.sock.getsockname()
        for _ in range(3):
            with _connect(port) as idle:
                assert _is_ended(idle)
        second = _ask(client), client.sock.getsockname()

        assert first == second
        client.close()


def test_a_connection_is_kept_for_longer_than_load_balancers_keep_theirs() -> None:
    assert Server(_App()).config.timeout_keep_alive == 75
