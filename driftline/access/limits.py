"""Limits the failed attempts of each peer in a minute.

Each process counts for itself, in memory that has a bound.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable

from cachetools import TTLCache

from driftline.errors import UnavailableError
from driftline.loopback import Scope, Send, refuse

log = logging.getLogger(__name__)

FAILURES_PER_MINUTE = 20
WINDOW_S = 60
KEYS_MAX = 10_000

Clock = Callable[[], float]


class TooManyError(UnavailableError):
    """A peer must wait for a minute."""


class RateLimit:
    """Counts what each key does in a minute that begins with the first time."""

    def __init__(self, per_minute: int, clock: Clock = time.monotonic) -> None:
        self._per_minute = per_minute
        self._counts: TTLCache[str, list[int]] = TTLCache(KEYS_MAX, WINDOW_S, clock)

    def allows(self, key: str) -> bool:
        """Count one more of a key; whether it is within the limit."""
        count = self._counts.setdefault(key, [0])
        count[0] += 1
        return count[0] <= self._per_minute


class FailureLimit:
    """Refuses a peer that tries too many secrets; the log says so once a minute.

    Each wrong secret counts once: a client that sends the same dead token for ever is no attack,
    and must not lock out those who share its address.
    """

    def __init__(
        self, per_minute: int = FAILURES_PER_MINUTE, clock: Clock = time.monotonic
    ) -> None:
        self._peers, self._logged = RateLimit(per_minute, clock), RateLimit(1, clock)
        self._wrong: TTLCache[str, bool] = TTLCache(KEYS_MAX, WINDOW_S, clock)

    def is_wrong(self, digest: str) -> bool:
        """Whether a secret was wrong in the last minute, so that nobody need look it up."""
        return digest in self._wrong

    def failed(self, peer: str, digest: str) -> None:
        """Count a wrong secret; raise TooManyError when its peer has shown too many."""
        if self._peers.allows(peer):
            self._wrong[digest] = True
            return
        if self._logged.allows(""):
            log.warning("wrong_secrets peer=%s: refused for a minute", peer)
        raise TooManyError("too many wrong tokens from this address; try again in a minute")


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


async def refuse_for_now(send: Send, error: UnavailableError) -> None:
    """Answer 429 or 503, with the time to wait."""
    is_limit = isinstance(error, TooManyError)
    status, code, wait_s = (429, "throttled", WINDOW_S) if is_limit else (503, "unavailable", 1)
    await refuse(send, status, code, str(error), [(b"retry-after", b"%d" % wait_s)])
