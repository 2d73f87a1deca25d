"""Counters of requests and of sampled ones, in a page that outlives the process.

The tap of each process counts here; whoever wants the counts of a host adds up the pages of all
spools, of writers that live and of those that died. Standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = 4096
TRAFFIC_AT = 4096  # Behind the page of the drops, in the same file.
_NAME = struct.Struct("<64s")
_COUNTS = struct.Struct("<QQ")
_SLOT_BYTES = _NAME.size + _COUNTS.size
_SLOTS = PAGE_BYTES // _SLOT_BYTES
_WORD = 8


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests to an endpoint in one process, and how many were sampled.

    ``endpoint`` is empty for all that found no slot of their own: past fifty endpoints.
    """

    endpoint: str
    requests: int
    sampled: int

    @property
    def left_out(self) -> int:
        """How many requests sampling has left out."""
        return self.requests - self.sampled


class TrafficCounters:
    """Counts by endpoint; in memory and, once attached, in the page.

    ``words`` holds the counts as numbers of 64 bits; ``slot`` gives where in it those of an
    endpoint are: requests, and behind them those that were chosen. Whoever counts does so by
    ``counters.words[at] += 1``, the cheapest that there is.
    """

    def __init__(self) -> None:
        self._view = memoryview(bytearray(PAGE_BYTES))
        self.words = self._view.cast("Q")
        self._slots: dict[str, int] = {}

    def slot(self, endpoint: str) -> int:
        """Return the index in ``words`` of an endpoint's counts."""
        at = self._slots.get(endpoint)
        if at is None:
            number = len(self._slots)
            if number >= _SLOTS - 1 and endpoint:
                return self.slot("")
            at = (number * _SLOT_BYTES + _NAME.size) // _WORD
            self._slots[endpoint] = at
            _NAME.pack_into(self._view, number * _SLOT_BYTES, endpoint.encode()[: _NAME.size])
        return at

    def attach(self, page: memoryview) -> None:
        """Continue counting in a page that is shared with readers."""
        page[:] = self._view
        self._take(page)

    def detach(self) -> None:
        """Release the page, and restart from zero in memory; the slots stay."""
        self._take(memoryview(bytearray(self._view)))
        for at in self._slots.values():
            self.words[at] = self.words[at + 1] = 0

    def _take(self, page: memoryview) -> None:
        # The old views go when nobody counts by them any more: another thread may just do so.
        self._view, self.words = page, page.cast("Q")


def read_counters(path: Path) -> list[Traffic]:
    """Read the counts of a writer, alive or dead; none from a missing or older file."""
    try:
        page = path.read_bytes()[TRAFFIC_AT : TRAFFIC_AT + PAGE_BYTES]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return list(_entries(page))


def _entries(page: bytes) -> Iterator[Traffic]:
    for start in range(0, len(page) - _SLOT_BYTES + 1, _SLOT_BYTES):
        (name,) = _NAME.unpack_from(page, start)
        requests, sampled = _COUNTS.unpack_from(page, start + _NAME.size)
        if requests:
            # Two stores count one request: between them the second may be ahead.
            endpoint = name.rstrip(b"\0").decode("utf-8", "replace")
            yield Traffic(endpoint, requests, min(sampled, requests))
