"""The transport between spool and table.

A message broker has two ends: the sidecar sends what it reads from the spool, the sink receives. On
the embedded default the sink reads the segments where they lie, and a segment goes when the table
holds its records.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from driftline.capture.spool.backlog import note_stored
from driftline.capture.spool.delivery import Delivery, Redactor, redacted
from driftline.capture.spool.folder import replace_file
from driftline.capture.spool.follower import SpoolFollower

# Each receipt has a cost of its own: after so few records the next one waits for more.
FEW_RECORDS = 100
_NAME_FILE = ".name"


class Sender(Protocol):
    """The sidecar's end. Each spool in sequence, without a hole."""

    def send(self, batch: Sequence[Delivery]) -> Mapping[str, int]:
        """Send records, one delivery a spool; return up to where each spool's are safe.

        Raises UnavailableError when none are.
        """

    def close(self) -> None:
        """Close the connection."""


class Transport(Protocol):
    """The sink's end. At least once: the sink drops what its table's watermarks say it has."""

    @property
    def name(self) -> str:
        """A unique name that survives restarts: part of file names."""

    def receive(self, max_records: int) -> list[Delivery]:
        """Return the next records of each spool in sequence; empty without new ones."""

    def secure(self) -> None:
        """Sync what was received to the disk of this host, if it comes from there.

        Done before it is stored: a spool that forgets numbers which a table has would give them
        again.
        """

    def commit(self, watermarks: Mapping[str, int]) -> None:
        """Commit all that was received, up to these sequence numbers."""

    def close(self) -> None:
        """Close the connection."""


class LocalTransport:
    """Reads the segments of this host directly.

    ``sync_interval_s``: how often segments are synced to the disk; ``redactor``: removes from
    records what must not be stored.
    """

    def __init__(
        self,
        spool_dir: str | os.PathLike[str],
        *,
        sync_interval_s: float = 1.0,
        redactor: Redactor | None = None,
    ) -> None:
        self._redactor = redactor
        self._read: list[Delivery] = []
        self._follower = SpoolFollower(spool_dir, sync_interval_s=sync_interval_s)
        self.name = _name_of(spool_dir)

    def receive(self, max_records: int) -> list[Delivery]:
        """Return the next records of each spool in sequence."""
        # Kept until all are done: what was read is not read again.
        self._read = self._read or self._follower.receive(max_records)
        deliveries = [redacted(delivery, self._redactor) for delivery in self._read]
        self._read = []
        return deliveries

    def secure(self) -> None:
        """Put the spools on the disk."""
        self._follower.sync()

    def commit(self, watermarks: Mapping[str, int]) -> None:
        """Record what is stored, and remove the finished segments."""
        note_stored(self._follower.folder, watermarks)
        self._follower.release(watermarks)
        self._follower.remove_finished()

    def close(self) -> None:
        """Release the lock, so that another process may read."""
        self._follower.close()


def _name_of(spool_dir: str | os.PathLike[str]) -> str:
    """Return the folder's random name, made at the first call."""
    file = Path(spool_dir, _NAME_FILE)
    if not file.exists():
        replace_file(file, uuid.uuid4().hex[:12].encode(), is_synced=True)
    return file.read_text(encoding="ascii")
