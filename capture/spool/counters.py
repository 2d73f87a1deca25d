"""Counters of requests, of sampled ones and of drops, in pages that outlive the process.

The tap of each process counts here, in the page cache at once; the counts of a host are the sum
over the pages of all spools, of living and dead writers. Records may be lost only if the loss is
counted: what a writer that was killed while dropping has not reported by a gap frame is found here.
Standard library only.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = 4096
TRAFFIC_AT = PAGE_BYTES  # Behind the page of the drops, in the same file.
_FILE_BYTES = 2 * PAGE_BYTES
# A page of requests: the endpoint's name, then both counts.
_NAME = struct.Struct("<64s")
_COUNTS = struct.Struct("<QQ")
_TRAFFIC_BYTES = _NAME.size + _COUNTS.size
_TRAFFIC_SLOTS = PAGE_BYTES // _TRAFFIC_BYTES
_WORD = 8
# Two words behind all slots, which nobody reads: for what is no request of a caller's.
UNREAD_AT = PAGE_BYTES // _WORD - 2
# A page of drops: reason, endpoint and the numbers of ``Drop``.
_SLOT = struct.Struct("<16s64sQQQQQ")
_HEAD_BYTES = 16
_SLOTS = (PAGE_BYTES - _HEAD_BYTES) // _SLOT.size


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests to an endpoint in one process, and how many were sampled.

    ``endpoint`` is empty for all that found no slot of their own: past fifty endpoints.
    """

    endpoint: str
    requests: int
    sampled: int


