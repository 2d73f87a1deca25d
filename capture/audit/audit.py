"""The audit: every number that a spool has given is stored once, or counted as lost.

A spool numbers records and gaps from 1 without holes, so that what is missing, and what is there
twice, can be proved. For each spool that any table has ever seen:

    last number = numbers stored + numbers of gaps + erased + expired + in flight

Accounts (``account``) tell at once where that holds; only a spool where it does not is looked at
number by number. Nothing is taken for lost that may still be on its way: a number is final once the
sink has said that all tables have what came up to it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.audit.account import (
    EMPTY,
    Account,
    Run,
    account_of,
    length_of,
    run_account,
    runs_account,
    runs_of,
)
from driftline.capture.audit.ledger import Ledger, read_ledger
from driftline.capture.audit.stock import Stock, take_stock
from driftline.capture.erasure.erasures import erased_sequences
from driftline.capture.spool.backlog import STORED_NAME, read_watermark
from driftline.capture.tables.dataset import (
    FIRST_COLUMNS,
    IS_FIRST,
    META_SCHEMA,
    Dataset,
    Gap,
    read_gaps,
)
from driftline.capture.tables.storage import reaching

log = logging.getLogger(__name__)

# Numbers of one spool that are looked at together: 32 MiB.
_WINDOW = 1 << 25
_MAX_RUNS = 100
# A gap stands for one number, but for these, which stand for as many as they lost.
_WIDE = frozenset({"corrupt", "missing", "poison"})
_SPOOL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class SpoolAudit:
    """One spool that was looked at number by number.

    ``last``: the last number that a table has seen; ``missing``, ``doubled``: how many numbers are
    nowhere, and how many are there more than once; ``in_flight``: how many are not stored yet, with
    the sink half-way through them; ``torn``: requests whose rows are not all there, or there twice;
    ``missing_runs``, ``doubled_runs``: where they are, as first and last number; the first runs of
    them.
    """

    spool_id: str
    endpoints: tuple[str, ...]
    last: int
    missing: int
    doubled: int
    in_flight: int
    torn: int
    missing_runs: tuple[Run, ...] = ()
    doubled_runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit has found.

    ``time``, ``is_full``: when it was made, and whether everything was read anew; ``spools``,
    ``numbers``: how many spools there are, and how many numbers they have given as far as tables
    saw them; ``stored``, ``gaps``, ``erased``, ``expired``, ``in_flight``: where these are: in
    tables, told by gaps, erased on request, removed by retention, on their way; ``missing``,
    ``doubled``, ``torn``: what does not add up (see ``SpoolAudit``); ``damaged``: files of tables
    that are gone or not what was written; ``topic_losses``: gaps that tell of records lost in a
    topic, whose number nobody counted; ``found``: the spools that were looked at number by number;
    ``requests``: requests that each endpoint's table has held, those removed by retention included;
    ``undecodable``: requests of each endpoint's table that were cut, or that a fault of the decoder
    kept from becoming rows.
    """

    time: datetime
    is_full: bool
    spools: int
    numbers: int
    stored: int
    gaps: int
    erased: int
    expired: int
    in_flight: int
    missing: int
    doubled: int
    torn: int
    damaged: tuple[str, ...]
    topic_losses: int
    found: tuple[SpoolAudit, ...]
    requests: Mapping[str, int]
    undecodable: Mapping[str, int]

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing, doubled or damaged."""
        return not (self.missing or self.doubled or self.torn or self.damaged)

    def by_endpoint(self, of: Callable[[SpoolAudit], int]) -> dict[str, int]:
        """Sum the findings by endpoint; a spool of several endpoints counts for each."""
        totals: dict[str, int] = {}
        for spool in self.found:
            for endpoint in spool.endpoints:
                totals[endpoint] = totals.get(endpoint, 0) + of(spool)
        return totals


def audit(
    root: str,
    *,
    now: Callable[[], datetime],
    spool_dir: Path | None = None,
    full: bool = False,
    max_runs: int | None = _MAX_RUNS,
) -> Audit:
    """Audit all that was ever captured below a storage root."""
    ledger = read_ledger(root)
    book = _Book(root, ledger, spool_dir)
    book.look(full=full)
    if book.suspects():
        # What a sink was just committing is complete at a second look, or known to be on its way.
        book.look(full=False)
    spools = tuple(book.examined(max_runs))
    ledger.write(root)
    made = book.sums()
    return Audit(
        time=now(),
        is_full=full,
        **made,
        missing=sum(spool.missing for spool in spools),
        doubled=sum(spool.doubled for spool in spools),
        torn=sum(spool.torn for spool in spools),
        in_flight=sum(spool.in_flight for spool in spools),
        damaged=tuple(sorted(book.stock.damaged)),
        found=spools,
        requests=book.requests(),
        undecodable=ledger.undecodable(),
    )


class _Book:
    """Accounts of all spools side by side."""

    def __init__(self, root: str, ledger: Ledger, spool_dir: Path | None) -> None:
        self._root = root
        self._ledger = ledger
        self._spool_dir = spool_dir if spool_dir is not None and spool_dir.is_dir() else None
        self._notes: dict[str, int] = {}
        self._before: frozenset[str] = frozenset()
        self._last: dict[str, int] = {}
        self.stock = Stock()

    def look(self, *, full: bool) -> None:
        """Bring the accounts up to date with the tables.

        First up to where everything is stored, then the tables, then what was told of: each is
        written before the one that is looked at earlier can say so.
        """
        self._notes, self._before = self._read_notes(), frozenset(self._last)
        self.stock = take_stock(self._root, self._ledger, full=full)
        self._held = self._ledger.held()
        gaps = read_gaps(self._root)
        self._gaps = {
            spool_id: numbers for spool_id, numbers in numbers_of(gaps) if _is_spool(spool_id)
        }
        self._topic_losses = sum(not _is_spool(gap.spool_id) for gap in gaps)
        self._erased = erased_sequences(self._root)
        verified = self._ledger.verified
        self._last = {
            spool_id: max(self.stock.stored.get(spool_id, 0), verified.get(spool_id, 0))
            for spool_id in sorted({*self.stock.stored, *verified, *self._held, *self._erased})
            if _is_spool(spool_id)
        }
        for spool_id, numbers in self._erased.items():
            # The sink drops what is to be erased, and no watermark may tell that it came.
            if spool_id in self._last and len(numbers):
                self._last[spool_id] = max(self._last[spool_id], int(numbers[-1]))

    def suspects(self) -> list[str]:
        """Return the spools whose numbers are not exactly 1 to the last one; check the others."""
        suspects = []
        for spool_id, last in self._last.items():
            expired = self._ledger.expired.get(spool_id, EMPTY)
            account = self._account(spool_id).plus(expired)
            is_known = expired.numbers == self.stock.expired_of(spool_id)
            is_whole = account.is_same_set(self._whole(spool_id, last))
            if is_known and is_whole and not account.torn:
                self._ledger.verified[spool_id] = last
            else:
                suspects.append(spool_id)
        return suspects

    def examined(self, max_runs: int | None) -> Iterator[SpoolAudit]:
        """Look at each suspect number by number."""
        for spool_id in self.suspects():
            spool = self._examine(spool_id, max_runs)
            if spool.missing or spool.doubled or spool.torn or spool.in_flight:
                yield spool
            else:
                self._ledger.verified[spool_id] = spool.last

    def sums(self) -> dict[str, int]:
        """Add up over all spools."""
        names = self._last
        return {
            "spools": len(names),
            "numbers": sum(names.values()),
            "stored": sum(self._held.get(name, EMPTY).numbers for name in names),
            "gaps": sum(len(self._gaps.get(name, ())) for name in names),
            "erased": sum(len(self._erased.get(name, ())) for name in names),
            "expired": sum(self.stock.expired_of(name) for name in names),
            "topic_losses": self._topic_losses,
        }

    def requests(self) -> dict[str, int]:
        """Count the requests that each endpoint's table holds or has held."""
        counts = self._ledger.requests()
        for endpoint, spools in self.stock.expired.items():
            expired = sum(spools.values()) - self.stock.expired_shadows[endpoint]
            counts[endpoint] = counts.get(endpoint, 0) + expired
        return counts

    def _account(self, spool_id: str) -> Account:
        total = self._held.get(spool_id, EMPTY)
        for by_spool in (self._gaps, self._erased):
            if spool_id in by_spool:
                total = total.plus(account_of(by_spool[spool_id]))
        return total

    def _whole(self, spool_id: str, last: int) -> Account:
        """Return the account of 1 to a last number, from where the last audit ended."""
        earlier = self._ledger.digests.get(spool_id, EMPTY)
        if earlier.numbers > last:
            earlier = EMPTY
        whole = earlier.plus(run_account(earlier.numbers + 1, last))
        self._ledger.digests[spool_id] = whole
        return whole

    def _examine(self, spool_id: str, max_runs: int | None) -> SpoolAudit:
        endpoints = tuple(self._ledger.carried.get(spool_id, ()))
        last, final = self._last[spool_id], self._final(spool_id)
        missing: list[Run] = []
        doubled: list[Run] = []
        for start in range(1, last + 1, _WINDOW):
            cover = self._cover(spool_id, start, min(start + _WINDOW, last + 1))
            missing += runs_of(cover == 0, start)
            doubled += runs_of(cover > 1, start)
        lost = [(first, min(end, final)) for first, end in missing if first <= final]
        absent, expired = length_of(lost), self.stock.expired_of(spool_id)
        if absent == expired:  # From now on it is known which ones these were.
            self._ledger.expired[spool_id] = runs_account(lost)
        left = max(absent - expired, 0)
        return SpoolAudit(
            spool_id=spool_id,
            endpoints=endpoints,
            last=last,
            missing=left,
            doubled=length_of(doubled),
            in_flight=length_of(missing) - absent,
            torn=self._held.get(spool_id, EMPTY).torn,
            missing_runs=tuple(lost[:max_runs]) if left else (),
            doubled_runs=tuple(doubled[:max_runs]),
        )

    def _cover(self, spool_id: str, start: int, stop: int) -> np.ndarray:
        """Count how often each number of a window is stored, or told of; 2 stands for more."""
        cover = np.zeros(stop - start, np.uint8)
        gaps = self._gaps.get(spool_id, np.empty(0, np.int64))
        inside = gaps[(gaps >= start) & (gaps < stop)]
        for numbers in chain(self._stored(spool_id, start, stop), [inside]):
            at, counts = np.unique(numbers - start, return_counts=True)
            cover[at] = np.minimum(cover[at] + np.minimum(counts, 2), 2)
        erased = self._erased.get(spool_id)
        if erased is not None:  # One that is still there is about to go.
            inside = erased[(erased >= start) & (erased < stop)] - start
            cover[inside] = np.maximum(cover[inside], 1)
        return cover

    def _stored(self, spool_id: str, start: int, stop: int) -> Iterator[np.ndarray]:
        """Return the numbers of a window that the tables hold."""
        schema = pa.schema(
            [META_SCHEMA.field(name) for name in ("spool_id", "spool_seq", *FIRST_COLUMNS)]
        )
        seq = pc.field("spool_seq")
        wanted = (pc.field("spool_id") == spool_id) & IS_FIRST & (seq >= start) & (seq < stop)
        for endpoint, files in self.stock.files.items():
            if not files:
                continue
            folder = Dataset(self._root, endpoint)
            data = folder.read_files(files, schema)
            with reaching(folder.uri):
                for batch in data.to_batches(columns=["spool_seq"], filter=wanted):
                    if len(batch):
                        yield batch["spool_seq"].to_numpy()

    def _final(self, spool_id: str) -> int:
        """Return up to which number a spool's records are surely in all tables, or lost."""
        is_here = self._spool_dir is not None
        if is_here and spool_id in self._before and spool_id not in self._notes:
            # Known at the look before, and gone when this one began: stored as a whole by then.
            return self._last[spool_id]
        verified = self._ledger.verified.get(spool_id, 0)
        return max(self.stock.settled.get(spool_id, 0), verified, self._notes.get(spool_id, 0))

    def _read_notes(self) -> dict[str, int]:
        """Return, per spool of this host, the number up to which the sink has stored everything."""
        if self._spool_dir is None:
            return {}
        spools = (path for path in self._spool_dir.iterdir() if _is_spool(path.name))
        return {spool.name: read_watermark(spool, STORED_NAME) for spool in spools}


def numbers_of(gaps: Sequence[Gap]) -> Iterator[tuple[str, np.ndarray]]:
    """Return for each spool the numbers, int64, that its gaps stand for."""
    runs_by_spool: dict[str, list[np.ndarray]] = {}
    for gap in gaps:
        width = max(gap.records or 1, 1) if gap.reason in _WIDE else 1
        numbers = np.arange(max(gap.seq - width, 0) + 1, gap.seq + 1, dtype=np.int64)
        runs_by_spool.setdefault(gap.spool_id, []).append(numbers)
    for spool_id, runs in runs_by_spool.items():
        yield spool_id, np.concatenate(runs)


def _is_spool(name: str) -> bool:
    """Whether a name is that of a spool, not of a topic's partition."""
    return _SPOOL_ID.fullmatch(name) is not None
