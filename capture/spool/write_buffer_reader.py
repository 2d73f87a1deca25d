"""Reads the write buffer of a spool: frames that are in no segment yet.

The writer copies, and clears, while this reads. That is safe by number and checksum: a frame that
has both is the spool's next one, wherever it was found. Standard library only.
"""

from __future__ import annotations

import os
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
from driftline.capture.spool.write_buffer import WRITE_BUFFER_BYTES, WRITE_BUFFER_NAME


def buffered_bytes(spool: Path) -> int:
    """Measure the frames that wait in the write buffer of a spool; 0 without one."""
    try:
        data = (spool / WRITE_BUFFER_NAME).read_bytes()
    except OSError:
        return 0
    return walk(data, 0, len(data), seed_of(spool.name))[1]


class WriteBufferReader:
    """Reads the write buffer of one spool from where it stood.

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
