"""Coverage of an endpoint's requests: the counts that people, metrics and alarms read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.audit.note import read_note
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.host_counts import EndpointCounts
from driftline.capture.tables.dataset import (
    FIRST_COLUMNS,
    Dataset,
    Gap,
    is_callers,
    is_cut,
    is_first,
    is_flagged,
    read_gaps,
)
from driftline.capture.tables.delta_log import last_commit, read_watermarks
from driftline.capture.tables.storage import reaching

RECENT = timedelta(hours=24)
_COLUMNS = (*FIRST_COLUMNS, "status", "flags", "parse_error", "event_time", "arrival_time")
# What may be odd about an event time that was given.
_TIME_FLAGS = {
    "malformed": Flag.EVENT_TIME_MALFORMED,
    "without_zone": Flag.EVENT_TIME_ZONELESS,
    "impossible": Flag.EVENT_TIME_SUSPECT,
}
# What an error says of one body: numbers and quotations.
_VALUES = re.compile(r'\d+|"[^"]*"?|“[^”]*”?')
_MAX_ERROR = 300
_MAX_REASON = 80
_MAX_REASONS = 20


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much is stored of what was to be recorded.

    ``dropped``: requests known to be lost; ``undecodable``: stored requests that were cut, or that
    the decoder failed on; ``uncounted``: losses of an unknown number of requests.
    """

    stored: int
    dropped: int
    undecodable: int = 0
    uncounted: int = 0

    @property
    def ratio(self) -> float | None:
        """Share that is stored and can be decoded, from 0 to 1; None without any requests.

        An uncounted loss counts as one request: 1 would claim that none is missing.
        """
        total = self.stored + self.dropped + self.uncounted
        return (self.stored - self.undecodable) / total if total else None


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """The counts of all requests to an endpoint, by outcome.

    ``seen``, ``sampled``: requests that taps of this host saw, and chose to record; None where none
    has counted; ``requests``, ``rows``, ``failed``: requests in the table, their rows, and how many
    of them were answered with 400 or more; ``unparsed``: requests in the table with a body that
    gave no rows, by reason; ``faults``: how many of them a fault of the decoder is to blame for:
    these count against coverage; ``cut``: how many of them had a body of which not all was kept:
    these do, too; ``event_times``: requests whose event time was given, but ``malformed`` or
    ``impossible`` (the arrival time is used), or ``without_zone`` (read as UTC); ``dropped``:
    requests lost, by reason: told by gaps, or counted by taps and not told yet; ``uncounted``: gaps
    of which nobody knows how many requests they stand for; ``missing``: requests that the last
    audit found nowhere, which counts against coverage, too; ``gaps``: all gaps, oldest spool first;
    those of damaged segments stand at each endpoint of the spool; ``overall``, ``recent``: coverage
    of all, and of what arrived in the last 24 hours; ``oldest``, ``newest``: first and last event
    time in the table; ``last_arrival``, ``last_commit``: when the newest record in the table came
    in, and when the table was last written to; ``shadows``: answers of shadows in the table, which
    are in none of the other counts.
    """

    endpoint: str
    seen: int | None = None
    sampled: int | None = None
    requests: int = 0
    rows: int = 0
    failed: int = 0
    unparsed: Mapping[str, int] = field(default_factory=dict)
    faults: int = 0
    cut: int = 0
    event_times: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    uncounted: int = 0
    missing: int = 0
    gaps: tuple[Gap, ...] = ()
    overall: Coverage = Coverage(0, 0)
    recent: Coverage = Coverage(0, 0)
    spools: Mapping[str, int] = field(default_factory=dict)
    oldest: datetime | None = None
    newest: datetime | None = None
    last_arrival: datetime | None = None
    last_commit: datetime | None = None
    files: int = 0
    size_bytes: int = 0
    shadows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDay(Coverage):
    """Coverage of what arrived in the last 24 hours."""

    coverage: float | None


