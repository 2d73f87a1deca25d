"""The sink: records from the transport to the tables, exactly once.

Each commit of an endpoint's table carries its rows and, for each spool, the last sequence number
among them. These watermarks drop what comes again after a kill of any process; nothing is removed
from the spool before every table has what was in it.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.erasure.standing import ErasedRecords
from driftline.capture.line.batch import Batch, cut_by_size
from driftline.capture.line.transport import FEW_RECORDS, Transport
from driftline.capture.line.validate import unreadable
from driftline.capture.spool.delivery import Delivery
from driftline.capture.spool.frame import Frame
from driftline.capture.spool.records import Records
from driftline.capture.tables.commit_lock import committing
from driftline.capture.tables.dataset import (
    Dataset,
    Gap,
    gap_folder,
    is_first,
    record_gaps,
    time_of,
)
from driftline.capture.tables.rows import build_rows, states_time
from driftline.capture.tables.table import DeltaFolder, WatermarkMovedError
from driftline.errors import DriftlineError
from driftline.signature import Signature
from driftline.tracing import span

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 5
_MAX_BACK_OFF_S = 30.0
# For so long a sink that is to stop takes what waits; the next one takes the rest.
_STOP_S = 2.0
# As in malloc.h of glibc. Larger pieces than 32 MiB it always gives back.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 256 << 20
_LARGE_BYTES = 32 << 20

Observe = Callable[[str, pa.Table, float], None]


class Prepared(NamedTuple):
    """New records of a table in groups, with their rows if it is one group."""

    received: int
    groups: list[Records]
    signature: Signature | None
    is_time_trusted: bool
    rows: pa.Table | None
    unreadable: list[tuple[str, Frame]]


class Sink:
    """Moves records into the tables of their endpoints.

    ``signatures``: gives the signature of an endpoint, or None when it has none: then bodies are
    kept raw; ``trusts_event_time``: whether an endpoint takes the event times that its clients
    state; ``commit_interval_s``, ``commit_records``, ``commit_bytes``: a commit is made when the
    oldest record has waited this long, or so many records, or bytes of frames, are waiting;
    whichever comes first. The last two bound the memory, too: so many bytes, with what one receipt
    adds, are one group, whose rows are built once; ``poll_s``: how long ``run`` waits
    when there is nothing or little new; ``counters``: ``records``, ``rows``, ``gaps`` and
    ``commits`` made, ``duplicates`` dropped, ``failures`` that were tried again.
    """

    def __init__(
        self,
        root: str,
        transport: Transport,
        signatures: Callable[[str], Signature | None],
        *,
        trusts_event_time: Callable[[str], bool] = lambda _: False,
        commit_interval_s: float = 10.0,
        commit_records: int = 10_000,
        commit_bytes: int = 24 << 20,
        poll_s: float = 0.1,
        monotonic: Callable[[], float] = time.monotonic,
        observe: Observe | None = None,
    ) -> None:
        self._observe = observe
        self.counters = {
            "records": 0, "rows": 0, "gaps": 0, "commits": 0, "duplicates": 0, "failures": 0,
        }  # fmt: skip
        self._root = root
        self._transport = transport
        self._signatures = signatures
        self._trusts_event_time = trusts_event_time
        self._commit_interval_s = commit_interval_s
        self._commit_records = commit_records
        self._commit_bytes = commit_bytes
        self._poll_s = poll_s
        self._monotonic = monotonic
        self._erased = ErasedRecords(root, writer=transport.name, monotonic=monotonic)
        self._datasets: dict[str, Dataset] = {}
        self._gaps: DeltaFolder | None = None
        self._pending: list[Delivery] = []
        self._pending_records = 0
        self._pending_bytes = 0
        self._has_new = False
        self._seen: dict[str, int] = {}
        # Endpoints that failed: when each is tried again, and after how long a pause.
        self._pauses: dict[str, tuple[float, float]] = {}
        self._oldest_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Commit what comes until ``stop`` is set, then what is left; retry whatever goes wrong."""
        keep_freed_memory()
        back_off_s = self._poll_s
        while not stop.is_set():
            try:
                is_more = self._receive(lambda: stop.is_set() or self._is_due(), FEW_RECORDS)
                if self._is_due():
                    self._commit(is_patient=True)
                elif not self._pending:
                    self._transport.commit({})  # Spools that ended meanwhile can go.
                back_off_s = self._poll_s
            except Exception as error:  # noqa: BLE001 - an end would stop all that is still to come.
                self.counters["failures"] += 1
                back_off_s = min(back_off_s * 2, _MAX_BACK_OFF_S)
                log.warning("sink retries in_s=%.1f error=%s", back_off_s, _told(error))
                is_more = False
            if not is_more:
                stop.wait(back_off_s)
        end_s = self._monotonic() + _STOP_S
        try:
            self.step(lambda: self._monotonic() >= end_s)
        except Exception as error:  # noqa: BLE001 - what is not stored is where it came from.
            log.warning("sink stops with records left in the spool error=%s", _told(error))
        self._transport.close()

    def step(self, is_enough: Callable[[], bool] = lambda: False) -> int:
        """Commit what is there now; return how many records were new to the tables.

        ``is_enough``: asked after each receipt whether to stop, for more may keep coming.
        """
        before = self.counters["records"]
        is_full = True
        while is_full:
            self._receive(is_enough)
            is_full = self._is_full() and not is_enough()
            if self._pending:
                self._commit()
        self._transport.commit({})
        return self.counters["records"] - before

    def _receive(self, is_enough: Callable[[], bool], least: int = 1) -> bool:
        """Take what is there, up to what one commit may hold; return whether more may be there.

        ``is_enough`` ends it earlier, for records may trickle in without an end; so does a receipt
        of fewer records than ``least``. The transport is asked even when there is no room: it may
        have to send a heartbeat.
        """
        while True:
            room = 0 if self._is_full() else self._commit_records - self._pending_records
            deliveries = self._transport.receive(room)
            if deliveries and not self._pending:
                self._oldest_s = self._monotonic()
            for delivery in deliveries:
                self._note(delivery)
            is_more = sum(map(len, deliveries)) >= least
            if not is_more or is_enough():
                return is_more

    def _note(self, delivery: Delivery) -> None:
        """Keep the new records of a delivery; senders repeat after a failure."""
        last = self._seen.get(delivery.spool_id, 0)
        new = delivery.after(last) if last else delivery
        self.counters["duplicates"] += len(delivery) - len(new)
        self._seen[delivery.spool_id] = max(last, delivery.last_seq)
        if len(new):
            self._pending.append(new)
            self._pending_records += len(new)
            self._pending_bytes += new.size_bytes
            self._has_new = True

    def _is_due(self) -> bool:
        is_ripe = self._has_new or any(not self._is_paused(name) for name in self._pauses)
        is_old = self._monotonic() - self._oldest_s >= self._commit_interval_s
        return bool(self._pending) and is_ripe and (self._is_full() or is_old)

    def _is_full(self) -> bool:
        return (
            self._pending_records >= self._commit_records
            or self._pending_bytes >= self._commit_bytes
        )

    def _commit(self, *, is_patient: bool = False) -> None:
        """Store all that is pending, table by table, then commit in the transport.

        An endpoint that fails is left for later and stops no other; its failure is raised in the
        end. ``is_patient``: endpoints that failed lately wait for their retry. Gaps go first: what
        becomes no row is counted before any watermark moves past it.
        """
        with committing(self._root):
            self._commit_round(is_patient=is_patient)

    def _commit_round(self, *, is_patient: bool) -> None:
        self._has_new = False
        self._transport.secure()
        batch = Batch(self._pending)
        failures: dict[str, Exception | None] = {}
        prepared: dict[str, Prepared] = {}
        for endpoint in batch.endpoints:
            if is_patient and self._is_paused(endpoint):
                failures[endpoint] = None
                continue
            try:
                prepared[endpoint] = self._prepare(endpoint, batch.records(endpoint))
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others.
                failures[endpoint] = error
        if failures:
            # A spool's gaps are stored in sequence: those behind what could not be looked at wait.
            for endpoint in [name for name, made in prepared.items() if made.unreadable]:
                failures[endpoint] = None
                del prepared[endpoint]
        waiting = batch.spools(failures)
        gaps = [gap for gap in batch.gaps if gap[0] not in waiting]
        for made in prepared.values():
            gaps += [(spool, unreadable(frame)) for spool, frame in made.unreadable]
        if gaps:
            self._store_gaps([_gap_of(*gap) for gap in gaps])
        for endpoint in list(prepared):
            try:
                self._store(endpoint, batch, prepared.pop(endpoint))
            except Exception as error:  # noqa: BLE001 - as above
                failures[endpoint] = error
        self._settle(batch, failures)

    def _settle(self, batch: Batch, failures: Mapping[str, Exception | None]) -> None:
        """Keep what is left of a commit, or commit all of it in the transport."""
        for endpoint in batch.endpoints:
            if endpoint not in failures:
                self._pauses.pop(endpoint, None)
            elif failures[endpoint] is not None:
                # Files may lie there that no commit knows: the next attempt sweeps first.
                self._datasets.pop(endpoint, None)
                _, last_s = self._pauses.get(endpoint, (0.0, self._poll_s))
                pause_s = min(last_s * 2, _MAX_BACK_OFF_S)
                self._pauses[endpoint] = self._monotonic() + pause_s, pause_s
        self._pending = batch.left(failures) if failures else []
        self._pending_records = sum(map(len, self._pending))
        self._pending_bytes = sum(delivery.size_bytes for delivery in self._pending)
        for error in failures.values():
            if error is not None:
                raise error
        if not failures:
            self._transport.commit(self._seen)
            self._seen = {}

    def _is_paused(self, endpoint: str) -> bool:
        return self._monotonic() < self._pauses.get(endpoint, (0.0, 0.0))[0]

    def _prepare(self, endpoint: str, records: Records) -> Prepared:
        """Select the records that an endpoint's table does not have, and build their rows.

        Where they are too large to be held all at once, the rows are built again when stored.
        """
        dataset = self._dataset(endpoint)
        stored = np.array([dataset.watermark(spool) for spool in records.spools], np.int64)
        unseen = records.take(records.seq > stored[records.codes])
        new = self._erased.drop(endpoint, unseen)
        signature = dataset.settle(self._signatures(endpoint))
        is_trusted = states_time(new) and self._trusts_event_time(endpoint)
        groups = cut_by_size(new)
        rows: pa.Table | None = None
        odd: list[tuple[str, Frame]] = []
        for group in groups:
            built = build_rows(group, signature, is_time_trusted=is_trusted)
            odd += built.unreadable
            rows = built.rows if len(groups) == 1 else None
        count = len(records) - len(unseen) + len(new)
        return Prepared(count, groups, signature, is_trusted, rows, odd)

    def _store(self, endpoint: str, batch: Batch, prepared: Prepared) -> None:
        """Commit the records of one endpoint that its table does not have."""
        dataset = self._dataset(endpoint)
        for _ in range(_MAX_ATTEMPTS):
            try:
                for group in prepared.groups:
                    rows = prepared.rows
                    if rows is None:
                        rows = build_rows(
                            group, prepared.signature, is_time_trusted=prepared.is_time_trusted
                        ).rows
                    is_last = group is prepared.groups[-1]
                    offsets = batch.offsets(endpoint) if is_last else {}
                    self._append(dataset, group, rows, offsets, is_last=is_last)
            except WatermarkMovedError as error:
                log.warning("sink looks again endpoint=%s error=%s", endpoint, error)
                dataset.secure()
                prepared = self._prepare(endpoint, batch.records(endpoint))
                continue
            self.counters["duplicates"] += prepared.received - sum(map(len, prepared.groups))
            return
        raise WatermarkMovedError(
            f'table of "{endpoint}": another sink commits the same spool; stop one of them'
        )

    def _append(
        self,
        dataset: Dataset,
        records: Records,
        rows: pa.Table,
        offsets: Mapping[str, int],
        *,
        is_last: bool,
    ) -> None:
        """Commit rows with the watermarks of their spools.

        ``offsets``: how far they reach in each partition of a broker, to reconcile the two.
        """
        if not rows.num_rows:
            return
        seqs, codes = records.seq, records.codes
        watermarks = {
            records.spools[code]: int(seqs[codes == code].max())
            for code in np.unique(codes).tolist()
        }
        began_s = self._monotonic()
        with span("commit", endpoint=dataset.endpoint, rows=rows.num_rows):
            dataset.append(rows, watermarks, offsets, is_last=is_last)
        if self._observe is not None:
            self._observe(dataset.endpoint, rows, self._monotonic() - began_s)
        count = pc.sum(is_first(rows)).as_py()
        self.counters["records"] += count
        self.counters["rows"] += rows.num_rows
        self.counters["commits"] += 1
        log.info(
            "sink commit endpoint=%s records=%d rows=%d", dataset.endpoint, count, rows.num_rows
        )

    def _store_gaps(self, gaps: Sequence[Gap]) -> None:
        """Commit the gaps that their table does not have."""
        if self._gaps is None:
            self._gaps = gap_folder(self._root, writer=self._transport.name)
            self._gaps.sweep()
        try:
            self.counters["gaps"] += record_gaps(self._gaps, gaps)
        except DriftlineError:
            self._gaps = None
            raise

    def _dataset(self, endpoint: str) -> Dataset:
        """Open a table once, and remove the uncommitted files of this sink's predecessor."""
        if endpoint not in self._datasets:
            dataset = Dataset(self._root, endpoint, writer=self._transport.name)
            if removed := dataset.sweep():
                log.info("sink removed uncommitted files endpoint=%s files=%d", endpoint, removed)
            self._datasets[endpoint] = dataset
        return self._datasets[endpoint]


def _told(error: Exception) -> str:
    """Describe an error; an unexpected one by its kind only, as it may quote a body."""
    return str(error) if isinstance(error, DriftlineError) else type(error).__name__


def _gap_of(spool_id: str, frame: Frame) -> Gap:
    meta = frame.meta
    return Gap(
        spool_id=spool_id,
        seq=frame.seq,
        endpoint=meta.get("endpoint", ""),
        reason=meta.get("reason", ""),
        records=int(meta["records"]) if "records" in meta else None,
        size_bytes=int(meta.get("bytes", "0")),
        first_time=time_of(int(meta.get("first_ns", "0"))),
        last_time=time_of(int(meta.get("last_ns", "0"))),
    )


def keep_freed_memory() -> None:
    """Let this process keep and reuse up to 256 MiB of freed memory.

    Batch work allocates the same large pieces each time. By default they go back to the kernel in
    between, which has to clear each page anew: a fifth of a sink's CPU. Arrow uses the same memory;
    a pool of its own would hold a sixth more at the peak. With another C library than glibc, only
    Arrow is set.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not (
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    ):
        log.info("memory is not kept: this C library has no setting for it")
