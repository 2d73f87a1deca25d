"""The way that nearly all records take into a segment, in one piece. Standard library only."""

from __future__ import annotations

import errno
import os
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from zlib import crc32

from driftline.capture.spool.frame import HEADER_BYTES, MAGIC, PADDING, VERSION, Kind
from driftline.capture.spool.frame import pack_head as _pack_head
from driftline.capture.spool.frame import pack_rest as _pack_rest
from driftline.capture.spool.room import Room

__all__ = ["Appender", "short_write"]

_RECORD = int(Kind.RECORD)  # An enum costs more.


class Appender(ABC):
    """What an append looks at, and the append itself; ``SpoolWriter`` does all the rest.

    Until ``_calm_ns`` there is nothing to look at before a record is written: a segment is open and
    has room, no drop is to be told, no body left out, and no failure to be told as over.
    """

    _lock: threading.Lock
    _room: Room
    _calm_ns: int
    _segment: int
    _segment_size: int
    _segment_bytes: int
    _seed: int
    _next_seq: int

    def append_packed(
        self, now: int, flags: int, wall_ns: int, mono_ns: int, first_byte_us: int, total_us: int,
        request_bytes: int, response_bytes: int, status: int, meta: bytes,
        request: Sequence[bytes], response: Sequence[bytes],
    ) -> bool:  # fmt: skip
        """Do what ``append`` does, at the monotonic time ``now``; who calls waits for the disk.

        A call costs more than most of what is done here, so it is done without any; what does not
        come as one chunk each way, or at a calm moment, goes by ``_append_with_care``. Bodies are
        not joined: to allocate kilobytes twice costs more than a checksum and a buffer each.
        """
        reason = None
        lock = self._lock
        lock.acquire()
        try:
            if now < self._calm_ns and len(request) == 1 and len(response) == 1:
                asked, answered = request[0], response[0]
                length = HEADER_BYTES + len(meta) + len(asked) + len(answered)
                size = (length + 7) & -8
                try:
                    rest = _pack_rest(
                        VERSION, _RECORD, flags, self._next_seq, wall_ns, mono_ns, first_byte_us,
                        total_us, request_bytes, response_bytes, len(asked), len(answered), status,
                        len(meta),
                    ) + meta  # fmt: skip
                    checksum = crc32(answered, crc32(asked, crc32(rest, self._seed)))
                    head = _pack_head(MAGIC, length, checksum)
                    buffers = head + rest, asked, answered, PADDING[size - length]
                    if os.writev(self._segment, buffers) != size:
                        reason = self._fail(short_write())
                    else:
                        self._next_seq += 1
                        self._segment_size = end = self._segment_size + size
                        room = self._room
                        room.left_bytes = left = room.left_bytes - size
                        if left <= 0 or end >= self._segment_bytes:
                            self._calm_ns = 0
                        return True
                except struct.error:
                    pass  # With care it is made to fit.
                except OSError as error:
                    reason = self._fail(error)
            return self._append_with_care(
                reason, now, flags, wall_ns, mono_ns, first_byte_us, total_us, request_bytes,
                response_bytes, status, meta, request, response,
            )  # fmt: skip
        finally:
            lock.release()

    @abstractmethod
    def _append_with_care(
        self, reason: str | None, now: int, flags: int, wall_ns: int, mono_ns: int,
        first_byte_us: int, total_us: int, request_bytes: int, response_bytes: int, status: int,
        meta: bytes, request: Sequence[bytes], response: Sequence[bytes],
    ) -> bool:  # fmt: skip
        """Append when that may take more than a write, or count a drop for the reason given."""

    @abstractmethod
    def _fail(self, error: OSError) -> str:
        """Undo a half-written frame; give the reason for what is dropped from now on."""


def short_write() -> OSError:
    """Give what a write that took less than all stands for.

    Near a full volume a write first returns a short count without an error.
    """
    return OSError(errno.ENOSPC, "short write: the volume is full")
