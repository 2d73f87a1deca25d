"""Phases of load on a server: what they ask for, what they measure, when more is of no use.

Each user has one connection and asks again as soon as it is answered: raw sockets in one thread,
so that the client takes little from the server that it measures; bench/serving.py uses the same.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import NamedTuple, Self

import numpy as np

from driftline.errors import InputError, UnavailableError

FLAT = 0.05  # Throughput that grows by less is flat.
_RECEIVE = 1 << 20
_PATIENCE_S = 90.0  # Longer than an answer may take.
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PHASE = re.compile(r"(\d{1,4})(?::(\d{1,5}))?(?::(\d{1,4}(?:\.\d+)?))?")


class Phase(NamedTuple):
    """A span of load: the users at its start, and how many come in a minute."""

    users: int
    spawn_per_minute: int = 0
    seconds: float = 2.0

    def users_after(self, seconds: float) -> int:
        """Return how many users there are some seconds after its start."""
        return self.users + int(min(seconds, self.seconds) * self.spawn_per_minute / 60)

    @property
    def most_users(self) -> int:
        """How many users there are at its end."""
        return self.users_after(self.seconds)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read USERS[:SPAWN[:SECONDS]]."""
        found = _PHASE.fullmatch(text)
        if found is None or not int(found[1]) or not float(found[3] or 1):
            raise InputError(
                f'phase "{text}"; expected USERS[:SPAWN[:SECONDS]], such as 8 or 2:60:10'
            )
        return cls(int(found[1]), int(found[2] or 0), float(found[3] or 2))


LADDER = tuple(Phase(2**step) for step in range(7))


class Load(NamedTuple):
    """What one run of load took, and the latency of each request."""

    seconds: float
    latencies_s: np.ndarray

    @property
    def per_minute(self) -> float:
        """Requests a minute."""
        return 60 * len(self.latencies_s) / self.seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """What a phase measured: medians of its repetitions."""

    users: int
    invocations_per_minute: float
    spread: float  # Half of what lies between the least and the most of these, as a share.
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_cores: float  # Of all processes of the server, in cores that are busy all the time.
    memory_mib: float

    @classmethod
    def of(cls, users: int, loads: Sequence[Load], cores: Sequence[float], mib: float) -> Self:
        """Put the repetitions of a phase together."""
        rates = [load.per_minute for load in loads]
        quantiles = [np.quantile(load.latencies_s, (0.5, 0.95, 0.99)) for load in loads]
        spread = (max(rates) - min(rates)) / median(rates) / 2
        p50, p95, p99 = (1e3 * np.median(quantiles, axis=0)).tolist()
        return cls(users, median(rates), spread, p50, p95, p99, median(cores), mib)


def why_no_more(peak: Measured | None, now: Measured, max_p95_ms: float | None) -> str | None:
    """Return why a phase is no better than the peak before it; None where it is better."""
    if max_p95_ms is not None and now.p95_ms > max_p95_ms:
        return f"P95 of {now.p95_ms:.3g} ms with {now.users} users, above {max_p95_ms:g} ms"
    growth = now.invocations_per_minute / peak.invocations_per_minute - 1 if peak else FLAT
    return f"flat: {growth:+.1%} invocations with {now.users} users" if growth < FLAT else None


class _User:
    """One connection that waits for an answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self._answer = b""
        self.sent_s = time.perf_counter()
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Receive; InputError when the answer is complete and not what was asked for."""
        if not (data := self.socket.recv(_RECEIVE)):
            raise UnavailableError("the server closed a connection without an answer")
        self._answer += data
        head, mark, body = self._answer.partition(b"\r\n\r\n")
        if not mark:
            return False
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            return False
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            status = head.split(b"\r\n", 1)[0].decode("latin-1")
            raise InputError(f"a call failed: {status}: {body[:200].decode('utf-8', 'replace')}")
        return True


def request_of(
    port: int, path: str, content_type: str, body: bytes, token: str | None = None
) -> bytes:
    """Return a whole request, as `run` sends it."""
    shown = "" if token is None else f"Authorization: Bearer {token}\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {content_type}\r\n"
        f"{shown}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body


def run(port: int, requests: Sequence[bytes], phase: Phase) -> Load:
    """Send requests in turn for a phase, one at least; answers after its end still count."""
    following, waiting, took_s = cycle(requests), 0, 0.0
    users, latencies = dict[int, _User](), list[float]()
    began_s = time.perf_counter()
    with ExitStack() as opened:
        poll = opened.enter_context(select.epoll())
        while took_s < phase.seconds or waiting or not latencies:
            while len(users) < phase.users_after(took_s):
                user = _User(port)
                opened.callback(user.socket.close)
                users[user.socket.fileno()] = user
                poll.register(user.socket, select.EPOLLIN)
                user.send(next(following))
                waiting += 1
            if not (events := poll.poll(_PATIENCE_S)):
                raise UnavailableError(f"the server did not answer within {_PATIENCE_S:g} s")
            for number, _ in events:
                user = users[number]
                if not user.is_answered():
                    continue
                now_s = time.perf_counter()
                latencies.append(now_s - user.sent_s)
                took_s = now_s - began_s
                if took_s < phase.seconds:
                    user.send(next(following))
                else:
                    waiting -= 1
    return Load(took_s, np.array(latencies))
