"""What waits for its client ends, on a listener as every process has it; what works goes on."""

import asyncio
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from driftline.app.connections import Connections
from driftline.app.listener import Server, listen
from tests.servers.commands import talking

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
def _running(
    connections: Connections, app: Any, tls: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """Serve in a thread; the port."""
    listener = listen("test", "127.0.0.1", 0)
    ready = threading.Event()
    server = Server(
        app, lifespan="off", grace_s=1, ready=ready.set, connections=connections, tls=tls
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield listener.getsockname()[1]
    finally:
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
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "some chunks"],
)
def test_a_connection_that_keeps_us_waiting_is_closed(sent: bytes) -> None:
    connections = Connections(10, idle_s=0.1, stalled_s=0.1)
    with _running(connections, _App()) as port, _connect(port) as connection:
        connection.sendall(sent)

        assert _is_ended(connection)


def test_a_byte_now_and_then_prolongs_nothing() -> None:
    with _running(Connections(10, idle_s=0.5), _App()) as port, _connect(port) as connection:
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


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    with _running(Connections(10, stalled_s=0.5), _App()) as port, _connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with _connect(port) as other:
            other.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
            assert _is_ended(other)  # By then it was looked through, again and again.

        taken = 0
        try:
            while chunk := connection.recv(1 << 20):
                taken += len(chunk)
        except ConnectionResetError:
            pass

    assert taken < 64 << 20


def test_a_request_that_is_worked_on_waits_for_nobody() -> None:
    app = _App()
    with _running(Connections(10, idle_s=0.1, stalled_s=0.1), app) as port:
        slow = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        slow.request("GET", "/slow")
        for _ in range(3):
            with _connect(port) as idle:
                assert _is_ended(idle)
        app.may_answer.set()

        assert slow.getresponse().read() == b"0"
        slow.close()


def test_after_an_answer_a_connection_is_kept_until_the_next_request() -> None:
    with _running(Connections(10, idle_s=0.1), _App()) as port:
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


def test_above_the_limit_those_idle_for_longest_make_room() -> None:
    with _running(Connections(10), _App()) as port, ExitStack() as kept:
        idle = [kept.enter_context(_connect(port)) for _ in range(30)]

        assert all(_is_ended(one) for one in idle[:20])
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        assert _ask(client) == b"4"
        client.close()


def test_a_client_that_asks_outlives_many_that_say_nothing() -> None:
    with _running(Connections(10), _App()) as port, ExitStack() as kept:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        first = _ask(client), client.sock.getsockname()
        for _ in range(20):
            kept.enter_context(_connect(port))
            second = _ask(client), client.sock.getsockname()

        assert first == second
        client.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: Any, authority: trustme.CA) -> tuple[Path, Path]:
    folder, own = tmp_path_factory.mktemp("tls"), authority.issue_cert("127.0.0.1")
    own.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    own.private_key_pem.write_to_path(folder / "key.pem")
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def _greeting(trusting: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Begin a handshake; the second of the pipes holds what is to be sent."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(received, sent, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return client, received, sent


@pytest.mark.parametrize("is_begun", [False, True], ids=["nothing", "half a handshake"])
def test_a_handshake_that_is_not_finished_is_closed(
    tls: tuple[Path, Path], trusting: ssl.SSLContext, is_begun: bool
) -> None:
    hello = _greeting(trusting)[2].read()
    connections = Connections(10, idle_s=0.1)
    with _running(connections, _App(), tls) as port, _connect(port) as connection:
        connection.sendall(hello[: len(hello) // 2] if is_begun else b"")

        assert _is_ended(connection)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64])
def test_what_is_no_handshake_is_closed_without_a_line_in_the_log(
    tls: tuple[Path, Path], sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with _running(Connections(10), _App(), tls) as port, _connect(port) as connection:
        connection.sendall(sent)

        assert _is_ended(connection)
    assert [one.getMessage() for one in caplog.records if one.levelname != "DEBUG"] == []


_OUT_OF_FILES = """
import os, resource, sys, threading
from driftline.app.listener import Server, listen
from driftline.app.logs import configure_logging

async def app(scope, receive, send):
    os.close(os.open("/dev/null", os.O_RDONLY))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})

sys.stderr = sys.stdout
configure_logging()
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(HELD)]
listener = listen("test", "127.0.0.1", 0)
ready = threading.Event()
server = Server(app, lifespan="off", grace_s=1, ready=ready.set, tls=TLS)
thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
thread.start()
ready.wait()
print(listener.getsockname()[1], flush=True)
input()
server.should_exit = True
thread.join()
"""


def _require_within_reach(client: http.client.HTTPConnection, told, printed) -> None:
    """Require that a server answers, and that it said once what it lacks."""
    client.request("GET", "/")
    answer = client.getresponse().read()
    client.close()
    told.write("\n")
    log = printed.read().splitlines()

    assert answer == b"here"
    assert len(log) == 1
    assert "raise the limit of open files" in log[0]


@pytest.mark.parametrize("held", [0, 190], ids=["by connections", "by other files"])
def test_a_server_without_descriptors_answers_and_says_so_once(held: int) -> None:
    """Five hundred idle connections, of which a process of 256 files could keep half."""
    code = _OUT_OF_FILES.replace("HELD", str(held)).replace("TLS", "None")
    with talking(code) as (_, told, printed), ExitStack() as kept:
        port = int(printed.readline())
        for _ in range(500):
            kept.enter_context(_connect(port))
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        _require_within_reach(client, told, printed)


def test_half_done_handshakes_leave_a_server_within_reach(
    tls: tuple[Path, Path], trusting: ssl.SSLContext
) -> None:
    """Five hundred of them; a process of 256 files could open no more, for a minute."""
    hello = _greeting(trusting)[2].read()
    code = _OUT_OF_FILES.replace("HELD", "0").replace("TLS", repr(tuple(map(str, tls))))
    with talking(code) as (_, told, printed), ExitStack() as kept:
        port = int(printed.readline())
        for _ in range(500):
            kept.enter_context(_connect(port)).sendall(hello[:60])
        client = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=PATIENCE_S, context=trusting
        )
        _require_within_reach(client, told, printed)
