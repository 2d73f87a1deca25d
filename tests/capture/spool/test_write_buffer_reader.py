"""A reader that is held up while the write buffer is reused takes nothing for lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from driftline.capture.spool import write_buffer as reader_module
from driftline.capture.spool.reader import SpoolReader
from driftline.capture.spool.write_buffer import WRITE_BUFFER_NAME
from driftline.capture.spool.writer import SpoolWriter
from tests.capture.spool.write_buffer_tools import gaps, needs_pages, seqs, spool_of

__all__ = ["needs_pages"]

Write = Callable[..., bool]


class HeldUp:
    """Stands for ``os`` where the write buffer is read: lets writers go on at a chosen read."""

    def __init__(self, act: Callable[[int], int | None]) -> None:
        self._act = act
        self.reads = 0

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def pread(self, file: int, size: int, at: int) -> bytes:
        """Read; give the first part as it was before the writer went on, if it is told how long."""
        self.reads += 1
        old = os.pread(file, size, at)
        cut = self._act(self.reads)
        return old if cut is None else old[:cut] + os.pread(file, size, at)[cut:]


def test_a_copy_half_old_and_half_new_does_not_skip_what_went_to_the_segment(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, b"x" * 100)
    size = writer._write_buffer.used
    per_buffer = writer._write_buffer.room // size
    for _ in range(9):
        write(writer, b"x" * 100)

    def act(reads: int) -> int | None:
        if reads != 3:  # Head, start, and then all of it.
            return None
        for _ in range(per_buffer - 10 + 8):
            write(writer, b"x" * 100)
        return 5 * size  # Frames of one size begin where those before them did.

    monkeypatch.setattr(reader_module, "os", HeldUp(act))
    reader = SpoolReader(spool_of(spool_dir))
    found = reader.read(10_000)
    while more := reader.read(10_000):
        found += more

    assert gaps(found) == []
    assert seqs(found) == list(range(1, per_buffer + 9))


def test_a_stage_begun_anew_at_each_look_does_not_skip_what_went_to_the_segment(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer, b"x" * 100)
    reader = SpoolReader(spool_of(spool_dir))
    size = writer._write_buffer.used
    per_buffer = writer._write_buffer.room // size
    found = reader.read(10_000)
    written = 1

    def act(reads: int) -> int | None:
        nonlocal written
        if reads in (1, 4):  # Just after the head was looked at, twice in a row.
            for _ in range(per_buffer):
                write(writer, b"x" * 100)
            written += per_buffer
        return None

    monkeypatch.setattr(reader_module, "os", HeldUp(act))
    for _ in range(20):
        found += reader.read(10_000)

    assert (spool_of(spool_dir) / WRITE_BUFFER_NAME).exists()
    assert gaps(found) == []
    assert seqs(found) == list(range(1, written + 1))
