"""What the tests of the write buffer share."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.capture.spool.frame import Frame, Kind
from driftline.capture.spool.write_buffer import keeps_pages
from driftline.capture.spool.writer import SpoolWriter

__all__ = ["Clock", "gaps", "in_segments", "let_die", "needs_pages", "seqs", "spool_of"]


@pytest.fixture(autouse=True)
def needs_pages(tmp_path: Path) -> None:
    """Leave out what needs a write buffer where there is none."""
    if not keeps_pages(tmp_path):
        pytest.skip("this volume keeps no pages")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ns = 10**18

    def __call__(self) -> int:
        return self.ns

    def pass_s(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


def spool_of(folder: Path) -> Path:
    """Return the folder of the only spool."""
    (spool,) = (one for one in folder.iterdir() if not one.name.startswith("."))
    return spool


def in_segments(folder: Path) -> bytes:
    """Return all that was written to segments."""
    return b"".join(file.read_bytes() for file in sorted(spool_of(folder).glob("*.dls")))


def seqs(found: list[Frame]) -> list[int]:
    """Return the numbers of the records."""
    return [frame.seq for frame in found if frame.kind == Kind.RECORD]


def gaps(found: list[Frame]) -> list[tuple[str, str | None]]:
    """Return reason and count of each gap."""
    return [(f.meta["reason"], f.meta.get("records")) for f in found if f.kind == Kind.GAP]


def let_die(writer: SpoolWriter) -> None:
    """Leave the spool as a killed process leaves it."""
    writer._close_files()
    writer._reset()
