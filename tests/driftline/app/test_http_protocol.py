"""Heads of requests, trailers and chunks have a bound, however they are cut into pieces."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.app.http_protocol import MOST_HEAD_BYTES
from driftline.loopback import refuse
from tests.driftline.app.conftest import PATIENCE_S, answering


async def sizes(scope: Any, receive: Any, send: Any) -> None:
    """Answer with how many bytes of headers and body came; refuse one of ten million or more."""
    if any(name == b"content-length" and len(value) > 7 for name, value in scope["headers"]):
        await refuse(send, 413, "too_large", "too large")
        return
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


def answer(port: int, sent: bytes, cuts: tuple[int, ...] = ()) -> bytes:
    """Return all that comes for bytes that are sent in pieces; b"" where only the end comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found = b""
        try:
            for first, last in zip((0, *cuts), (*cuts, len(sent)), strict=True):
                connection.sendall(sent[first:last])
            while data := connection.recv(1 << 16):
                found += data
        except ConnectionError:  # Closed while we sent: what was said may be lost on the way.
            pass
        return found


def get(*headers: bytes, path: bytes = b"/") -> bytes:
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: x", *headers, b"", b""))


CLOSE = b"Connection: close"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_MUCH = b"a" * (MOST_HEAD_BYTES + 1)
# name → bytes of which some part is larger than is read.
LARGE = {
    "a line": get(path=b"/" + TOO_MUCH),
    "a header": get(b"X: " + TOO_MUCH),
    "a header's name": get(TOO_MUCH + b": x"),
    "headers": get(*(b"X%d: %b" % (at, b"a" * 1000) for at in range(70))),
    "a header that never ends": b"GET / HTTP/1.1\r\nX: " + TOO_MUCH * 4,
    "a trailer": CHUNKED + b"0\r\nX: " + TOO_MUCH * 20 + b"\r\n\r\n",
    "a chunk's extension": CHUNKED + b"1;" + TOO_MUCH * 5 + b"\r\nx\r\n0\r\n\r\n",
    "the second head": get() + get(b"X: " + TOO_MUCH),
}  # fmt: skip


@pytest.mark.parametrize("cut", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("large", LARGE)
def test_a_head_above_the_bound_is_refused(port: int, large: str, cut: bool) -> None:
    sent = LARGE[large]
    found = answer(port, sent, tuple(range(1000, len(sent), 1000)) if cut else ())

    statuses = [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]]
    # What we send after the refusal may make the system drop it.
    assert (
        statuses in ([b"200", b"431"], [b"200"], [])
        if large == "the second head"
        else (statuses in ([b"431"], []))
    )


def test_a_head_within_the_bound_is_read_and_a_body_has_none(port: int) -> None:
    header, body = b"X: " + b"a" * 60_000, b"b" * 1_000_000
    length = b"Content-Length: %d" % len(body)
    sent = get(header, CLOSE, length).replace(b"GET", b"POST") + body

    assert answer(port, sent).endswith(b" 1000000")


@given(cuts=st.sets(st.integers(1, 300), max_size=20))
def test_requests_are_answered_alike_however_they_are_cut(port: int, cuts: set[int]) -> None:
    chunks = b"3\r\nabc\r\n4;name=value\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n"
    sent = get(b"X: 1") + CHUNKED + chunks

    found = answer(port, sent, tuple(sorted(cut for cut in cuts if cut < len(sent))))

    assert [part.rpartition(b" ")[2] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"0", b"7"]


def test_a_trailer_is_no_header(port: int) -> None:
    trailer = b"X-Forwarded-User: root"
    without, with_one = (
        answer(port, CHUNKED + b"1\r\nx\r\n0\r\n" + part + b"\r\n")
        for part in (b"", trailer + b"\r\n")
    )

    assert without.splitlines()[-1] == with_one.splitlines()[-1]


async def at_once(_scope: Any, _receive: Any, send: Any) -> None:
    """Refuse a request without a look at its body."""
    await refuse(send, 401, "unauthorized", "who are you?")


def test_a_connection_is_kept_whose_body_ends_behind_its_answer() -> None:
    """The rest of a body that nobody reads is no head that a client is slow to send."""
    with (
        answering(at_once, head_timeout_s=0.2) as port,
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection,
    ):
        answers = connection.makefile("rb")
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n")
        length = next(int(one[16:]) for one in answers if one.startswith(b"content-length: "))
        assert answers.read(len(b"\r\n") + length).endswith(b'who are you?"}}')
        connection.sendall(b"x" * 10)
        connection.sendall(b"x" * 10)
        time.sleep(0.5)  # Longer than a head may take.

        connection.sendall(get())
        assert answers.readline().startswith(b"HTTP/1.1 401")
        connection.sendall(b"GET / HT")
        assert answers.read().endswith(b'who are you?"}}')


def test_an_answer_half_sent_is_not_followed_by_a_refusal() -> None:
    began = threading.Event()

    async def slow(_scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        began.set()
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)

    with answering(slow) as port:
        found = answer(port, CHUNKED + b"0\r\nX: " + TOO_MUCH * 20 + b"\r\n\r\n")

    assert began.is_set()
    assert b"431" not in found
