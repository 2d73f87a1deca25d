"""What a listener takes, how long it waits, and what it believes, asked over real connections."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from driftline.app import listener
from driftline.app.client.client import Client
from driftline.app.listener import MOST_HEAD_BYTES, HTTPProtocol, Server
from driftline.errors import UnavailableError
from tests.servers.answering import listening

# Longer than any wait here is meant to be: a test that fails ends, too.
PATIENCE_S = 30.0
CLOSE = b"Connection: close"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_MUCH = b"a" * (MOST_HEAD_BYTES + 1)


@contextmanager
def answering(
    app: Any, *, head_timeout_s: float = 10.0, tls: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """Answer with an application that has no begin and no end; yield the port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPProtocol, "head_timeout_s", head_timeout_s)
        with listening(app, lifespan="off", grace_s=1, tls=tls) as port:
            yield port


async def sizes(scope: Any, receive: Any, send: Any) -> None:
    """Answer with how many bytes of headers and body came."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    head = sum(len(name) + len(value) for name, value in scope["headers"])
    body = b"%d %d" % (head, size)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with answering(sizes) as found:
        yield found


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def rest_of(connection: socket.socket) -> bytes:
    """Return all that comes until the end of a connection."""
    found = b""
    try:
        while data := connection.recv(1 << 16):
            found += data
    except ConnectionError:  # Closed while we sent: what was said may be lost on the way.
        pass
    return found


def answer(port: int, sent: bytes, cuts: tuple[int, ...] = ()) -> bytes:
    """Return all that comes for bytes that are sent in pieces; b"" where only the end comes."""
    with connect(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for first, last in zip((0, *cuts), (*cuts, len(sent)), strict=True):
                connection.sendall(sent[first:last])
        except ConnectionError:
            pass
        return rest_of(connection)


def get(*headers: bytes, path: bytes = b"/") -> bytes:
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: x", *headers, b"", b""))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    "sent",
    [
        get(path=b"/" + TOO_MUCH),
        get(*(b"X%d: %b" % (at, b"a" * 1000) for at in range(70))),
        b"GET / HTTP/1.1\r\nX: " + TOO_MUCH * 4,
        CHUNKED + b"0\r\nX: " + TOO_MUCH * 20 + b"\r\n\r\n",
    ],
    ids=["a line", "headers", "a header that never ends", "a trailer"],
)
def test_a_head_above_the_bound_is_refused(port: int, sent: bytes, cut: bool) -> None:
    found = answer(port, sent, tuple(range(1000, len(sent), 1000)) if cut else ())

    # What we send after the refusal may make the system drop it.
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] in ([b"400"], [])


def test_the_bound_holds_for_a_head_that_comes_with_another_request(port: int) -> None:
    first = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    found = answer(port, first + get(*(b"X%d: %b" % (at, b"a" * 1000) for at in range(70))))

    assert b"200" not in found.partition(b"HTTP/1.1 400")[2]
    assert found.count(b"HTTP/1.1 200") <= 1


def test_a_trailer_is_no_header(port: int) -> None:
    trailer = b"X-Forwarded-User: root"
    without, with_one = (
        answer(port, CHUNKED + b"1\r\nx\r\n0\r\n" + part + b"\r\n")
        for part in (b"", trailer + b"\r\n")
    )

    assert without.splitlines()[-1] == with_one.splitlines()[-1]


def test_an_answer_half_sent_is_not_followed_by_a_refusal() -> None:
    async def slow(_scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)

    with answering(slow) as port:
        found = answer(port, CHUNKED + b"0\r\nX: " + TOO_MUCH * 20 + b"\r\n\r\n")

    assert b"400" not in found


@pytest.mark.parametrize(
    ("sent", "more"),
    [(b"", b""), (b"GET / HTTP/1.1\r\nX: loc", b""), (b"GET / HTTP/1.1\r\nX: ", b"x")],
)
def test_a_connection_that_keeps_us_waiting_is_closed(sent: bytes, more: bytes) -> None:
    with answering(sizes, head_timeout_s=0.3) as port, connect(port) as connection:
        connection.sendall(sent)
        connection.settimeout(0.05)
        for _ in range(round(PATIENCE_S / 0.05)):
            try:
                connection.sendall(more)
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        pytest.fail("the head was waited for")


def test_what_works_or_rests_between_requests_waits_for_nobody() -> None:
    may_answer = threading.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(may_answer.wait, PATIENCE_S)
        await sizes(scope, receive, send)

    with answering(slow, head_timeout_s=0.1) as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        client.request("GET", "/")
        address = client.sock.getsockname()
        for _ in range(2):
            with connect(port) as idle:
                assert rest_of(idle) == b""
            may_answer.set()
            assert client.getresponse().read().endswith(b" 0")
            client.request("GET", "/")

        assert client.sock.getsockname() == address
        client.close()


def test_a_connection_that_rests_for_too_long_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "KEPT_S", 0.1)

    assert answer(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.fixture
def pass_s(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what moves the clock of a server on, and waits until it has looked who is late."""
    ahead_s, looked = 0.0, threading.Event()
    start, look = Server.startup, Server.on_tick

    def clock() -> float:
        return time.monotonic() + ahead_s

    async def startup(server: Server, sockets: list[socket.socket] | None = None) -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
        await start(server, sockets)

    async def on_tick(server: Server, counter: int) -> bool:
        try:
            return await look(server, counter)
        finally:
            if asyncio.get_running_loop().time is clock:  # Not of a server of other tests.
                looked.set()

    def wait_for_looks(count: int) -> None:
        for _ in range(count):
            looked.clear()
            assert looked.wait(PATIENCE_S)

    def move_on(time_s: float) -> None:
        nonlocal ahead_s
        wait_for_looks(1)  # What was sent before is read by now.
        ahead_s += time_s
        wait_for_looks(2)

    monkeypatch.setattr(Server, "startup", startup)
    monkeypatch.setattr(Server, "on_tick", on_tick)
    return move_on


