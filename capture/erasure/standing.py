"""Erases what arrives after a request to erase: in the sink, and behind it in table maintenance.

The sink drops records under requested ids before they are stored. What it cannot see (an id inside
a body, a request made while it was committing, a label) table maintenance removes within a minute
from the files added since its last look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from driftline.capture.erasure.clearing import (
    RequestClearer,
    WindowClearer,
    clear_documents,
    clear_no_request,
    clear_no_window,
)
from driftline.capture.erasure.erasing import Eraser, endpoints_of, find, remove_cleared
from driftline.capture.erasure.erasures import (
    KINDS,
    Wanted,
    forget,
    open_requests,
    record_removed,
    removed_folder,
    requests_folder,
)
from driftline.capture.erasure.expunging import lying_files, part_of
from driftline.capture.erasure.pending import finish_clearing
from driftline.capture.labels.labels import label_folder
from driftline.capture.spool.records import Records
from driftline.capture.tables.dataset import PARTITION, Dataset
from driftline.capture.tables.delta_log import added_since
from driftline.capture.tables.table import DeltaFolder, WatermarkMovedError

log = logging.getLogger(__name__)

# The sink looks so often for what is asked to be erased.
_LOOK_EVERY_S = 5.0


class ErasedRecords:
    """Drops records with an open request to erase, for the sink."""

    def __init__(
        self,
        root: str,
        *,
        writer: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped = 0
        self._requests = requests_folder(root)
        self._removed = removed_folder(root, writer=writer)
        self._now = now
        self._monotonic = monotonic
        self._wanted = Wanted()
        self._look_at_s = monotonic()

    def drop(self, endpoint: str, records: Records) -> Records:
        """Return the records to store; the others are recorded as erased first."""
        if self._monotonic() >= self._look_at_s:
            self._wanted = open_requests(self._requests)
            self._look_at_s = self._monotonic() + _LOOK_EVERY_S
        if not self._wanted or not len(records):
            return records
        gone = self._wanted.matches(endpoint, records.meta("event_id"), "event_id")
        gone |= self._wanted.matches(endpoint, records.meta("inference_id"), "inference_id")
        if not gone.any():
            return records
        chosen = records.take(gone)
        pairs = list(zip(chosen.spool_id.to_pylist(), chosen.seq.tolist(), strict=True))
        record_removed(self._removed, endpoint, pairs, self._now())
        self.dropped += len(pairs)
        log.info("sink dropped what is to be erased endpoint=%s records=%d", endpoint, len(pairs))
        return records.take(~gone)


class LateErasing:
    """Erases what was committed under ids before the committer knew of their erasure.

    ``writer``: prefix of the names of files that this one writes; ``windows``: clears the values of
    rows from results and notifications of their windows; ``requests``: removes what else is kept of
    their requests.
    """

    def __init__(
        self,
        root: str,
        *,
        writer: str,
        now: Callable[[], datetime],
        windows: WindowClearer = clear_no_window,
        requests: RequestClearer = clear_no_request,
    ) -> None:
        self._windows = windows
        self._clear_requests = requests
        self._root = root
        self._writer = writer
        self._now = now
        self._requests = requests_folder(root, writer=writer)
        self._positions: dict[str, int] = {}

    def catch_up(self) -> int:
        """Erase what came since the last time; return how many requests and labels that were."""
        forget(self._requests, self._now())
        finish_clearing(self._root, self._windows, self._now())
        tables = [
            (one, folder) for one in endpoints_of(self._root) for folder in self._folders(one)
        ]
        # Before the requests: what is asked for after this look is sought by who asks.
        versions = {folder.path: folder.newest_version() for _, folder in tables}
        wanted = open_requests(self._requests)
        erased = 0
        if wanted:
            for endpoint, folder in tables:
                if versions[folder.path] != (position := self._position(folder)):
                    erased += self._meet(folder, endpoint, position, wanted)
            if versions != self._positions:
                self._keep({_seen(folder): versions[folder.path] for _, folder in tables})
        self._positions = versions
        return erased

    def _folders(self, endpoint: str) -> tuple[DeltaFolder, DeltaFolder]:
        rows = Dataset(self._root, endpoint, writer=self._writer)
        return rows, label_folder(self._root, endpoint, writer=self._writer)

    def _position(self, folder: DeltaFolder) -> int:
        """Return the version up to which a table was searched, perhaps by an earlier process."""
        if folder.path not in self._positions:
            self._requests.catch_up()
            self._positions[folder.path] = self._requests.watermark(_seen(folder)) - 1
        return self._positions[folder.path]

    def _keep(self, versions: Mapping[str, int]) -> None:
        """Save the position, so that the next process need not hash all ids of all days."""
        self._requests.refresh()
        schema = self._requests.schema()
        watermarks = {
            name: at + 1 for name, at in versions.items() if at >= self._requests.watermark(name)
        }
        if watermarks and schema is not None:
            with suppress(WatermarkMovedError):  # Another one of a second sink has looked further.
                self._requests.append(schema.empty_table(), watermarks)

    def _meet(self, folder: DeltaFolder, endpoint: str, position: int, wanted: Wanted) -> int:
        def paths() -> list[str]:
            new = added_since(folder, position)
            moved = lying_files(folder) if new.parts else ()
            return [*new.files, *(file for file in moved if part_of(file) in new.parts)]

        eraser = Eraser(self._root, endpoint, self._writer, self._now())
        if folder.partition != PARTITION:
            return eraser.remove_labels(
                paths, lambda rows: wanted.matches(endpoint, rows["key"], *KINDS)
            )
        late = find(
            folder,
            paths,
            lambda rows: (
                wanted.matches(endpoint, rows["event_id"], "event_id")
                | wanted.matches(endpoint, rows["inference_id"], "inference_id")
            ),
        )
        if not late.events:
            return 0
        self._clear_requests(endpoint, late.inferences, of_rows=True)
        gone, _, _ = remove_cleared(self._root, eraser, late, set(), self._windows)
        clear_documents(self._root, late.events, late.span)  # What was judged meanwhile.
        log.info("erased what came later endpoint=%s requests=%d", endpoint, gone.requests)
        return gone.requests


def _seen(folder: DeltaFolder) -> str:
    """Return the name of the watermark for how far a table was searched."""
    return "seen/" + "/".join(folder.path.rsplit("/", 2)[1:])
