"""Limits the failed attempts of each peer in a minute.

Each process counts for itself, in memory that has a bound.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from math import ceil
from typing import Any

from driftline.errors import UnavailableError
from driftline.loopback import Scope, Send, refuse

log = logging.getLogger(__name__)

FAILURES_PER_MINUTE = 20
WINDOW_S = 60.0
KEYS_MAX = 10_000

Clock = Callable[[], float]


class TooManyError(UnavailableError):
    """A peer must wait; ``wait_s`` says for how long."""

    def __init__(self, message: str, wait_s: int) -> None:
        super().__init__(f"{message}; come again in {wait_s} s")
        self.wait_s = wait_s


class RateLimit:
    """Counts what each key does in a minute that begins with the first time."""

    def __init__(self, per_minute: int, clock: Clock = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._counts: dict[str, tuple[float, int]] = {}

    def wait_s(self, key: str) -> int:
        """Return for how many seconds a key must wait; 0 while it is below its limit."""
        began_s, count = self._counts.get(key, (0.0, 0))
        left_s = began_s + WINDOW_S - self._clock()
        return ceil(left_s) if count >= self._per_minute and left_s > 0 else 0

    def count(self, key: str) -> None:
        """Count one more of a key."""
        now_s = self._clock()
        began_s, count = self._counts.get(key, (now_s, 0))
        if now_s - began_s >= WINDOW_S:
            began_s, count = now_s, 0
        if not count:
            self._counts.pop(key, None)  # So that the oldest stand first.
            make_room(self._counts)
        self._counts[key] = (began_s, count + 1)


class FailureLimit:
    """Refuses a peer that tries too many secrets; the log says so once a minute.

    Each wrong secret counts once: a client that sends the same dead token for ever is no attack,
    and must not lock out those who share its address.
    """

    def __init__(
        self, per_minute: int = FAILURES_PER_MINUTE, clock: Clock = time.monotonic
    ) -> None:
        self._limit, self._clock = RateLimit(per_minute, clock), clock
        self._refused, self._said_s = 0, -WINDOW_S
        self._wrong: dict[str, float] = {}

    def is_wrong(self, digest: str) -> bool:
        """Whether a secret was wrong in the last minute, so that nobody need look it up."""
        return self._clock() < self._wrong.get(digest, 0.0)

    def failed(self, peer: str, digest: str) -> None:
        """Count a wrong secret; raise TooManyError when its peer has shown too many."""
        wait_s = self._limit.wait_s(peer)
        if not wait_s:
            self._limit.count(peer)
            make_room(self._wrong)
            self._wrong[digest] = self._clock() + WINDOW_S
            return
        self._refused += 1
        if self._clock() - self._said_s >= WINDOW_S:
            log.warning("wrong_secrets peer=%s refused=%d", peer, self._refused)
            self._refused, self._said_s = 0, self._clock()
        raise TooManyError("too many wrong tokens from this address", wait_s)


def make_room(entries: dict[str, Any], most: int = KEYS_MAX) -> None:
    """Drop the oldest entry where there are as many as there may be."""
    if len(entries) >= most:
        del entries[next(iter(entries))]


def peer_of(scope: Scope) -> str:
    """Return the address that sends a request, as `network_of` counts it."""
    client = scope.get("client")
    return network_of(client[0] if client else "")


def network_of(text: str) -> str:
    """Return an address; of IPv6 its network, of which one host has all."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return str(address)


async def refuse_for_now(send: Send, error: TooManyError) -> None:
    """Answer 429, with the time to wait."""
    extra = [(b"retry-after", str(error.wait_s).encode())]
    await refuse(send, 429, "throttled", str(error), extra)