@dataclass(frozen=True, kw_only=True)
class TableDocument:
    """A report as it is sent."""

    seen: int | None
    sampled: int | None
    requests: int
    rows: int
    shadows: int
    failed: int
    unparsed: int
    unparsed_by_reason: Mapping[str, int]
    decoder_faults: int
    cut: int
    event_times: Mapping[str, int]
    dropped: int
    dropped_by_reason: Mapping[str, int]
    uncounted_gaps: int
    missing: int
    coverage: float | None
    last_24_h: LastDay
    gaps: Sequence[Gap]
    spools: Mapping[str, int]
    oldest: datetime | None
    newest: datetime | None
    last_arrival: datetime | None
    last_commit: datetime | None
    files: int
    size_bytes: int


def report(
    root: str,
    endpoint: str,
    *,
    now: datetime,
    gaps: Iterable[Gap] | None = None,
    counts: Mapping[str, EndpointCounts] | None = None,
    audit: Mapping[str, Any] | None = None,
) -> EndpointReport:
    """Report on one endpoint; gaps, counts and the last audit are read where they are not given."""
    folder = Dataset(root, endpoint)
    data = folder.open()
    table = folder.table
    since = now - RECENT
    rows = _Rows(since)
    spools: Mapping[str, int] = {}
    if data is not None:
        rows.read(data, folder.uri)
        spools = read_watermarks(folder).stored
    endpoint_gaps = [
        gap
        for gap in (read_gaps(root) if gaps is None else gaps)
        if gap.endpoint == endpoint or (not gap.endpoint and gap.spool_id in spools)
    ]
    tap_counts = (counts or {}).get(endpoint)
    dropped = _dropped(endpoint_gaps, tap_counts)
    lately = [gap for gap in endpoint_gaps if gap.last_time is None or gap.last_time >= since]
    audited = (read_note(root) or {}) if audit is None else audit
    missing = int((audited.get("missing_by_endpoint") or {}).get(endpoint, 0))
    uncounted = _uncounted(endpoint_gaps)
    return EndpointReport(
        endpoint=endpoint,
        seen=None if tap_counts is None else tap_counts.requests,
        sampled=None if tap_counts is None else tap_counts.sampled,
        requests=rows.requests,
        rows=rows.rows,
        failed=rows.failed,
        unparsed=dict(rows.unparsed),
        faults=rows.faults,
        cut=rows.cut,
        event_times=dict(rows.event_times),
        dropped=dropped,
        uncounted=uncounted,
        missing=missing,
        gaps=tuple(endpoint_gaps),
        overall=Coverage(
            rows.requests, sum(dropped.values()) + missing, rows.faults + rows.cut, uncounted
        ),
        recent=Coverage(
            rows.recent,
            # When the missing ones came, nobody knows.
            sum(gap.records or 0 for gap in lately) + missing,
            rows.recent_undecodable,
            _uncounted(lately),
        ),
        spools=spools,
        oldest=rows.oldest,
        newest=rows.newest,
        last_arrival=rows.last_arrival,
        last_commit=last_commit(folder),
        files=0 if table is None else len(table.file_uris()),
        size_bytes=folder.size_bytes(),
        shadows=rows.shadows,
    )


def audited_coverage(audit: Mapping[str, Any]) -> dict[str, Coverage]:
    """Return what an audit counted of each endpoint of which it tells."""
    keys = ("requests", "dropped", "missing_by_endpoint", "undecodable", "uncounted")
    counts: list[Mapping[str, int]] = [audit.get(key) or {} for key in keys]
    found = {}
    for name in {*counts[0], *counts[1]}:
        stored, dropped, missing, *others = (one.get(name, 0) for one in counts)
        found[name] = Coverage(stored, dropped + missing, *others)
    return found


