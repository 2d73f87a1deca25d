"""The write buffer: mapped pages of a file where small frames wait to be written together.

A page of a file costs more to get than to fill: it is found, allocated and zeroed again for each
record that is appended. So frames are copied to pages that are there already, and go to the segment
in one write when those are full. What is copied is in the page cache as what is written is: it
outlives the process, and who reads the spool reads it from here.

A frame's first bytes are copied last, and behind the last frame lie zeros. A reader takes what has
the right checksum and the number that comes next, so that it matters to none of both what the other
does at the moment, nor that a frame lies here and already in the segment, too.

All bytes are written when the file is made, as those of the counters are: a page that had to be
found on a full volume would be a signal, not an error. Standard library only.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from driftline.capture.spool.frame import (
    HEADER_BYTES,
    find_frame,
    frame_length,
    seed_of,
    seq_at,
    walk,
)
from driftline.capture.spool.quota import Quota

log = logging.getLogger(__name__)

WRITE_BUFFER_NAME = "stage"
WRITE_BUFFER_BYTES = 256 << 10  # Small enough to stay in a core's cache.
_PAGE_BYTES = 4096
# Larger frames go to the segment at once: for these a write costs little more than the copy.
_SHARE = 8
# Where a page that was written once can be written again, however full the volume is. Not those
# that write elsewhere each time (btrfs, zfs, bcachefs), nor what another machine or program
# answers for (nfs, cifs, fuse); overlayfs does not say what it lies on.
_KEEPING = frozenset(("ext2", "ext3", "ext4", "xfs", "tmpfs"))
_ZEROS = bytes(WRITE_BUFFER_BYTES)
_MOUNTS = "/proc/self/mountinfo"


class WriteBuffer:
    """Pages of a file for frames; until it is opened it has no room, and takes none.

    ``wanted``: how many bytes of pages there are to be; less than a page is none; ``room``: how
    many bytes they are; ``used``: how many of them hold frames that are in no segment yet;
    ``largest``: the largest frame that is worth copying; ``first_seq``: the number of the first of
    these frames; ``failures``: how often there were no pages though there could have been.
    """

    __slots__ = (
        "_file",
        "_spool",
        "failures",
        "first_seq",
        "largest",
        "mapped",
        "room",
        "used",
        "wanted",
    )
    mapped: mmap.mmap | bytearray

    def __init__(self, wanted: int = 0) -> None:
        self.wanted = min(wanted, WRITE_BUFFER_BYTES) // _PAGE_BYTES * _PAGE_BYTES
        self.failures = 0
        self.mapped = bytearray()
        self.room = self.used = self.largest = self.first_seq = 0
        self._file = -1
        self._spool: tuple[Path, bool] | None = None

    def open(self, spool: Path, budget: Quota) -> None:
        """Have pages in a spool's folder, if they are wanted, its volume keeps them and has room.

        A failure is counted and told; without pages frames are written each by itself.
        """
        if self.room or not self.wanted or budget.left_bytes < 2 * self.wanted:
            return
        if self._spool is None or self._spool[0] != spool:
            self._spool = spool, keeps_pages(spool)
        if not self._spool[1]:
            return
        path = spool / WRITE_BUFFER_NAME
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(self._file, _ZEROS[: self.wanted])
            self.mapped = mmap.mmap(self._file, self.wanted)  # Refused when less was written.
        except (OSError, ValueError) as error:
            self.failures += 1
            log.warning("capture writes each record by itself file=%s error=%s", path, error)
            self.close()
            self.remove()
            return
        self.room, self.largest = self.wanted, self.wanted // _SHARE
        budget.left_bytes -= self.wanted

    def remove(self) -> None:
        """Remove the file, once nothing waits there."""
        if self._spool is not None:
            with suppress(OSError):
                (self._spool[0] / WRITE_BUFFER_NAME).unlink(missing_ok=True)

    def add(self, buffers: Sequence[bytes]) -> None:
        """Copy a frame that there is room for: its head, which is the first of its parts, last."""
        begin = at = self.used + len(buffers[0])
        for part in buffers[1:]:
            end = at + len(part)
            self.mapped[at:end] = part
            at = end
        self.mapped[self.used : begin] = buffers[0]
        self.used = at

    def write_to(self, file: int) -> int:
        """Write the buffered frames to a segment; return how many bytes were taken."""
        with memoryview(self.mapped) as view, view[: self.used] as waiting:
            return os.write(file, waiting)

    def clear(self) -> None:
        """Begin anew: what waited is in a segment."""
        with memoryview(_ZEROS) as zeros, zeros[: self.used] as none:
            self.mapped[: self.used] = none
        self.used = 0

    def look_for_removal(self) -> None:
        """Let go of pages of a file that somebody has removed or cut off: these are a signal.

        What waited there and nobody has read is a hole in the sequence, which its reader counts.
        """
        if self.room:
            state = os.fstat(self._file)
            if not state.st_nlink or state.st_size < self.room:
                log.error("capture stage removed under its writer bytes=%d", self.used)
                self.close()

    def close(self) -> None:
        """Let go of the pages; the file stays."""
        self.room = self.used = self.largest = 0
        if isinstance(self.mapped, mmap.mmap):
            with suppress(BufferError):  # Forked while a thread wrote it out: it goes with that.
                self.mapped.close()
            self.mapped = bytearray()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def keeps_pages(folder: Path) -> bool:
    """Whether what was written once in a folder can always be written over, on a full volume.

    By the type of the file system that it lies on, as Linux tells it; False when it does not.
    """
    try:
        device = folder.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        text = Path(_MOUNTS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw": optional fields end at the dash.
    for line in text.splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split(" ")[2:3] == [wanted]:
            return kind.partition(" ")[0] in _KEEPING
    return False


class WriteBufferReader:
    """Reads the write buffer of one spool from where it stood: frames that are in no segment yet.

    The writer copies, and clears, while this reads. That is safe by number and checksum: a frame
    that has both is the spool's next one, wherever it was found.

    ``folder``: the spool's folder; it need not have a write buffer; ``is_empty``: nothing waited
    there when it was last looked at; ``begins``: number of the first frame that was found there
    last.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.is_empty = True
        self.begins = 0
        self._path = folder / WRITE_BUFFER_NAME
        self._seed = seed
        self._head = b""
        self._at = 0
        self._synced = 0

    def look(self, expected: int, *, is_dead: bool, missed: int) -> bytes | None:
        """Return what is new, beginning with a whole frame; nothing when there is none.

        None when frames from number ``expected`` on have gone to a segment meanwhile, unless those
        before number ``missed`` are known to be in none; the write buffer may be begun anew between
        two looks. Of a dead writer nothing is awaited: what is damaged stays so.
        """
        self.is_empty = True
        try:
            file = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            head = os.pread(file, HEADER_BYTES, 0)
            self.is_empty = not any(head)
            if head != self._head:
                self._head, self._at = head, 0  # The writer has begun it anew.
            start = os.pread(file, HEADER_BYTES, self._at)
            is_begun = len(start) == HEADER_BYTES and frame_length(start, 0) is not None
            if not is_begun and not is_dead:
                return b""
            data = os.pread(file, WRITE_BUFFER_BYTES, self._at)
        finally:
            os.close(file)
        if not walk(data, 0, 1, self._seed)[0]:
            skipped = find_frame(data, 0, self._seed) if is_dead else None
            if skipped is None:
                return b""
            self._at += skipped
            data = data[skipped:]
        self.begins = seq_at(data, 0)
        return data if is_dead or self.begins <= max(expected, missed) else None

    def move(self, size: int) -> None:
        """Go on behind so many bytes of what was given."""
        self._at += size

    def sync(self) -> None:
        """Put what lies there on the disk, if it has changed: stores in a page tell nobody."""
        with suppress(FileNotFoundError):
            file = os.open(self._path, os.O_RDONLY)
            try:
                checksum = crc32(os.pread(file, WRITE_BUFFER_BYTES, 0))
                if checksum != self._synced:
                    os.fdatasync(file)
                    self._synced = checksum
            finally:
                os.close(file)


def buffered_bytes(spool: Path) -> int:
    """Measure the frames that wait in the write buffer of a spool; 0 without one."""
    try:
        data = (spool / WRITE_BUFFER_NAME).read_bytes()
    except OSError:
        return 0
    return walk(data, 0, len(data), seed_of(spool.name))[1]