def test_a_head_has_its_whole_time_from_its_first_byte_and_no_more(
    pass_s: Callable[[float], None],
) -> None:
    head = get()
    with answering(sizes) as port, connect(port) as connection:
        connection.sendall(head)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        pass_s(listener.KEPT_S - 5)
        connection.sendall(head[:5])
        pass_s(HTTPProtocol.head_timeout_s - 1)
        connection.sendall(head[5:])
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")

        connection.sendall(head[:5])
        pass_s(HTTPProtocol.head_timeout_s - 1)
        connection.sendall(head[5:6])
        pass_s(2)
        assert rest_of(connection) == b""


def test_an_upload_that_was_answered_early_is_taken_for_as_long_as_it_comes(
    pass_s: Callable[[float], None],
) -> None:
    async def refusing(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body"})

    with answering(refusing) as port, connect(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")
        for part in (b"b", b"c"):
            pass_s(listener.KEPT_S - 5)
            connection.sendall(part)
        pass_s(listener.KEPT_S - 5)
        connection.sendall(get())
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")
        pass_s(listener.KEPT_S + 1)
        assert rest_of(connection) == b""


def test_nobody_says_by_a_header_from_which_address_they_ask() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        await sizes(scope, receive, send)

    with answering(app) as port:
        headers = {"x-forwarded-for": "10.9.9.9", "x-forwarded-proto": "https"}
        httpx.get(f"http://127.0.0.1:{port}/", headers=headers)

    assert seen == [("127.0.0.1", "http")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificate, key and authority of this machine."""
    authority, folder = trustme.CA(), tmp_path_factory.mktemp("tls")
    own = authority.issue_cert("127.0.0.1")
    found = {name: folder / f"{name}.pem" for name in ("cert", "key", "ca")}
    own.cert_chain_pems[0].write_to_path(found["cert"])
    own.private_key_pem.write_to_path(found["key"])
    authority.cert_pem.write_to_path(found["ca"])
    return found


def test_a_client_checks_the_certificate_by_the_authority_of_its_settings(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def alarms(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps({"items": []}).encode()})

    def alarms_at(url: str) -> object:
        with Client(url) as client:
            return client.list("Alarm")

    with answering(alarms, tls=(files["cert"], files["key"])) as port:
        url = f"https://127.0.0.1:{port}"
        with pytest.raises(UnavailableError):
            alarms_at(url)
        (tmp_path / "driftline.toml").write_text(f'[server]\ntls_ca_file = "{files["ca"]}"\n')
        monkeypatch.chdir(tmp_path)
        assert alarms_at(url) == []
        with pytest.raises(UnavailableError):
            alarms_at(f"https://localhost:{port}")
