"""Erasure on request: rows, their labels, and what documents say about them.

Files with such a row are rewritten without it and deleted at once, with every file that compaction
or retention replaced and that still lies there: a reader of an older state has to read again. What
comes later from a spool or broker is erased by the sink and by table maintenance for as long as the
request stands (``standing``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.erasure.clearing import (
    ClearedWindows,
    RequestClearer,
    WindowClearer,
    clear_documents,
    clear_no_request,
    clear_no_window,
    clear_quarantine,
)
from driftline.capture.erasure.erasures import Kind, record_removed, record_requests, removed_folder
from driftline.capture.erasure.expunging import (
    Expunged,
    Match,
    expunge,
    live_files,
    looking,
    lying_files,
    matching,
    part_of,
)
from driftline.capture.erasure.pending import begin_clearing, end_clearing, finish_clearing
from driftline.capture.labels.labels import label_folder, list_labelled
from driftline.capture.spool.backlog import count_open
from driftline.capture.tables.dataset import Dataset, list_endpoints
from driftline.capture.tables.table import DeltaFolder
from driftline.capture.tables.writer_name import WriterName
from driftline.formats.arrow_types import UTC_MICROSECONDS

log = logging.getLogger(__name__)

_IDS = ("event_id", "inference_id", "event_time")
_ROWS = ("event_id", "spool_id", "spool_seq")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EndpointErased:
    """The counts of what was removed from an endpoint."""

    requests: int = 0
    rows: int = 0
    labels: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Erased:
    """The result of a request to erase.

    ``dry_run``: whether it was only counted; ``asked``, ``unknown``: ids that were asked for, and
    how many of them stood nowhere; ``endpoints``: what was removed, by endpoint; those without
    anything are left out; ``documents``: documents of executions that named a removed row by its
    id, beside those of ``windows``; ``windows``, ``messages``: judged windows that held a removed
    row, and messages about them or about asynchronous invocations, that lost what may be its
    values; ``invocations``: asynchronous ones that lost body, answer and reason; ``jobs``: failed
    ones that lost their reason; ``quarantined``: records on this host that no broker
    took; ``until``: until when records and labels that come later under these ids are dropped;
    ``open_spools``: spools of this host whose newest segment stays, raw, for their writers live.
    """

    dry_run: bool
    asked: int
    unknown: int
    endpoints: Mapping[str, EndpointErased]
    documents: int
    windows: int
    messages: int
    invocations: int
    jobs: int
    quarantined: int
    until: datetime | None
    open_spools: int = 0


@dataclass(frozen=True, slots=True)
class RowCondition:
    """Rows to be erased by what their columns hold.

    ``match``: whether a row is meant.
    """

    columns: tuple[str, ...]
    match: Match


@dataclass(slots=True)
class Found:
    """The rows to be erased: their ids, sequence numbers and times.

    ``times``: event times in microseconds since 1970, UTC.
    """

    events: set[str] = field(default_factory=set)
    inferences: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    times: set[int] = field(default_factory=set)

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """Earliest and latest event time; None without any."""
        if not self.times:
            return None
        first, last = (_EPOCH + timedelta(microseconds=at(self.times)) for at in (min, max))
        return first, last

    def include(self, other: Found, keys: set[str]) -> None:
        """Add what was found elsewhere, and ids that labels had."""
        self.events |= other.events | keys
        self.inferences |= other.inferences
        self.times |= other.times

    def add(self, path: str, rows: pa.Table) -> None:
        """Add rows of a file."""
        self.events.update(pc.unique(rows["event_id"].drop_null()).to_pylist())
        self.inferences.update(pc.unique(rows["inference_id"].drop_null()).to_pylist())
        self.parts.add(part_of(path))
        times = rows["event_time"].cast(UTC_MICROSECONDS).cast(pa.int64()).drop_null()
        self.times.update(pc.unique(times).to_pylist())


def erase(
    root: str,
    names: Path,
    ids: Mapping[Kind, Sequence[str]],
    *,
    now: datetime,
    keep: timedelta,
    endpoint: str | None = None,
    where: RowCondition | None = None,
    spool_dir: Path | None = None,
    windows: WindowClearer = clear_no_window,
    requests: RequestClearer = clear_no_request,
    dry_run: bool = False,
) -> Erased:
    """Erase all that is stored under ids or meets a condition; drop by id what arrives later."""
    asked: dict[Kind, list[str]] = {kind: sorted(set(some)) for kind, some in ids.items() if some}
    keys = {one for some in asked.values() for one in some}
    until = None
    if keys and not dry_run:  # First of all: what is committed from now on is met by others.
        until = record_requests(root, asked, endpoint, now=now, keep=keep)
    erased: dict[str, EndpointErased] = {}
    rows_found, documents = Found(), 0
    cleared = ClearedWindows() if dry_run else finish_clearing(root, windows, now)
    kept = requests(endpoint, asked.get("inference_id", []), dry_run=dry_run)
    name = WriterName(names)
    try:
        for one in endpoints_of(root) if endpoint is None else [endpoint]:
            eraser = Eraser(root, one, f"upkeep-{name.name}", now, dry_run=dry_run)
            eraser.sweep()
            rows = eraser.find(asked, where)
            if not dry_run and rows.events - keys:
                # Labels may come later under these, too.
                by_event: Mapping[Kind, Iterable[str]] = {"event_id": rows.events}
                until = record_requests(root, by_event, one, now=now, keep=keep)
            of_rows = requests(one, rows.inferences, of_rows=bool(rows.events), dry_run=dry_run)
            if not dry_run and (may_come := of_rows.unanswered - keys):
                # A server may have asked the model: that row is captured later.
                late: Mapping[Kind, Iterable[str]] = {"inference_id": may_come}
                until = record_requests(root, late, one, now=now, keep=keep)
                known = [*asked.get("inference_id", []), *may_come]
                rows = eraser.find({**asked, "inference_id": known}, where)
            erased[one], more, count = remove_cleared(
                root, eraser, rows, keys, windows, dry_run=dry_run
            )
            cleared, documents, kept = cleared + more, documents + count, kept + of_rows
            rows_found.include(rows, eraser.labelled)
    finally:
        name.close()
    named = clear_documents(root, keys | rows_found.events, rows_found.span, dry_run=dry_run)
    return Erased(
        dry_run=dry_run,
        asked=len(keys),
        unknown=len(keys - rows_found.events - rows_found.inferences - kept.found),
        endpoints={one: gone for one, gone in erased.items() if gone != EndpointErased()},
        documents=documents + named,
        windows=cleared.windows,
        messages=cleared.messages + kept.messages,
        invocations=kept.invocations,
        jobs=kept.jobs,
        until=until,
        **_at_spool(spool_dir, endpoint, keys, dry_run=dry_run),
    )


def remove_cleared(
    root: str,
    eraser: Eraser,
    rows: Found,
    keys: set[str],
    windows: WindowClearer,
    *,
    dry_run: bool = False,
) -> tuple[EndpointErased, ClearedWindows, int]:
    """Clear what was said of rows, then remove them; return also how many documents named them."""
    if not rows.events:
        return eraser.remove(rows, keys), ClearedWindows(), 0
    if dry_run:
        cleared = windows(eraser.endpoint, rows.times, dry_run=True)
        return eraser.remove(rows, keys), cleared, 0
    # Rows go last: after a kill they, or else the note, are what tells what else is to go.
    note = begin_clearing(root, eraser.endpoint, rows.times, eraser.now)
    cleared = windows(eraser.endpoint, rows.times)
    documents = clear_documents(root, keys | rows.events, rows.span)
    gone = eraser.remove(rows, keys)
    # Again, for what was written meanwhile from rows that were still there.
    cleared += windows(eraser.endpoint, rows.times, is_again=True)
    end_clearing(root, note)
    return gone, cleared, documents


def _at_spool(
    folder: Path | None, endpoint: str | None, keys: set[str], *, dry_run: bool
) -> dict[str, int]:
    """Clear this host's quarantine; count the spools that are still being written."""
    if folder is None:
        return {"quarantined": 0, "open_spools": 0}
    cleared = clear_quarantine(folder, endpoint, keys, dry_run=dry_run)
    return {"quarantined": cleared, "open_spools": count_open(folder)}


