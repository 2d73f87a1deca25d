"""The fast path of an append, in one function. Standard library only."""

from __future__ import annotations

import errno
import os
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from zlib import crc32

from driftline.capture.spool.frame import (
    HEAD_BYTES,
    HEADER_BYTES,
    MAGIC,
    PADDING,
    VERSION,
    Kind,
)
from driftline.capture.spool.frame import pack_head as _pack_head
from driftline.capture.spool.frame import pack_rest as _pack_rest
from driftline.capture.spool.quota import Quota
from driftline.capture.spool.write_buffer import WriteBuffer

_RECORD, _GAP, _CLOSE = int(Kind.RECORD), int(Kind.GAP), int(Kind.CLOSE)  # An enum costs more.


class Appender(ABC):
    """The append and the state that it needs; ``SpoolWriter`` does all the rest.

    Until ``_calm_ns`` there is nothing to look at before a record is written: a segment is open and
    has room, no drop is to be told, no body left out, and no failure to be told as over.
    """

    _lock: threading.Lock
    _quota: Quota
    _calm_ns: int
    _segment: int
    _segment_size: int
    _segment_bytes: int
    _write_buffer: WriteBuffer
    _seed: int
    _next_seq: int

    def append_whole(
        self, now: int, flags: int, wall_ns: int, mono_ns: int, took_us: int, status: int,
        meta: bytes, request: Sequence[bytes], answered: bytes,
    ) -> bool:  # fmt: skip
        """Append a record of whole bodies, answered by one chunk; see ``append_packed``.

        A call costs more than most of what is done here, and each argument of one is felt, so it is
        done without any; what was not asked by one chunk too, or comes at a moment that is not
        calm, goes by ``_append_with_care``. Bodies are not joined: to allocate kilobytes twice
        costs more than a checksum and a buffer each.
        """
        reason = None
        lock = self._lock
        lock.acquire()
        try:
            if now < self._calm_ns and len(request) == 1:
                asked = request[0]
                asked_bytes, answered_bytes = len(asked), len(answered)
                length = HEADER_BYTES + len(meta) + asked_bytes + answered_bytes
                size = (length + 7) & -8
                buffer = self._write_buffer
                used = buffer.used
                end = used + size
                # With care the write buffer is emptied, or passed by.
                if not buffer.room or (used and end <= buffer.room and size <= buffer.largest):
                    try:
                        rest = _pack_rest(
                            VERSION, _RECORD, flags, self._next_seq, wall_ns, mono_ns, took_us,
                            took_us, asked_bytes, answered_bytes, asked_bytes, answered_bytes,
                            status, len(meta),
                        ) + meta  # fmt: skip
                        checksum = crc32(answered, crc32(asked, crc32(rest, self._seed)))
                        head = _pack_head(MAGIC, length, checksum)
                        if used:  # What ``WriteBuffer.add`` does.
                            mapped = buffer.mapped
                            begin = used + HEAD_BYTES
                            middle = begin + len(rest)
                            last = middle + asked_bytes
                            mapped[begin:middle] = rest
                            mapped[middle:last] = asked
                            mapped[last : last + answered_bytes] = answered
                            mapped[used:begin] = head
                            buffer.used = end
                        else:
                            buffers = head + rest, asked, answered, PADDING[size - length]
                            if os.writev(self._segment, buffers) != size:
                                raise short_write()
                            self._segment_size = end = self._segment_size + size
                        self._next_seq += 1
                        quota = self._quota
                        quota.left_bytes = left = quota.left_bytes - size
                        if left <= 0 or end >= self._segment_bytes:
                            self._calm_ns = 0
                        return True  # noqa: TRY300 - what is said below is for what is left.
                    except struct.error:
                        pass  # With care it is made to fit.
                    except OSError as error:
                        reason = self._fail(error)
            return self._append_with_care(
                reason, now, flags, wall_ns, mono_ns, took_us, took_us, sum(map(len, request)),
                len(answered), status, meta, request, (answered,),
            )  # fmt: skip
        finally:
            lock.release()

    def append_packed(
        self, now: int, flags: int, wall_ns: int, mono_ns: int, first_byte_us: int, total_us: int,
        request_bytes: int, response_bytes: int, status: int, meta: bytes,
        request: Sequence[bytes], response: Sequence[bytes],
    ) -> bool:  # fmt: skip
        """Do what ``append`` does, at the monotonic time ``now``; who calls waits for the disk."""
        if (
            first_byte_us == total_us
            and len(request) == len(response) == 1
            and len(request[0]) == request_bytes
            and len(response[0]) == response_bytes
        ):
            return self.append_whole(
                now, flags, wall_ns, mono_ns, total_us, status, meta, request, response[0]
            )
        with self._lock:
            return self._append_with_care(
                None, now, flags, wall_ns, mono_ns, first_byte_us, total_us, request_bytes,
                response_bytes, status, meta, request, response,
            )  # fmt: skip

    def _put(self, kind: int, buffers: Sequence[bytes], size: int) -> str | None:
        """Append a frame whole or not at all; the reason when it could not be.

        What waits in the write buffer goes before all that goes to the segment, save what begins
        one.
        """
        buffer = self._write_buffer
        is_numbered = kind <= _GAP
        try:
            if is_numbered and size <= buffer.largest:
                if buffer.used + size > buffer.room:
                    self._clear_write_buffer()
                buffer.first_seq = buffer.first_seq if buffer.used else self._next_seq
                buffer.add(buffers)
            else:
                if is_numbered or kind == _CLOSE:
                    self._clear_write_buffer()
                if os.writev(self._segment, buffers) != size:
                    raise short_write()
                self._segment_size += size
        except OSError as error:
            return self._fail(error)
        if kind == _RECORD:
            self._tell_mended()
        quota = self._quota
        quota.left_bytes -= size
        if quota.left_bytes <= 0 or self._segment_size >= self._segment_bytes:
            self._calm_ns = 0
        if is_numbered:
            self._next_seq += 1
        return None

    def _clear_write_buffer(self) -> None:
        """Write the buffered frames to the segment; on OSError they stay buffered."""
        buffer = self._write_buffer
        if size := buffer.used:
            if buffer.write_to(self._segment) != size:
                raise short_write()
            self._segment_size += size
            buffer.clear()

    @abstractmethod
    def _append_with_care(
        self, reason: str | None, now: int, flags: int, wall_ns: int, mono_ns: int,
        first_byte_us: int, total_us: int, request_bytes: int, response_bytes: int, status: int,
        meta: bytes, request: Sequence[bytes], response: Sequence[bytes],
    ) -> bool:  # fmt: skip
        """Append when that may take more than a write, or count a drop for the reason given."""

    @abstractmethod
    def _tell_mended(self) -> None:
        """Log, after a failure, that records are written again."""

    @abstractmethod
    def _fail(self, error: OSError) -> str:
        """Undo a half-written frame; return the reason for what is dropped from now on."""


def short_write() -> OSError:
    """Return the error of a write that took less than all.

    Near a full volume a write first returns a short count without an error.
    """
    return OSError(errno.ENOSPC, "short write: the volume is full")
