"""What waits for its client ends, on a listener as every process has it; what works goes on."""

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from driftline.app.http_protocol import HTTPProtocol
from driftline.app.listener import Server, listen

# Longer than any wait here is meant to be: a test that fails ends, too.
PATIENCE_S = 30.0


class _App:
    """Answers with the length of the body; /slow once told so, /large with what nobody takes."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, scope["path"] != "/large"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        if scope["path"] == "/slow":
            await asyncio.to_thread(self.may_answer.wait, PATIENCE_S)
        body = b"x" * (64 << 20) if scope["path"] == "/large" else b"%d" % size
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def _running(app: Any, idle_s: float = 10.0, tls: tuple[Path, Path] | None = None) -> Iterator[int]:
    """Serve in a thread; the port."""
    listener = listen("test", "127.0.0.1", 0)
    ready = threading.Event()
    server = Server(app, lifespan="off", grace_s=1, ready=ready.set, tls=tls)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    usual_s, HTTPProtocol.head_timeout_s = HTTPProtocol.head_timeout_s, idle_s
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield listener.getsockname()[1]
    finally:
        HTTPProtocol.head_timeout_s = usual_s
        server.should_exit = True
        thread.join(PATIENCE_S)


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
    with _running(_App(), 0.1) as port, _connect(port) as connection:
        connection.sendall(sent)

        assert _is_ended(connection)


def test_a_byte_now_and_then_prolongs_nothing() -> None:
    with _running(_App(), 0.5) as port, _connect(port) as connection:
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
    with _running(app, 0.1) as port:
        slow = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        slow.request("GET", "/slow")
        for _ in range(3):
            with _connect(port) as idle:
                assert _is_ended(idle)
        app.may_answer.set()

        assert slow.getresponse().read() == b"0"
        slow.close()


def test_after_an_answer_a_connection_is_kept_until_the_next_request() -> None:
    with _running(_App(), 0.1) as port:
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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: Any, authority: trustme.CA) -> tuple[Path, Path]:
    folder, own = tmp_path_factory.mktemp("tls"), authority.issue_cert("127.0.0.1")
    own.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    own.private_key_pem.write_to_path(folder / "key.pem")
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64])
def test_what_is_no_handshake_is_closed_without_a_line_in_the_log(
    tls: tuple[Path, Path], sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with _running(_App(), tls=tls) as port, _connect(port) as connection:
        connection.sendall(sent)

        assert _is_ended(connection)
    assert [one.getMessage() for one in caplog.records if one.levelname != "DEBUG"] == []