def document_of(found: EndpointReport) -> TableDocument:
    """Return a report as it is sent, without the endpoint's name."""
    return TableDocument(
        seen=found.seen,
        sampled=found.sampled,
        requests=found.requests,
        rows=found.rows,
        shadows=found.shadows,
        failed=found.failed,
        unparsed=sum(found.unparsed.values()),
        unparsed_by_reason=found.unparsed,
        decoder_faults=found.faults,
        cut=found.cut,
        event_times=found.event_times,
        dropped=sum(found.dropped.values()),
        dropped_by_reason=found.dropped,
        uncounted_gaps=found.uncounted,
        missing=found.missing,
        coverage=found.overall.ratio,
        last_24_h=LastDay(**asdict(found.recent), coverage=found.recent.ratio),
        gaps=found.gaps,
        spools=found.spools,
        oldest=found.oldest,
        newest=found.newest,
        last_arrival=found.last_arrival,
        last_commit=found.last_commit,
        files=found.files,
        size_bytes=found.size_bytes,
    )


class _Rows:
    """Sums the rows of a table, batch by batch."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self.requests = self.rows = self.failed = self.recent = 0
        self.faults = self.cut = self.recent_undecodable = self.shadows = 0
        self.unparsed: Counter[str] = Counter()
        self.event_times = dict.fromkeys(_TIME_FLAGS, 0)
        self.oldest: datetime | None = None
        self.newest: datetime | None = None
        self.last_arrival: datetime | None = None

    def read(self, data: pads.Dataset, uri: str) -> None:
        """Add all rows of a table up."""
        with reaching(uri):
            for batch in data.to_batches(columns=list(_COLUMNS)):
                if batch.num_rows:
                    self._add(batch)

    def _add(self, batch: pa.RecordBatch) -> None:
        times = pc.min_max(batch["event_time"]).as_py()
        self.oldest = min(self.oldest or times["min"], times["min"])
        self.newest = max(self.newest or times["max"], times["max"])
        arrival = pc.max(batch["arrival_time"]).as_py()
        self.last_arrival = max(self.last_arrival or arrival, arrival)
        callers = is_callers(batch)
        self.rows += _count(callers)
        is_start = is_first(batch)
        first = batch.filter(pc.and_(is_start, callers))
        self.shadows += _count(is_start) - first.num_rows
        self.requests += first.num_rows
        self.failed += pc.sum(pc.greater_equal(first["status"], 400)).as_py() or 0
        flags = first["flags"]
        for name, flag in _TIME_FLAGS.items():
            self.event_times[name] += _count(is_flagged(flags, flag))
        is_recent = pc.greater_equal(first["arrival_time"], pa.scalar(self._since))
        self.recent += pc.sum(is_recent).as_py() or 0
        is_fault, was_cut = is_flagged(flags, Flag.DECODER_FAULT), is_cut(flags)
        self.faults += _count(is_fault)
        self.cut += _count(was_cut)
        self.recent_undecodable += _count(pc.and_(pc.or_(is_fault, was_cut), is_recent))
        for count in pc.value_counts(first["parse_error"].drop_null()).to_pylist():
            self.unparsed[self._reason(count["values"])] += count["counts"]

    def _reason(self, error: str) -> str:
        """Return the kind of an error; past a number of kinds, "other"."""
        kind = error_kind(error)
        return kind if kind in self.unparsed or len(self.unparsed) < _MAX_REASONS else "other"


def _count(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def error_kind(error: str) -> str:
    """Return the kind of a body's error, without numbers and quoted values."""
    kind = _VALUES.sub("…", error[:_MAX_ERROR]).partition(" (")[0].partition(";")[0]
    return kind[:_MAX_REASON]


def _uncounted(gaps: Iterable[Gap]) -> int:
    return sum(gap.records is None for gap in gaps)


def _dropped(gaps: Iterable[Gap], counts: EndpointCounts | None) -> dict[str, int]:
    """Count drops by reason: a tap counts first, and its gap tells the same later."""
    by_gaps: Counter[str] = Counter()
    for gap in gaps:
        if gap.records is not None:
            by_gaps[gap.reason] += gap.records
    counted = {} if counts is None else counts.dropped
    dropped = {
        reason: max(by_gaps[reason], counted.get(reason, 0)) for reason in {*by_gaps, *counted}
    }
    return {reason: dropped[reason] for reason in sorted(dropped) if dropped[reason]}