class TrafficCounters:
    """Counts by endpoint; in memory and, once attached, in the page.

    ``words`` holds the counts as numbers of 64 bits; ``slot`` returns the index in it of an
    endpoint's requests; its sampled requests follow. ``counters.words[at] += 1`` is the cheapest
    way to count.
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
            if number >= _TRAFFIC_SLOTS - 1 and endpoint:
                return self.slot("")
            at = (number * _TRAFFIC_BYTES + _NAME.size) // _WORD
            self._slots[endpoint] = at
            _NAME.pack_into(self._view, number * _TRAFFIC_BYTES, endpoint.encode()[: _NAME.size])
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
    """Read the counts of a writer, alive or dead; none from a missing file."""
    try:
        page = path.read_bytes()[TRAFFIC_AT : TRAFFIC_AT + PAGE_BYTES]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return list(_entries(page))


def read_names(path: Path) -> list[str]:
    """Return the endpoints that a writer, alive or dead, counts requests of."""
    try:
        page = path.read_bytes()[TRAFFIC_AT : TRAFFIC_AT + PAGE_BYTES]
    except (FileNotFoundError, NotADirectoryError):
        return []
    starts = range(0, len(page) - _TRAFFIC_BYTES + 1, _TRAFFIC_BYTES)
    names = (_NAME.unpack_from(page, start)[0].rstrip(b"\0") for start in starts)
    return [name.decode("utf-8", "replace") for name in names if name]


def read_boot(path: Path) -> str:
    """Return the id of the boot in which a writer began, without dashes; empty when unknown."""
    try:
        head = path.read_bytes()[:_HEAD_BYTES]
    except FileNotFoundError:
        return ""
    return head.hex() if any(head) else ""


def _entries(page: bytes) -> Iterator[Traffic]:
    for start in range(0, len(page) - _TRAFFIC_BYTES + 1, _TRAFFIC_BYTES):
        (name,) = _NAME.unpack_from(page, start)
        requests, sampled = _COUNTS.unpack_from(page, start + _NAME.size)
        if requests:
            # Two stores count one request: between them the second may be ahead.
            endpoint = name.rstrip(b"\0").decode("utf-8", "replace")
            yield Traffic(endpoint, requests, min(sampled, requests))


@dataclass(slots=True)
class Drop:
    """The drops of one endpoint for one reason: counts, first and last time (wall, ns).

    ``reported`` of the ``records`` are in gap frames already.
    """

    reason: str
    endpoint: str
    records: int = 0
    size_bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    reported: int = 0

    def untold(self) -> dict[str, str]:
        """Return the meta of a gap frame for the unreported drops."""
        return {
            "reason": self.reason,
            "endpoint": self.endpoint,
            "records": str(self.records - self.reported),
            "total": str(self.records),
            "bytes": str(self.size_bytes),
            "first_ns": str(self.first_ns),
            "last_ns": str(self.last_ns),
        }


class DropCounters:
    """Drops by reason and endpoint, in memory and, once attached, in a page of a file.

    ``has_pending``: whether some records are not in a gap frame yet; ``traffic``: the requests, in
    the next page.
    """

    def __init__(self, traffic: TrafficCounters | None = None) -> None:
        self._drops: list[Drop] = []
        self.has_pending = False
        self.traffic = traffic or TrafficCounters()
        self._page: mmap.mmap | None = None

    def attach(self, path: Path, boot_id: str = "") -> None:
        """Keep the counters in a new, fully allocated file from now on; ``boot_id``: this boot."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if os.write(descriptor, bytes(_FILE_BYTES)) != _FILE_BYTES:
                raise OSError(f"{path}: the volume is full")
            self._page = mmap.mmap(descriptor, _FILE_BYTES)
        finally:
            os.close(descriptor)
        boot = bytes.fromhex(boot_id.replace("-", ""))
        if len(boot) == _HEAD_BYTES:
            self._page[:_HEAD_BYTES] = boot
        for slot in range(len(self._drops)):
            self._store(slot)
        self.traffic.attach(memoryview(self._page)[TRAFFIC_AT:])

    def count(self, reason: str, endpoint: str, size_bytes: int, wall_ns: int) -> None:
        """Count one dropped record; past the page's slots, without its endpoint."""
        slot = self._slot(reason, endpoint)
        drop = self._drops[slot]
        drop.records += 1
        self.has_pending = True
        drop.size_bytes += size_bytes
        drop.first_ns = drop.first_ns or wall_ns
        drop.last_ns = wall_ns
        self._store(slot)

    def pending(self) -> list[Drop]:
        """Return the drops that no gap frame has fully reported."""
        return [drop for drop in self._drops if drop.records > drop.reported]

    def report(self, drop: Drop) -> None:
        """Mark these drops as reported by a gap frame."""
        drop.reported = drop.records
        self._store(self._drops.index(drop))
        drop.first_ns = 0
        drop.size_bytes = 0
        self.has_pending = any(other.records > other.reported for other in self._drops)

    def close(self) -> None:
        """Close the page; the file stays."""
        if self._page is not None:
            self.traffic.detach()
            with suppress(BufferError):  # A thread that just counts holds it; it goes with that.
                self._page.close()
            self._page = None

    def _slot(self, reason: str, endpoint: str) -> int:
        for slot, drop in enumerate(self._drops):
            if drop.reason == reason and drop.endpoint == endpoint:
                return slot
        if len(self._drops) >= _SLOTS - 1 and endpoint:
            return self._slot("full", "")
        if len(self._drops) == _SLOTS:
            return _SLOTS - 1
        self._drops.append(Drop(reason, endpoint))
        return len(self._drops) - 1

    def _store(self, slot: int) -> None:
        if self._page is None:
            return
        drop = self._drops[slot]
        packed = _SLOT.pack(
            drop.reason.encode()[:16],
            drop.endpoint.encode()[:64],
            drop.records,
            drop.size_bytes,
            drop.first_ns,
            drop.last_ns,
            drop.reported,
        )
        start = _HEAD_BYTES + slot * _SLOT.size
        self._page[start : start + _SLOT.size] = packed


def read_drops(path: Path) -> list[Drop]:
    """Read the counters of a writer, alive or dead; a file that is missing or short has none."""
    try:
        page = path.read_bytes()[:PAGE_BYTES]
    except FileNotFoundError:
        return []
    drops: list[Drop] = []
    for start in range(_HEAD_BYTES, len(page) - _SLOT.size + 1, _SLOT.size):
        reason, endpoint, *numbers = _SLOT.unpack_from(page, start)
        if numbers[0]:
            texts = (part.rstrip(b"\0").decode("utf-8", "replace") for part in (reason, endpoint))
            drops.append(Drop(*texts, *numbers))
    return drops
