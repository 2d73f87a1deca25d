"""The sink: records from the transport to the tables, exactly once.

Each commit of an endpoint's table carries its rows and, for each spool, the last sequence number
among them. What comes again, after a kill of any process at any moment, is known by these marks and
dropped; nothing is removed from the spool before every table has what was in it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from driftline.capture.dataset import (
    Dataset,
    Gap,
    MarkMovedError,
    gap_folder,
    record_gaps,
    time_of,
)
from driftline.capture.frame import Frame, Kind
from driftline.capture.rows import Built, build_rows
from driftline.capture.sound import readable, unreadable
from driftline.capture.table import DeltaFolder
from driftline.capture.transport import Delivery, Transport
from driftline.errors import DriftlineError
from driftline.signature import Signature

__all__ = ["Sink"]

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 5
_MAX_BACK_OFF_S = 30.0

Record = tuple[str, Frame]


class Sink:
    """Moves records into the tables of their endpoints.

    Parameters
    ----------
    root
        Storage root.
    transport
        Where records come from.
    signatures
        Gives the signature of an endpoint, or None when it has none: then bodies are kept raw.
    commit_interval_s, commit_records, commit_bytes
        A commit is made when the oldest record has waited this long, or so many records, or bytes
        of bodies, are waiting; whichever comes first. The last two bound the memory, too.
    poll_s
        How long ``run`` waits when there is nothing new.
    monotonic
        Clock for the interval, in seconds.

    Attributes
    ----------
    counters
        ``records``, ``rows``, ``gaps`` and ``commits`` made, ``duplicates`` dropped, ``failures``
        of storage that were tried again.
    """

    def __init__(
        self,
        root: str,
        transport: Transport,
        signatures: Callable[[str], Signature | None],
        *,
        commit_interval_s: float = 10.0,
        commit_records: int = 5_000,
        commit_bytes: int = 128 << 20,
        poll_s: float = 0.1,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = {
            "records": 0, "rows": 0, "gaps": 0, "commits": 0, "duplicates": 0, "failures": 0,
        }  # fmt: skip
        self._root = root
        self._transport = transport
        self._signatures = signatures
        self._commit_interval_s = commit_interval_s
        self._commit_records = commit_records
        self._commit_bytes = commit_bytes
        self._poll_s = poll_s
        self._monotonic = monotonic
        self._datasets: dict[str, Dataset] = {}
        self._gaps: DeltaFolder | None = None
        self._pending: list[Delivery] = []
        self._pending_records = 0
        self._pending_bytes = 0
        self._oldest_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Commit what comes until ``stop`` is set, then what is left; retry on storage trouble."""
        back_off_s = self._poll_s
        while not stop.is_set():
            try:
                received = self._receive(until_due=True)
                if self._is_due():
                    self._commit()
                elif not self._pending:
                    self._transport.commit({})  # Spools that ended meanwhile can go.
                back_off_s = self._poll_s
            except DriftlineError as error:
                self.counters["failures"] += 1
                back_off_s = min(back_off_s * 2, _MAX_BACK_OFF_S)
                log.warning("sink retries in_s=%.1f error=%s", back_off_s, error)
                received = 0
            if not received:
                stop.wait(back_off_s)
        try:
            self.step()
        except DriftlineError as error:
            log.warning("sink stops with records left in the spool error=%s", error)
        self._transport.close()

    def step(self) -> int:
        """Commit what is there now; give how many records were new to the tables.

        It ends even while more keeps coming in.

        Raises
        ------
        UnavailableError
            When the storage cannot be written; nothing is lost, a later step commits it.
        """
        before = self.counters["records"]
        is_full = True
        while is_full:
            self._receive()
            is_full = self._is_full()
            if self._pending:
                self._commit()
        self._transport.commit({})
        return self.counters["records"] - before

    def _receive(self, *, until_due: bool = False) -> int:
        """Take what is there, up to what one commit may hold; give how many frames came.

        The transport is asked even when there is no room: it may have to show that it lives.
        """
        received = 0
        while True:
            room = 0 if self._is_full() else self._commit_records - self._pending_records
            found = self._transport.receive(room)
            if not found:
                break
            if not self._pending:
                self._oldest_s = self._monotonic()
            for delivery in found:
                self._pending.append(delivery)
                self._pending_records += len(delivery.frames)
                self._pending_bytes += sum(
                    len(f.request) + len(f.response) for f in delivery.frames
                )
                received += len(delivery.frames)
            if until_due and self._is_due():  # Records may trickle in without an end.
                break
        return received

    def _is_due(self) -> bool:
        return bool(self._pending) and (
            self._is_full() or self._monotonic() - self._oldest_s >= self._commit_interval_s
        )

    def _is_full(self) -> bool:
        return (
            self._pending_records >= self._commit_records
            or self._pending_bytes >= self._commit_bytes
        )

    def _commit(self) -> None:
        """Store all that is pending, table by table, then let the transport forget it.

        Gaps go first: what no row can be made of is counted before any mark moves past it.
        """
        records: dict[str, list[Record]] = defaultdict(list)
        offsets: dict[str, dict[str, int]] = defaultdict(dict)
        gaps: list[Record] = []
        marks: dict[str, int] = {}
        for delivery in self._pending:
            spool_id, last = delivery.spool_id, marks.get(delivery.spool_id, 0)
            # What a sender repeats after trouble begins anew at what was sent before.
            new = [readable(frame) for frame in delivery.frames if frame.seq > last]
            self.counters["duplicates"] += len(delivery.frames) - len(new)
            for frame in new:
                if frame.kind == Kind.GAP:
                    gaps.append((spool_id, frame))
                    continue
                endpoint = frame.meta["endpoint"]
                records[endpoint].append((spool_id, frame))
                if delivery.origin is not None:
                    offsets[endpoint][delivery.origin.name] = delivery.origin.offset
            marks[spool_id] = max(last, delivery.last_seq)
        built = {endpoint: self._build(endpoint, found) for endpoint, found in records.items()}
        for _, made in built.values():
            gaps += [(spool, unreadable(frame)) for spool, frame in made.unreadable]
        if gaps:
            self._store_gaps([_gap_of(*gap) for gap in gaps])
        for endpoint, found in records.items():
            self._store(endpoint, found, offsets[endpoint], *built.pop(endpoint))
        self._pending = []
        self._pending_records = self._pending_bytes = 0
        self._transport.commit(marks)

    def _build(self, endpoint: str, records: Sequence[Record]) -> tuple[list[Record], Built]:
        """Find the records that the table of an endpoint does not have, and make their rows."""
        dataset = self._dataset(endpoint)
        stored = {spool: dataset.mark(spool) for spool in {spool for spool, _ in records}}
        new = [record for record in records if record[1].seq > stored[record[0]]]
        return new, build_rows(new, dataset.settle(self._signatures(endpoint)))

    def _store(
        self,
        endpoint: str,
        records: Sequence[Record],
        offsets: Mapping[str, int],
        new: Sequence[Record],
        built: Built,
    ) -> None:
        """Commit the records of one endpoint that its table does not have.

        ``offsets``: how far in each partition of a broker they lay, for who reconciles the two.
        """
        dataset = self._dataset(endpoint)
        for _ in range(_MAX_ATTEMPTS):
            rows = built.rows
            if not rows.num_rows:
                break
            try:
                dataset.append(rows, {spool: frame.seq for spool, frame in new}, offsets)
            except MarkMovedError as error:
                log.warning("sink looks again endpoint=%s error=%s", endpoint, error)
                dataset.folder.refresh()
                new, built = self._build(endpoint, records)
                continue
            except DriftlineError:
                # Files may lie there that no commit knows: the next attempt sweeps first.
                del self._datasets[endpoint]
                raise
            count = len(new) - len(built.unreadable)
            self.counters["records"] += count
            self.counters["rows"] += rows.num_rows
            self.counters["commits"] += 1
            self.counters["duplicates"] += len(records) - len(new)
            log.info("sink commit endpoint=%s records=%d rows=%d", endpoint, count, rows.num_rows)
            return
        else:
            raise MarkMovedError(
                f'table of "{endpoint}": another sink commits the same spool; stop one of them'
            )
        self.counters["duplicates"] += len(records) - len(new)

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
        """Open a table once; what this sink's forerunner wrote but did not commit goes."""
        if endpoint not in self._datasets:
            dataset = Dataset(self._root, endpoint, writer=self._transport.name)
            if removed := dataset.sweep():
                log.info("sink removed uncommitted files endpoint=%s files=%d", endpoint, removed)
            self._datasets[endpoint] = dataset
        return self._datasets[endpoint]


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
