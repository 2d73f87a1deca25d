"""Table maintenance beside the sink: compaction, retention, vacuum.

A loop of its own that yields to every other writer; what it could not do now it does the next time.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa

from driftline.capture.erasure.clearing import (
    RequestClearer,
    WindowClearer,
    clear_no_request,
    clear_no_window,
)
from driftline.capture.erasure.erasures import removed_folder, requests_folder
from driftline.capture.erasure.standing import LateErasing
from driftline.capture.labels.labels import EARLIEST_LABEL, label_folder, list_labelled
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset, gap_folder, list_endpoints
from driftline.capture.tables.delta_log import added_since
from driftline.capture.tables.redecoding import decode_again
from driftline.capture.tables.retention import expire, vacuum
from driftline.capture.tables.table import NO_TABLE, DeltaFolder
from driftline.capture.tables.writer_name import WriterName
from driftline.errors import DriftlineError
from driftline.signature import Signature

log = logging.getLogger(__name__)

# In the spool folder, for it is this host's own: the names of those that rewrite tables.
NAMES = ".upkeep"
# After midnight records of the day before still come, by commits that wait and clocks that differ.
_CLOSED_AFTER = timedelta(hours=2)
_TIDY_EVERY_S = 3600.0
# The scheduler of the system serves the sink's thread first.
_NICENESS = 10


class TableMaintenance:
    """Maintains all tables of a storage root.

    ``names``: folder of this host with the names of those that rewrite its tables, as
    ``WriterName``; ``keep_from``: gives the first day to keep; rows of earlier days go, and with
    them the labels that were received before any that a kept row can have. None: everything stays;
    ``vacuum_after_h``: hours that replaced files stay for those who read an older state of a table;
    ``signatures``: gives the signature of an endpoint, or None: what was stored before it had this
    one is read again. None: nothing is; ``served``: names its models; ``windows``: takes the values
    of rows that are erased late out of what was judged and told of them; ``requests``: removes what
    else is kept of their requests; ``interval_s``: how long ``run`` waits between two looks at the
    tables; ``counters``: small files ``compacted`` away, rows ``expired`` and ``expired_labels`` of
    theirs, files ``vacuumed``, requests ``erased`` that came after they were to be, requests
    ``decoded`` again, and ``failures``.
    """

    def __init__(
        self,
        root: str,
        names: Path,
        *,
        keep_from: Callable[[], date] | None = None,
        vacuum_after_h: int = 24,
        signatures: Callable[[str], Signature | None] | None = None,
        served: Callable[[str], Collection[str]] = lambda _: (),
        windows: WindowClearer = clear_no_window,
        requests: RequestClearer = clear_no_request,
        interval_s: float = 60.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = {
            "compacted": 0, "expired": 0, "expired_labels": 0, "vacuumed": 0, "erased": 0,
            "decoded": 0, "failures": 0,
        }  # fmt: skip
        self._root = root
        self._name = WriterName(names)
        self._writer = f"upkeep-{self._name.name}"
        self._keep_from = keep_from
        self._vacuum_after_h = vacuum_after_h
        self._signatures = signatures
        self._served = served
        # By which signature each table was looked at, and up to which version of it.
        self._looked: dict[str, tuple[str, int]] = {}
        self._interval_s = interval_s
        # Its own: this draws in a thread, while the main one may count on the global one's state.
        self._random = random.Random()  # noqa: S311 - no secret
        self._now = now
        self._monotonic = monotonic
        self._tidy_at_s = monotonic()
        self._is_swept = False
        self._erasing = LateErasing(
            root, writer=self._writer, now=now, windows=windows, requests=requests
        )

    def run(self, stop: threading.Event) -> None:
        """Maintain the tables until ``stop`` is set; failures are retried the next time."""
        _give_way()
        while not stop.is_set():
            try:
                self.step(stop)
            except DriftlineError as error:
                log.warning("upkeep tries again later: %s", error)
            # Nothing that goes wrong here may stop the sink beside it.
            except Exception:
                self.counters["failures"] += 1
                log.exception("upkeep failed")
            # Of several sinks not all at once: the second to finish would have worked for nothing.
            stop.wait(self._interval_s * self._random.uniform(0.75, 1.25))
        self.close()

    def close(self) -> None:
        """Release this process's writer name."""
        self._name.close()

    def step(self, stop: threading.Event | None = None) -> None:
        """Maintain each table once; once an hour, also expire and vacuum."""
        if not self._is_swept:
            self._sweep()
        is_due = self._monotonic() >= self._tidy_at_s
        tasks: list[Callable[[], None]] = [self._erase_late]
        tasks += [self._expire] if is_due else []
        tasks += [partial(self._decode, endpoint, stop) for endpoint in list_endpoints(self._root)]
        tasks += [partial(self._keep, folder, stop, is_due=is_due) for folder in self._folders()]
        failures: list[DriftlineError] = []
        for task in tasks:
            if stop is not None and stop.is_set():
                return
            try:
                task()
            except DriftlineError as error:  # One table's trouble must not stop the others.
                self.counters["failures"] += 1
                failures.append(error)
        if is_due:
            self._tidy_at_s = self._monotonic() + _TIDY_EVERY_S
        pa.default_memory_pool().release_unused()
        if failures:
            raise failures[0]

    def _decode(self, endpoint: str, stop: threading.Event | None) -> None:
        """Decode rows of other signatures: all of them for a new one, then only new ones."""
        signature = None if self._signatures is None else self._signatures(endpoint)
        if signature is None:
            return
        dataset, digest = self._capture(endpoint), signature.digest
        decoded_digest, version = self._looked.get(endpoint, ("", NO_TABLE))
        new = added_since(dataset, version)
        is_partial = decoded_digest == digest and not new.parts
        if not (is_partial and not new.files):
            only = new.files if is_partial else None
            served = self._served(endpoint)
            decoded = decode_again(dataset, signature, served=served, only=only, stop=stop)
            self.counters["decoded"] += decoded.decoded
        if stop is None or not stop.is_set():
            self._looked[endpoint] = digest, new.version

    def _erase_late(self) -> None:
        self.counters["erased"] += self._erasing.catch_up()

    def _keep(self, folder: DeltaFolder, stop: threading.Event | None, *, is_due: bool) -> None:
        """Maintain one table."""
        closed_before = (self._now().astimezone(UTC) - _CLOSED_AFTER).date().isoformat()
        try:
            self.counters["compacted"] += compact(folder, closed_before, stop)
        finally:
            if is_due:
                self.counters["vacuumed"] += vacuum(folder, self._vacuum_after_h, self._now())

    def _sweep(self) -> None:
        """Remove the uncommitted files of a killed process of this name."""
        for folder in self._folders():
            if removed := folder.sweep():
                log.info("upkeep removed uncommitted files table=%s files=%d", folder.uri, removed)
        self._is_swept = True

    def _expire(self) -> None:
        if self._keep_from is None:
            return
        first = self._keep_from()
        for endpoint in list_endpoints(self._root):
            rows = expire(self._capture(endpoint), first.isoformat())
            self.counters["expired"] += rows
            if rows:
                log.info("expired endpoint=%s before=%s rows=%d", endpoint, first, rows)
        before = (first - EARLIEST_LABEL).isoformat()
        for endpoint in list_labelled(self._root):
            labels = expire(self._truth(endpoint), before)
            self.counters["expired_labels"] += labels
            if labels:
                log.info("expired endpoint=%s before=%s labels=%d", endpoint, before, labels)

    def _folders(self) -> Iterator[DeltaFolder]:
        for endpoint in list_endpoints(self._root):
            yield self._capture(endpoint)
        for endpoint in list_labelled(self._root):
            yield self._truth(endpoint)
        yield gap_folder(self._root, writer=self._writer)
        yield requests_folder(self._root, writer=self._writer)
        yield removed_folder(self._root, writer=self._writer)

    def _capture(self, endpoint: str) -> Dataset:
        return Dataset(self._root, endpoint, writer=self._writer)

    def _truth(self, endpoint: str) -> DeltaFolder:
        return label_folder(self._root, endpoint, writer=self._writer)


def _give_way() -> None:
    """Lower this thread's priority; Linux keeps it per thread."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
