"""The spool: append-only segment files of checksummed frames, one writer process each.

``SpoolWriter`` creates ``<folder>/<spool id>/`` when it first appends, never before, so that a
server may be loaded and then forked. A record survives kill -9 in the page cache. Nothing raises
into the caller: what cannot be written is dropped, counted, and reported by a later gap frame.
Standard library only.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from driftline.capture.spool.counters import DropCounters, TrafficCounters
from driftline.capture.spool.folder import SpoolFolder
from driftline.capture.spool.frame import (
    HEADER_BYTES,
    Kind,
    pack_meta,
    pack_parts,
    seed_of,
    unpack_meta,
)  # fmt: skip
from driftline.capture.spool.quota import Quota

log = logging.getLogger(__name__)


SECOND_NS = 1_000_000_000
_QUIET_NS = 60 * SECOND_NS
_MAX_BUFFERS = 500  # Of one record, and of those before it; IOV_MAX is 1024 on Linux.
_MAX_HELD_BYTES = 1 << 16
_WORTH_FREEING_BYTES, _MAX_NS = 4 << 10, (1 << 63) - 1
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_RECORD, _GAP = int(Kind.RECORD), int(Kind.GAP)  # An enum costs more.
_Outline = tuple[int, bytes, int]  # Of a frame: its bytes, its meta, and when its request came.


class SpoolWriter:
    """Appends capture records of one process to a spool of its own.

    ``folder``: the host's spool folder; all spools in it share one budget; ``max_bytes``: bytes
    that all spools of the folder may take together; above it records are dropped;
    ``min_free_bytes``: bytes that must stay free on the volume; None: 5% of it, at most 1 GiB;
    ``segment_bytes``, ``segment_s``: size and age at which a new segment begins, so that old ones
    can be removed. A record survives the process, being in the page cache; whoever reads the spool
    also puts it on the disk each second.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        max_bytes: int = 2 << 30,
        min_free_bytes: int | None = None,
        segment_bytes: int = 64 << 20,
        segment_s: float = 60.0,
        now_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.folder = Path(folder)
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        # Small against the budget: what is shipped is removed by whole segments.
        self._segment_bytes = min(segment_bytes, max(max_bytes // 8, 1))
        self._segment_ns = int(segment_s * SECOND_NS)
        self._now_ns, self._mono_ns = now_ns, mono_ns
        self.traffic = TrafficCounters()
        self.stored = 0
        """How many records this process has written."""
        self.dropped = 0
        """How many it has dropped."""
        self._reset()
        call_in_children(self._after_fork)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._spool: SpoolFolder | None = None
        self._segment = -1
        self._segment_size = 0
        self._segment_born_ns = 0
        self._seed = 0
        self._next_seq = 1
        # Of frames that are not written yet.
        self._held: list[bytes] = []
        self._held_outlines: list[_Outline] = []
        self._held_bytes = 0
        self._quota = Quota(
            self.folder, max_bytes=self._max_bytes, min_free_bytes=self._min_free_bytes
        )
        # Until then there is nothing to look at before a record is written.
        self._calm_ns = 0
        self._checked_ns: int | None = None
        self._retry_ns = 0
        self._reason = "full"
        self._is_failing = False
        self._quiet_ns = 0
        self._is_lost = False
        self._open_again_ns: int | None = None
        self.traffic.detach()
        self._drops = DropCounters(self.traffic)

    def append(
        self,
        meta: Mapping[str, str] | bytes,
        request: Sequence[bytes] = (),
        response: Sequence[bytes] = (),
        *,
        flags: int = 0,
        wall_ns: int = 0,
        mono_ns: int = 0,
        first_byte_us: int = 0,
        total_us: int = 0,
        request_bytes: int = 0,
        response_bytes: int = 0,
        status: int = 0,
        later: Callable[[Callable[[], None]], object] | None = None,
    ) -> bool:
        """Write one record; False when it was dropped (and counted).

        ``meta`` may be packed already; ``endpoint`` in it names whose drop it is. ``later``: calls
        what it is given before long, which writes the record with others. Thread-safe.
        """
        if later is not None:
            later(self.flush)
        packed = meta if isinstance(meta, bytes) else pack_meta(meta)
        if len(request) + len(response) > _MAX_BUFFERS:
            request, response = (b"".join(request),), (b"".join(response),)
        with self._lock:
            now = self._mono_ns()
            if now >= self._calm_ns:
                self._flush()
                if reason := self._prepare(now):
                    size = HEADER_BYTES + len(packed)
                    size += sum(map(len, request)) + sum(map(len, response))
                    self._drop(reason, (size, packed, wall_ns))
                    return False
            numbers = (
                _RECORD, flags, self._next_seq, wall_ns, mono_ns, first_byte_us, total_us,
                request_bytes, response_bytes,
            )  # fmt: skip
            buffers, size = pack_parts(self._seed, numbers, status, packed, request, response)
            self._held_outlines.append((size, packed, wall_ns))
            held = self._held
            held += buffers
            self._held_bytes += size
            self._next_seq += 1
            if later is None or self._held_bytes > _MAX_HELD_BYTES or len(held) > _MAX_BUFFERS:
                return self._flush()
            return True

    def flush(self) -> None:
        """Write the records that are held."""
        with self._lock:
            self._flush()

    def _flush(self) -> bool:
        """Write the records that are held; False when the last was dropped (and counted)."""
        buffers, outlines = self._held, self._held_outlines
        if not outlines:
            return True
        self._held, self._held_outlines, self._held_bytes = [], [], 0
        count, reason = self._put(buffers, outlines)
        self.stored += count
        if reason is None:
            self._tell_mended()
            return True
        self._next_seq -= len(outlines) - count
        for outline in outlines[count:]:
            self._drop(reason, outline)
        return False

    def _put(
        self, buffers: Sequence[bytes], outlines: Sequence[_Outline]
    ) -> tuple[int, str | None]:
        """Append frames at once, each whole or not at all; return how many, and why not all."""
        try:
            left = os.writev(self._segment, buffers)
        except Exception as error:  # noqa: BLE001 - whatever it is, each record is counted.
            return 0, self._fail(error)
        count = 0
        for size, _, _ in outlines:
            left -= size
            if left < 0:
                return count, self._fail(_short_write())
            count += 1
            self._segment_size += size
            self._quota.left_bytes -= size
        if self._quota.left_bytes <= 0 or self._segment_size >= self._segment_bytes:
            self._calm_ns = 0
        return count, None

    def count_drop(self, reason: str, endpoint: str) -> None:
        """Count a record that never came to ``append``; the next gap frame tells it."""
        with self._lock:
            self._count(reason, endpoint, 0, self._now_ns())

    def _drop(self, reason: str, outline: _Outline) -> None:
        size, packed, wall_ns = outline
        endpoint = unpack_meta(packed).get("endpoint", "")
        self._count(reason, endpoint, size - HEADER_BYTES, wall_ns or self._now_ns())

    def _count(self, reason: str, endpoint: str, size_bytes: int, wall_ns: int) -> None:
        """Count a drop; in a spool, though it may hold no record yet, for memory dies with us."""
        now = self._mono_ns()
        self._calm_ns = 0
        self.dropped += 1
        if self._spool is None and (self._open_again_ns is None or now >= self._open_again_ns):
            self._open_again_ns = now + SECOND_NS
            with suppress(OSError):
                self._open_spool()
        self._drops.count(reason, endpoint, size_bytes, min(max(wall_ns, 0), _MAX_NS))

    @property
    def spool_id(self) -> str | None:
        """The id of the spool that is being written; None before the first record."""
        return None if self._spool is None else self._spool.spool_id

    def close(self) -> None:
        """End the spool cleanly; a later append begins a new one."""
        with self._lock:
            self._flush()
            is_due = self._segment >= 0 or self._drops.has_pending
            self._retry_ns = 0  # The last time to write down what was dropped.
            if is_due and self._prepare(self._mono_ns()) is None:
                self._write(self._plain(Kind.CLOSE), b"")
            if is_due and self._spool is None:
                log.error(
                    "capture ends and could write nothing, all is lost folder=%s dropped=%d",
                    self.folder, self.dropped,
                )  # fmt: skip
            self._close_files()
            lock = self._lock
            self._reset()
            self._lock = lock

    def _after_fork(self) -> None:
        """Close the parent's files in a forked child; a later append begins a new spool."""
        self._close_files()
        self._reset()
        self.stored = self.dropped = 0

    def _close_files(self) -> None:
        self._drops.close()
        self._close_segment()
        if self._spool is not None:
            self._spool.close()

    def _prepare(self, now: int) -> str | None:
        """Ensure an open segment with room, and no unreported drop; return why not."""
        self._calm_ns = 0
        reason = self._make_room(now) or self._tell_gaps()
        if reason is None and self._checked_ns is not None:
            self._calm_ns = min(
                self._checked_ns + SECOND_NS, self._segment_born_ns + self._segment_ns
            )
        return reason

    def _make_room(self, now: int) -> str | None:
        """Ensure an open segment with room; return why not."""
        if now < self._retry_ns:
            return self._reason
        is_stale = self._checked_ns is None or now - self._checked_ns >= SECOND_NS
        if is_stale or self._quota.left_bytes <= 0:
            self._checked_ns = now
            try:
                self._look_for_removal()
                self._quota.measure(now)
            except OSError as error:
                return self._fail(error)
        if self._quota.left_bytes <= 0:
            self._report_failing("the volume or the budget of the spool is full")
            if self._segment_size > _WORTH_FREEING_BYTES:
                # Its reader can remove a segment only when another one has begun.
                self._open_segment(now)
            self._retry_ns = now + SECOND_NS // 5
            self._reason = "full"
            return self._reason
        is_due = (
            self._segment_size >= self._segment_bytes
            or now - self._segment_born_ns >= self._segment_ns
        )
        if self._segment >= 0 and not is_due:
            return None
        return self._open_segment(now)

    def _look_for_removal(self) -> None:
        """Restart when the file being written was removed, and report that."""
        if self._segment < 0 or os.fstat(self._segment).st_nlink:
            return
        assert self._spool is not None
        log.error("capture segment removed under its writer spool=%s", self._spool.spool_id)
        self._close_segment()
        if not self._spool.is_there():
            self._close_files()
            self._spool, self._next_seq, self._is_lost = None, 1, True
        # Otherwise the hole in the sequence tells how many are gone.

    def _open_segment(self, now: int) -> str | None:
        try:
            if self._spool is None:
                self._open_spool()
            assert self._spool is not None
            self._close_segment()
            self._segment = self._spool.open_segment(self._next_seq)
        except OSError as error:
            return self._fail(error)
        self._segment_size = 0
        self._segment_born_ns = now
        return self._write(self._plain(Kind.SEGMENT), self._spool.header())

    def _open_spool(self) -> None:
        self._spool = SpoolFolder(self.folder, self._drops, self._now_ns())
        self._seed = seed_of(self._spool.spool_id)

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, -1
        if segment >= 0:
            os.close(segment)

    def _plain(self, kind: Kind) -> tuple[int, ...]:
        now = max(self._now_ns(), 0)
        return (int(kind), 0, self._next_seq, now, self._mono_ns(), 0, 0, 0, 0)

    def _tell_gaps(self) -> str | None:
        if self._is_lost:
            # A spool was removed as a whole; how much of it nobody had read yet, nobody knows.
            gone = {"reason": "removed", "last_ns": str(min(max(self._now_ns(), 0), _MAX_NS))}
            if reason := self._write(self._plain(Kind.GAP), pack_meta(gone)):
                return reason
            self._is_lost = False
        for drop in self._drops.pending() if self._drops.has_pending else ():
            meta = drop.untold()
            if reason := self._write(self._plain(Kind.GAP), pack_meta(meta)):
                return reason
            self._drops.report(drop)
        return None

    def _write(self, numbers: tuple[int, ...], meta: bytes) -> str | None:
        """Append a frame that is not a record; return the reason if impossible."""
        buffers, size = pack_parts(self._seed, numbers, 0, meta, (), ())
        _, reason = self._put(buffers, [(size, meta, 0)])
        if reason is None and numbers[0] == _GAP:
            self._next_seq += 1
        return reason

    def _tell_mended(self) -> None:
        if self._is_failing:
            self._is_failing = False
            # In a flood it fails and goes on several times a second.
            self._quiet_ns = self._mono_ns() + _QUIET_NS
            log.warning("capture records again spool=%s dropped=%d", self.spool_id, self.dropped)

    def _report_failing(self, error: object) -> None:
        """Log once that records are dropped; the count goes on."""
        if not self._is_failing and self._mono_ns() >= self._quiet_ns:
            self._is_failing = True
            log.warning(
                "capture drops records until this is fixed folder=%s error=%s", self.folder, error
            )

    def _fail(self, error: Exception) -> str:
        """Undo a half-written frame, give the segment up and try again in a second."""
        self._report_failing(error)
        self._calm_ns = 0
        self._retry_ns = self._mono_ns() + SECOND_NS
        self._reason = "full" if getattr(error, "errno", None) in _FULL else "io_error"
        if self._segment >= 0:
            try:
                os.ftruncate(self._segment, self._segment_size)
            except OSError:
                log.warning("torn frame left for the reader spool=%s", self.spool_id)
            with suppress(OSError):
                self._close_segment()
        return self._reason


def _short_write() -> OSError:
    """Return the error of a write that took less than all.

    Near a full volume a write first returns a short count without an error.
    """
    return OSError(errno.ENOSPC, "short write: the volume is full")


def call_in_children(method: Callable[[], None]) -> None:
    """Call a method in each forked child, for as long as its object lives."""
    living = weakref.WeakMethod(method)
    os.register_at_fork(after_in_child=lambda: (call := living()) and call())
