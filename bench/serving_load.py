"""Load for bench/serving.py: requests on some connections, each answered before the next is sent.

Raw sockets in one thread, so that the client costs little and takes nothing from the servers that
it measures. What a process tree takes is read from /proc.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Load", "below", "memory_mib", "name_of", "processor_s", "run"]

TICKS_S = os.sysconf("SC_CLK_TCK")
_RECEIVE = 1 << 20


@dataclass(frozen=True)
class Load:
    """What one run found."""

    requests: int
    failures: int
    seconds: float
    latencies_s: np.ndarray
    first_failure: bytes = b""


class _Connection:
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
            raise ConnectionError("the server closed a connection")
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


def run(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    every_s: float = 0.0,
) -> Load:
    """Send requests in turn for some seconds; answers after that still count.

    ``every_s``: how often one connection asks; a request that is sent late has waited since then.
    """
    assert not every_s or connections == 1, "one connection waits for its time"
    opened = [_Connection(port) for _ in range(connections)]
    by_number = {one.socket.fileno(): one for one in opened}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    latencies: list[float] = []
    failures, first_failure, at = 0, b"", 0
    began_s = time.perf_counter()
    end_s = began_s + seconds
    for one in opened:
        one.send(requests[at % len(requests)])
        at += 1
    waiting = len(opened)
    while waiting:
        for number, _ in poll.poll():
            one = by_number[number]
            answer = one.receive()
            if answer is None:
                continue
            now_s = time.perf_counter()
            latencies.append(now_s - one.sent_s)
            if not answer.startswith(b"HTTP/1.1 200"):
                failures += 1
                first_failure = first_failure or answer[:600]
            if now_s < end_s:
                due_s = began_s + at * every_s
                time.sleep(max(0.0, due_s - now_s))
                one.send(requests[at % len(requests)])
                one.sent_s = due_s if every_s else one.sent_s
                at += 1
            else:
                waiting -= 1
    took_s = time.perf_counter() - began_s
    poll.close()
    for one in opened:
        one.socket.close()
    return Load(len(latencies), failures, took_s, np.array(latencies), first_failure)


def below(pid: int) -> list[int]:
    """Return a process and all that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for task in Path(f"/proc/{pid}/task").iterdir():
            if task.name != str(pid):
                children += (task / "children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(one for child in children for one in below(int(child)))]


def processor_s(pid: int) -> float:
    """Return the processor seconds of a process, user and system."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(one) for one in fields[11:13]) / TICKS_S


def memory_mib(pid: int) -> float:
    """Return the proportional share of a process, in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no share of process {pid}")


def name_of(pid: int) -> str:
    """Return the name of a process of an installation of ours."""
    return Path(f"/proc/{pid}/comm").read_text().strip()