def endpoints_of(root: str) -> list[str]:
    """Return the endpoints that have records or labels."""
    return sorted({*list_endpoints(root), *list_labelled(root)})


class Eraser:
    """Removes rows and labels of one endpoint."""

    def __init__(
        self, root: str, endpoint: str, writer: str, now: datetime, *, dry_run: bool = False
    ) -> None:
        self.labelled: set[str] = set()
        self.endpoint = endpoint
        self._rows = Dataset(root, endpoint, writer=writer)
        self._truth = label_folder(root, endpoint, writer=writer)
        self._removed = removed_folder(root)
        self.now = now
        self._dry_run = dry_run

    def sweep(self) -> None:
        """Remove the uncommitted files of a killed process of this name."""
        if self._dry_run:
            return
        self._rows.sweep()
        self._truth.sweep()

    def find(self, ids: Mapping[Kind, Sequence[str]], where: RowCondition | None = None) -> Found:
        """Find the rows that match ids or a condition, in all files."""
        columns: dict[str, pa.Array] = {
            kind: pa.array(some, pa.string()) for kind, some in ids.items()
        }

        def is_meant(rows: pa.Table) -> np.ndarray:
            chosen = _is_in(rows, columns)
            return chosen if where is None else chosen | where.match(rows)

        more = () if where is None else where.columns
        return find(self._rows, lambda: lying_files(self._rows), is_meant, more)

    def remove(self, rows_found: Found, keys: set[str]) -> EndpointErased:
        """Remove the matching requests with all their rows, and the labels of these keys."""
        requests: set[tuple[str, int]] = set()

        def note(rows: pa.Table) -> None:
            pairs = zip(rows["spool_id"].to_pylist(), rows["spool_seq"].to_pylist(), strict=True)
            requests.update(pairs)
            if not self._dry_run:
                record_removed(self._removed, self.endpoint, sorted(requests), self.now)

        events = {"event_id": pa.array(sorted(rows_found.events), pa.string())}
        left = self._still_used(rows_found, events)
        labels = self._remove_labels(keys | rows_found.events | (rows_found.inferences - left))
        rows = expunge(
            self._rows,
            _ROWS,
            lambda rows: _is_in(rows, events),
            parts=rows_found.parts,
            note=note,
            dry_run=self._dry_run,
        )
        return EndpointErased(len(requests), rows.rows, labels.rows, rows.files + labels.files)

    def _still_used(self, rows_found: Found, events: Mapping[str, pa.Array]) -> set[str]:
        """Return the inference ids that other requests share; their labels stay."""
        if not rows_found.inferences:
            return set()
        shared = {"inference_id": pa.array(sorted(rows_found.inferences), pa.string())}
        others = find(
            self._rows,
            lambda: live_files(self._rows),
            lambda rows: _is_in(rows, shared) & ~_is_in(rows, events),
        )
        return others.inferences

    def remove_labels(self, paths: Callable[[], Iterable[str]], match: Match) -> int:
        """Remove the labels that are found in some files; return how many went."""
        labels = looking(self._truth, lambda: matching(self._truth, paths(), ("key",), match))
        keys = {key for _, rows in labels for key in rows["key"].to_pylist()}
        return self._remove_labels(keys).rows if keys else 0

    def _remove_labels(self, keys: set[str]) -> Expunged:
        sought = {"key": pa.array(sorted(keys), pa.string())}

        def note(rows: pa.Table) -> None:
            self.labelled.update(rows["key"].to_pylist())

        return expunge(
            self._truth,
            ("key",),
            lambda rows: _is_in(rows, sought),
            note=note,
            dry_run=self._dry_run,
        )


def find(
    folder: DeltaFolder,
    paths: Callable[[], Iterable[str]],
    match: Match,
    columns: Sequence[str] = (),
) -> Found:
    """Find the rows of a capture table that match, in some files; ``columns``: to match by."""
    matches = Found()
    for path, rows in looking(folder, lambda: matching(folder, paths(), [*_IDS, *columns], match)):
        matches.add(path, rows)
    return matches


def _is_in(rows: pa.Table, sought: Mapping[str, pa.Array]) -> np.ndarray:
    """Return which rows have one of the values in one of the columns, bool, shape (rows,)."""
    chosen = np.zeros(rows.num_rows, np.bool_)
    for name, values in sought.items():
        if len(values):
            chosen |= pc.is_in(rows[name], value_set=values).to_numpy()
    return chosen
