"""Load on a server: users of one connection each, who ask again as soon as they are answered.

Raw sockets in one thread, so that the client takes little from the server that it measures;
bench/serving.py uses the same.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driftline.errors import UnavailableError

_RECEIVE = 1 << 20
_PATIENCE_S = 90.0  # Longer than an answer may take.


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of load found."""

    requests: int
    failures: int
    seconds: float
    latencies_s: np.ndarray
    first_failure: bytes = b""


class _User:
    """One connection that waits for an answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_s = 0.0
        self._buffer = b""

    def send(self, request: bytes) -> None:
        self.sent_s = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Return the answer once it is complete."""
        data = self.socket.recv(_RECEIVE)
        if not data:
            raise UnavailableError("the server closed a connection without an answer")
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return None
        lower = head.lower()
        at = lower.find(b"content-length:")
        assert at >= 0, head
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return None
        assert len(body) == length, "one answer for one request"
        whole, self._buffer = self._buffer, b""
        return whole


def request_of(port: int, path: str, content_type: str, body: bytes) -> bytes:
    """Return a whole request, as `run` sends it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body


def run(
    port: int, requests: Sequence[bytes], users: int, seconds: float, spawn_per_minute: int = 0
) -> Load:
    """Send requests in turn for some seconds; answers after that still count."""
    poll, by_number = select.epoll(), dict[int, _User]()
    latencies: list[float] = []
    failures, first_failure, sent, waiting = 0, b"", 0, 0
    began_s = now_s = time.perf_counter()
    end_s = began_s + seconds
    try:
        while now_s < end_s or waiting or not sent:
            wanted = users + int((min(now_s, end_s) - began_s) * spawn_per_minute / 60)
            for _ in range(wanted - len(by_number)):
                user = _User(port)
                by_number[user.socket.fileno()] = user
                poll.register(user.socket.fileno(), select.EPOLLIN)
                user.send(requests[sent % len(requests)])
                sent, waiting = sent + 1, waiting + 1
            events = poll.poll(_PATIENCE_S)
            if not events:
                raise UnavailableError(f"the server did not answer within {_PATIENCE_S:g} s")
            for number, _ in events:
                user = by_number[number]
                answer = user.receive()
                now_s = time.perf_counter()
                if answer is None:
                    continue
                latencies.append(now_s - user.sent_s)
                if not answer.startswith(b"HTTP/1.1 200"):
                    failures, first_failure = failures + 1, first_failure or answer[:600]
                if now_s < end_s:
                    user.send(requests[sent % len(requests)])
                    sent += 1
                else:
                    waiting -= 1
    finally:
        poll.close()
        for user in by_number.values():
            user.socket.close()
    return Load(len(latencies), failures, now_s - began_s, np.array(latencies), first_failure)
