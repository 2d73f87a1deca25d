"""Follows the spools of a host: reads them in turn, syncs them, removes them when shipped."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Container, Mapping
from contextlib import suppress
from pathlib import Path

from driftline.capture.spool.delivery import Delivery
from driftline.capture.spool.folder import lock_file, make_folder, spools_in
from driftline.capture.spool.host_counts import keep_counts
from driftline.capture.spool.reader import SpoolReader
from driftline.capture.spool.records import Records
from driftline.errors import ConflictError

log = logging.getLogger(__name__)

_READER_LOCK = ".reader.lock"
_READ, _SYNC, _WATERMARK = "read", "put on the disk", "marked as shipped"
_DONE_PREFIX = ".done-"


class SpoolFollower:
    """Reads all spools below a folder in turn, and removes what is shipped.

    Only one process reads a folder: it holds a lock that the kernel releases when it dies.

    ``sync_interval_s``: how often the writers' data are synced to the disk; this bounds what power
    loss can take.
    """

    def __init__(self, folder: str | os.PathLike[str], *, sync_interval_s: float = 1.0) -> None:
        self.folder = Path(folder)
        make_folder(self.folder)
        self._sync_interval_s = sync_interval_s
        self._synced_s = 0.0
        self._readers: dict[str, SpoolReader] = {}
        self._failing: set[tuple[str, str]] = set()
        try:
            self._lock = lock_file(self.folder / _READER_LOCK)
        except BlockingIOError:
            raise ConflictError(
                f'spool "{self.folder}": another process ships it; stop that one, or give this '
                f"installation a spool_dir of its own"
            ) from None
        for leftover in self.folder.glob(f"{_DONE_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def receive(self, max_records: int, *, skip: Container[str] = ()) -> list[Delivery]:
        """Return new frames of all spools except ``skip``, about ``max_records`` at most."""
        self._discover()
        if time.monotonic() - self._synced_s >= self._sync_interval_s:
            self.sync()
        deliveries: list[Delivery] = []
        for reader in list(self._readers.values()):
            if max_records <= 0:
                break
            if reader.spool_id in skip:
                continue
            records = self._read(reader, max_records)
            if records is not None and len(records):
                max_records -= len(records)
                deliveries.append(Delivery(reader.spool_id, records))
                # Who was served goes to the end of the queue, so that none is starved.
                self._readers[reader.spool_id] = self._readers.pop(reader.spool_id)
        return deliveries

    def _read(self, reader: SpoolReader, max_records: int) -> Records | None:
        """Read one spool; a disk error there does not stop the others."""
        try:
            records = reader.read_records(max_records)
        except OSError as error:
            self._tell_failing(reader, _READ, error)
            return None
        self._failing.discard((reader.spool_id, _READ))
        return records

    def _tell_failing(self, reader: SpoolReader, what: str, error: OSError) -> None:
        """Log the first of a row of errors."""
        if (reader.spool_id, what) not in self._failing:
            self._failing.add((reader.spool_id, what))
            log.error("spool cannot be %s, tried again spool=%s error=%s",
                      what, reader.spool_id, error)  # fmt: skip

    def sync(self) -> None:
        """Sync what the writers wrote; it bounds what power loss can take."""
        self._synced_s = time.monotonic()
        for reader in self._readers.values():
            try:
                reader.sync()
                self._failing.discard((reader.spool_id, _SYNC))
            except OSError as error:
                self._tell_failing(reader, _SYNC, error)

    def mark_shipped(self, watermarks: Mapping[str, int]) -> None:
        """Record durably what need not be read again; call it before ``release``.

        What a full disk does not take now is recorded with the next watermark, and released after
        it.
        """
        for spool_id, seq in watermarks.items():
            if (reader := self._readers.get(spool_id)) is not None:
                try:
                    reader.mark_shipped(seq)
                    self._failing.discard((spool_id, _WATERMARK))
                except FileNotFoundError:
                    continue  # Somebody has removed the spool.
                except OSError as error:
                    self._tell_failing(reader, _WATERMARK, error)

    def release(self, watermarks: Mapping[str, int]) -> None:
        """Remove the segments stored up to these sequence numbers."""
        for spool_id, seq in watermarks.items():
            reader = self._readers.get(spool_id)
            if reader is not None and (spool_id, _WATERMARK) not in self._failing:
                reader.discard(seq)

    def remove_finished(self, *, keep: Container[str] = ()) -> None:
        """Remove the spools of dead writers except ``keep``; what was received must be stored."""
        for spool_id, reader in list(self._readers.items()):
            if reader.is_finished and spool_id not in keep:
                keep_counts(self.folder, spool_id)
                # Renamed first: half a spool must not be read again as a whole one.
                done = self.folder / f"{_DONE_PREFIX}{spool_id}"
                with suppress(FileNotFoundError):  # Somebody has removed it.
                    reader.folder.rename(done)
                shutil.rmtree(done, ignore_errors=True)
                self._failing -= {(spool_id, what) for what in (_READ, _SYNC, _WATERMARK)}
                del self._readers[spool_id]

    def close(self) -> None:
        """Release the lock, so that another process may read."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _discover(self) -> None:
        for spool in spools_in(self.folder):
            if spool.name not in self._readers and spool.is_dir():
                self._readers[spool.name] = SpoolReader(spool)
