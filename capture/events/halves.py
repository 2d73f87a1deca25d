"""Halves of inferences that wait for their other half: one file each, so that no kill loses them.

A half is on the disk before its sender is answered. Before a record is written to the spool a line
in the journal says so, and afterwards its file goes: only what a kill leaves between the two is in
doubt, and the spools of the host decide it. Standard library only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from driftline.capture.spool.folder import SEGMENT_SUFFIX, lock_file, replace_file
from driftline.capture.spool.frame import holds_record, seed_of
from driftline.errors import UnavailableError

# In the spool folder; readers of spools pass over names that begin with a dot.
FOLDER = ".halves"
_JOURNAL = "journal"
_LOCK = "lock"
_SUFFIX = ".half"
_UNFINISHED = ".new"
_MAX_JOURNAL_BYTES = 1 << 20
_SLACK_NS = 2_000_000_000  # Clocks of files are coarse.


@dataclass(frozen=True, slots=True)
class Half:
    """A request or a response that waits for its other half.

    ``key``: shared by both halves: 64 hexadecimal digits; ``meta``: the record's; ``arrived_ns``:
    wall clock of the receipt; ``time_us``: the sender's time, microseconds since 1970, or None;
    ``size_bytes``: true length of the body, of which ``body`` is what is kept.
    """

    key: str
    is_request: bool
    meta: dict[str, str]
    arrived_ns: int
    time_us: int | None
    size_bytes: int
    body: bytes


class Taken(NamedTuple):
    """A line of the journal: which halves of a key went to a spool together ("qr"), and when."""

    key: str
    sides: str
    at_ns: int
    spool_id: str


class Halves:
    """The folder of halves; one process has it at a time."""

    def __init__(self, spool_dir: Path) -> None:
        self._spool_dir = spool_dir
        self._folder = spool_dir / FOLDER
        # One by one: of parents that it makes, mkdir does not set the mode.
        for folder in (spool_dir, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock = lock_file(self._folder / _LOCK)
        except BlockingIOError:
            raise UnavailableError(
                f'"{self._folder}": another process receives cloud events here; send them to that '
                "one, or give this installation a spool_dir of its own"
            ) from None
        try:
            self._journal = self._open_journal()
        except OSError:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Release the folder; what waits stays."""
        os.close(self._journal)
        os.close(self._lock)

    def put(self, half: Half) -> None:
        """Store a half, so that it survives this process. Raises OSError."""
        fields = asdict(half)
        del fields["body"]
        head = json.dumps({**fields, "kept": len(half.body)}).encode("ascii")
        replace_file(self._path(half.key), head + b"\n" + half.body)

    def get(self, key: str) -> Half | None:
        """Read a half; None when it is not there, or damaged, as only power loss leaves it."""
        try:
            head, _, body = self._path(key).read_bytes().partition(b"\n")
            fields = json.loads(head)
            is_whole = fields.pop("kept") == len(body) and fields["key"] == key
            return Half(**fields, body=body) if is_whole else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def remove(self, key: str) -> None:
        """Delete a half."""
        self._path(key).unlink(missing_ok=True)

    def waiting(self) -> Iterator[tuple[str, int]]:
        """Return the key and file size of each half that waits."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            yield path.stem, path.stat().st_size
        for path in self._folder.glob(f"*{_UNFINISHED}"):
            path.unlink(missing_ok=True)  # Nobody was answered for it.

    def take(self, taken: Taken) -> None:
        """Journal that a record is about to be written to a spool. Raises OSError."""
        line = f"{taken.key} {taken.sides} {taken.at_ns} {taken.spool_id}\n".encode("ascii")
        written = os.write(self._journal, line)
        if written != len(line):
            # What is left of it would spoil the next line.
            os.ftruncate(self._journal, os.fstat(self._journal).st_size - written)
            raise OSError("short write: the volume is full")

    def taken(self) -> list[Taken]:
        """Return the journal's entries, oldest first."""
        entries = []
        for line in (self._folder / _JOURNAL).read_bytes().decode("ascii", "replace").splitlines():
            parts = line.split(" ")
            if len(parts) == 4 and parts[2].isdecimal():
                entries.append(Taken(parts[0], parts[1], int(parts[2]), parts[3]))
        return entries

    def forget_before(self, at_ns: int) -> None:
        """Shorten the journal when it has grown long."""
        if os.fstat(self._journal).st_size < _MAX_JOURNAL_BYTES:
            return
        kept = [entry for entry in self.taken() if entry.at_ns >= at_ns]
        unfinished = self._folder / f"{_JOURNAL}{_UNFINISHED}"
        text = "".join(
            f"{entry.key} {entry.sides} {entry.at_ns} {entry.spool_id}\n" for entry in kept
        )
        # It stays open under its new name: to open it again could fail.
        journal = self._open_journal(unfinished.name, os.O_TRUNC)
        try:
            with os.fdopen(os.dup(journal), "w", encoding="ascii") as file:
                file.write(text)
            unfinished.rename(self._folder / _JOURNAL)
        except OSError:
            os.close(journal)
            raise
        old, self._journal = self._journal, journal
        os.close(old)

    def was_written(self, taken: Taken, event_id: str) -> bool | None:
        """Whether a record has come to a spool; None when its spool was shipped and is gone."""
        for segment in self._spool_dir.glob(f"*/*{SEGMENT_SUFFIX}"):
            with suppress(FileNotFoundError):  # A reader may remove it meanwhile.
                is_new = segment.stat().st_mtime_ns >= taken.at_ns - _SLACK_NS
                seed = seed_of(segment.parent.name)
                if is_new and holds_record(segment.read_bytes(), event_id, seed):
                    return True
        return False if (self._spool_dir / taken.spool_id).is_dir() else None

    def _open_journal(self, name: str = _JOURNAL, more: int = 0) -> int:
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND | more
        return os.open(self._folder / name, mode, 0o600)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"
