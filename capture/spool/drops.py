"""Counters of dropped records, in a memory-mapped page that outlives the process.

Loss is allowed only as counted loss. A writer that is killed while it sheds would lose a count in
memory; the page is in the page cache as soon as it is changed, so whoever reads the spool later
finds what no gap frame has reported yet. Standard library only.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from driftline.capture.spool.traffic import PAGE_BYTES as TRAFFIC_BYTES
from driftline.capture.spool.traffic import TRAFFIC_AT, TrafficCounters

PAGE_BYTES = 4096
_FILE_BYTES = TRAFFIC_AT + TRAFFIC_BYTES
_SLOT = struct.Struct("<16s64sQQQQQ")
_HEAD_BYTES = 16
_SLOTS = (PAGE_BYTES - _HEAD_BYTES) // _SLOT.size


@dataclass(slots=True)
class Drop:
    """What was dropped of one endpoint for one reason: counts, first and last time (wall, ns).

    ``reported`` of the ``records`` are already told by gap frames.
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

    ``records``: how many records were dropped in all; ``has_pending``: whether some of them are
    told by no gap frame; ``traffic``: what was asked, in the page behind.
    """

    def __init__(self, traffic: TrafficCounters | None = None) -> None:
        self._drops: list[Drop] = []
        self.records = 0
        self.has_pending = False
        self.traffic = traffic or TrafficCounters()
        self._page: mmap.mmap | None = None

    def attach(self, path: Path) -> None:
        """Keep the counters in a new, fully allocated file from now on."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if os.write(descriptor, bytes(_FILE_BYTES)) != _FILE_BYTES:
                raise OSError(f"{path}: the volume is full")
            self._page = mmap.mmap(descriptor, _FILE_BYTES)
        finally:
            os.close(descriptor)
        for slot in range(len(self._drops)):
            self._store(slot)
        self.traffic.attach(memoryview(self._page)[TRAFFIC_AT:])

    def count(self, reason: str, endpoint: str, size_bytes: int, wall_ns: int) -> None:
        """Count one dropped record; past the page's slots, without its endpoint."""
        slot = self._slot(reason, endpoint)
        drop = self._drops[slot]
        drop.records += 1
        self.records += 1
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
