"""The spool: append-only segment files of checksummed frames, one writer process each.

``SpoolWriter`` makes ``<folder>/<spool id>/`` when it first appends, never before, so that a server
may be loaded and then forked. A record costs one ``writev``; it is in the page cache when
``append`` returns and so survives kill -9 of the process. Nothing here raises into the caller and
nothing waits: what cannot be written is dropped, counted durably, and told by a gap frame as soon
as writing works again. Standard library only.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from driftline.capture.drops import DropCounters
from driftline.capture.frame import Frame, Kind, pack, pack_meta, seed_of, unpack_meta

__all__ = [
    "COUNTERS_NAME",
    "LOCK_NAME",
    "SEGMENT_SUFFIX",
    "Durability",
    "SpoolWriter",
    "boot_id",
    "new_spool_id",
]

log = logging.getLogger(__name__)

Durability = Literal["process", "request"]

SEGMENT_SUFFIX = ".dls"
LOCK_NAME = "writer.lock"
COUNTERS_NAME = "counters"
UNFINISHED_PREFIX = ".new-"
SECOND_NS = 1_000_000_000
_MAX_BUFFERS = 512  # IOV_MAX is 1024 on Linux.
_SHARE_FREE = 0.05
# Plain numbers: an enum costs more than the system call's share on the request path.
_RECORD = int(Kind.RECORD)
_LAST_NUMBERED = int(Kind.GAP)
_NO_META: dict[str, str] = {}


class SpoolWriter:
    """Appends capture records of one process to a spool of its own.

    Parameters
    ----------
    folder
        The host's spool folder; all spools in it share one budget.
    max_bytes
        Bytes that all spools of the folder may take together; above it records are dropped.
    min_free_bytes
        Bytes that must stay free on the volume; None: 5 % of it, at most 1 GiB.
    segment_bytes, segment_s
        Size and age at which a new segment begins, so that old ones can be removed.
    durability
        "process": a record survives the process (page cache; whoever reads the spool syncs it from
        time to time); "request": it is on the disk when ``append`` returns.
    now_ns, mono_ns
        Clocks, in nanoseconds.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        max_bytes: int = 2 << 30,
        min_free_bytes: int | None = None,
        segment_bytes: int = 64 << 20,
        segment_s: float = 60.0,
        durability: Durability = "process",
        now_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.folder = Path(folder)
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._segment_bytes = segment_bytes
        self._segment_ns = int(segment_s * SECOND_NS)
        self._durability = durability
        self._now_ns = now_ns
        self._mono_ns = mono_ns
        self._reset()
        forget = weakref.WeakMethod(self._after_fork)
        os.register_at_fork(after_in_child=lambda: (call := forget()) and call())

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._spool: Path | None = None
        self._writer_lock = -1
        self._segment = -1
        self._segment_size = 0
        self._segment_born_ns = 0
        self._seed = 0
        self._next_seq = 1
        self._room_bytes = 0
        self._checked_ns: int | None = None
        self._retry_ns = 0
        self._reason = "full"
        self._is_failing = False
        self._open_again_ns: int | None = None
        self._drops = DropCounters()

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
    ) -> bool:
        """Write one record; False when it was dropped (and counted).

        ``meta`` may be packed already; ``endpoint`` in it names whose drop it is. Safe to call from
        several threads.
        """
        packed = meta if isinstance(meta, bytes) else pack_meta(meta)
        with self._lock:
            reason = self._make_room() or self._tell_gaps()
            if reason is None:
                frame = Frame(
                    _RECORD, flags, self._next_seq, wall_ns, mono_ns, first_byte_us, total_us,
                    request_bytes, response_bytes, status, _NO_META,
                )  # fmt: skip
                reason = self._write(frame, packed, request, response)
            if reason is None:
                return True
            size = sum(map(len, request)) + sum(map(len, response)) + len(packed)
            endpoint = unpack_meta(packed).get("endpoint", "")
            self._count(reason, endpoint, size, wall_ns or self._now_ns())
            return False

    def count_drop(self, reason: str, endpoint: str) -> None:
        """Count a record that never came to ``append``; the next gap frame tells it."""
        with self._lock:
            self._count(reason, endpoint, 0, self._now_ns())

    def _count(self, reason: str, endpoint: str, size_bytes: int, wall_ns: int) -> None:
        """Count a drop; in a spool, though it may hold no record yet, for memory dies with us."""
        now = self._mono_ns()
        if self._spool is None and (self._open_again_ns is None or now >= self._open_again_ns):
            self._open_again_ns = now + SECOND_NS
            with suppress(OSError):
                self._open_spool()
        self._drops.count(reason, endpoint, size_bytes, wall_ns)

    @property
    def spool_id(self) -> str | None:
        """The id of the spool that is being written; None before the first record."""
        return None if self._spool is None else self._spool.name

    @property
    def dropped(self) -> int:
        """How many records this writer has dropped."""
        return self._drops.records

    def close(self) -> None:
        """End the spool cleanly; a later append begins a new one."""
        with self._lock:
            if self._segment >= 0 and self._make_room() is None:
                self._tell_gaps()
                self._write(self._plain(Kind.CLOSE), b"", (), ())
            self._close_files()
            self._reset_keeping_lock()

    def _reset_keeping_lock(self) -> None:
        held = self._lock
        self._reset()
        self._lock = held

    def _after_fork(self) -> None:
        """Leave the parent's spool to the parent: close its files here, begin anew when needed."""
        self._close_files()
        self._reset()

    def _close_files(self) -> None:
        self._drops.close()
        for descriptor in (self._segment, self._writer_lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._segment = self._writer_lock = -1

    def _make_room(self) -> str | None:
        """Have an open segment with room; the reason when there is none."""
        now = self._mono_ns()
        if now < self._retry_ns:
            return self._reason
        is_stale = self._checked_ns is None or now - self._checked_ns >= SECOND_NS
        if is_stale or self._room_bytes <= 0:
            self._measure(now)
        if now < self._retry_ns:
            return self._reason  # Measuring has failed.
        if self._room_bytes <= 0:
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

    def _measure(self, now: int) -> None:
        """Find how many bytes may still be written: budget of the folder, room on the volume."""
        self._checked_ns = now
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            volume = os.statvfs(self.folder)
            used = spool_bytes(self.folder)
        except OSError as error:
            self._fail(error)
            self._room_bytes = 0
            return
        size, free = volume.f_blocks * volume.f_frsize, volume.f_bavail * volume.f_frsize
        keep = self._min_free_bytes
        keep = min(int(size * _SHARE_FREE), 1 << 30) if keep is None else keep
        self._room_bytes = min(self._max_bytes - used, free - keep)

    def _open_segment(self, now: int) -> str | None:
        try:
            if self._spool is None:
                self._open_spool()
            assert self._spool is not None
            path = self._spool / f"{self._next_seq:016x}{SEGMENT_SUFFIX}"
            if self._segment >= 0:
                os.close(self._segment)
                self._segment = -1
            # A segment of the same name holds no record: its first one failed. Begin it anew.
            mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC
            self._segment = os.open(path, mode, 0o600)
        except OSError as error:
            return self._fail(error)
        self._segment_size = 0
        self._segment_born_ns = now
        meta = {
            "spool_id": self._spool.name,
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "boot_id": boot_id(),
        }
        return self._write(self._plain(Kind.SEGMENT), pack_meta(meta), (), ())

    def _open_spool(self) -> None:
        """Make the spool's folder under another name first: with its lock held it comes to be."""
        spool_id = new_spool_id(self._now_ns())
        unfinished = self.folder / f"{UNFINISHED_PREFIX}{spool_id}"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.mkdir(mode=0o700)
        descriptor = -1
        try:
            descriptor = os.open(unfinished / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._drops.attach(unfinished / COUNTERS_NAME)
            unfinished.rename(self.folder / spool_id)
        except OSError:
            self._drops.close()
            if descriptor >= 0:
                os.close(descriptor)
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        self._writer_lock = descriptor
        self._spool = self.folder / spool_id
        self._seed = seed_of(spool_id)

    def _plain(self, kind: Kind) -> Frame:
        now = self._now_ns()
        return Frame(kind, 0, self._next_seq, now, self._mono_ns(), 0, 0, 0, 0, 0, _NO_META)

    def _tell_gaps(self) -> str | None:
        if not self._drops.records:
            return None
        for drop in self._drops.pending():
            meta = {
                "reason": drop.reason,
                "endpoint": drop.endpoint,
                "records": str(drop.records - drop.reported),
                "total": str(drop.records),
                "bytes": str(drop.size_bytes),
                "first_ns": str(drop.first_ns),
                "last_ns": str(drop.last_ns),
            }
            reason = self._write(self._plain(Kind.GAP), pack_meta(meta), (), ())
            if reason is not None:
                return reason
            self._drops.report(drop)
        return None

    def _write(
        self, frame: Frame, meta: bytes, request: Sequence[bytes], response: Sequence[bytes]
    ) -> str | None:
        """Append a frame whole or not at all; the reason when it could not be."""
        if len(request) + len(response) > _MAX_BUFFERS:
            request, response = (b"".join(request),), (b"".join(response),)
        buffers, size = pack(frame, self._seed, meta=meta, request=request, response=response)
        try:
            self._write_whole(buffers, size)
        except OSError as error:
            return self._fail(error)
        if self._is_failing and frame.kind == _RECORD:
            self._is_failing = False
            log.warning("capture records again spool=%s", self.spool_id)
        self._segment_size += size
        self._room_bytes -= size
        if frame.kind <= _LAST_NUMBERED:
            self._next_seq += 1
        return None

    def _write_whole(self, buffers: list[bytes], size: int) -> None:
        # Near a full volume writev first returns a short count without an error.
        if os.writev(self._segment, buffers) != size:
            raise OSError("short write: the volume is full")
        if self._durability == "request":
            os.fdatasync(self._segment)

    def _fail(self, error: OSError) -> str:
        """Undo a half-written frame, give the segment up and try again in a second.

        Told once, not each second: the count of what is dropped goes on.
        """
        if not self._is_failing:
            self._is_failing = True
            log.warning(
                "capture drops records until this is mended folder=%s error=%s", self.folder, error
            )
        self._retry_ns = self._mono_ns() + SECOND_NS
        self._reason = "io_error"
        if self._segment >= 0:
            try:
                os.ftruncate(self._segment, self._segment_size)
            except OSError:
                log.warning("torn frame left for the reader spool=%s", self.spool_id)
            os.close(self._segment)
            self._segment = -1
        return "io_error"


def spool_bytes(folder: Path) -> int:
    """Add up the segments of all spools in a folder, and what else lies beside them."""
    total = 0
    with os.scandir(folder) as spools:
        for spool in spools:
            try:
                with os.scandir(spool.path) as files:
                    total += sum(f.stat().st_size for f in files if f.name != COUNTERS_NAME)
            except (FileNotFoundError, NotADirectoryError):
                continue  # Removed meanwhile by the reader, or a lock file.
    return total


def new_spool_id(now_ns: int) -> str:
    """Make a UUIDv7: sorts by the time it was made, random otherwise (RFC 9562, 5.7)."""
    number = int.from_bytes(os.urandom(10), "big") | (now_ns // 1_000_000 & (1 << 48) - 1) << 80
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def boot_id() -> str:
    """Name this run of the kernel; what an older one left unsynced may be missing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
