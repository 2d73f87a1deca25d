"""Coverage of captured rows by labels: labelled, waiting, contradicting.

A report only, windows take the last label of each row as ever: labels that match no request,
different labels for one row, requests labelled in part, and label delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.labels.labelling import (
    last_of_each,
    match_labels,
    places_of,
    set_at,
    with_value,
)
from driftline.capture.labels.labels import TRUTH_SCHEMA, label_folder
from driftline.capture.tables.dataset import PARTITION, Dataset, is_answered, is_callers
from driftline.capture.tables.storage import reaching
from driftline.capture.tap.target import is_sampled
from driftline.formats.coercion import coerce, from_array
from driftline.signature import ColumnType

_EXAMPLES = 5
_BLOCK_ROWS = 1 << 19
_LABEL_COLUMNS = ("key", "row_index", "label", "received_time", "load_number")
_COLUMNS = (
    "event_id", "inference_id", "row_index", "status", "event_time", "sampling_rate", "flags",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DayCoverage:
    """Label coverage of a day of event time (UTC).

    ``labelled_requests``: requests each row of which has a label; ``partly_labelled_requests``:
    requests with fewer labels than rows; ``labelled_rows``: rows with a label, fitting or not;
    ``share``: labelled requests among all of the day, 0 to 1; None without any.
    """

    day: date
    requests: int
    labelled_requests: int
    partly_labelled_requests: int
    rows: int
    labelled_rows: int
    share: float | None


@dataclass(frozen=True, slots=True)
class LabelReport:
    """The label coverage of an endpoint.

    ``places``: distinct rows, by id and row index, that they are for, whether they were captured or
    not; ``labelled_rows``: captured rows, of all days, that have a label; ``repeated``: labels that
    said of a row what another one had said; ``conflicts``, ``conflict_ids``: rows that got
    different labels, of which the last one counts; the first few ids; ``unmatched``,
    ``unmatched_ids``, ``unmatched_since``: places whose id no captured request has so far, and that
    sampling does not explain; the first few ids; the first receipt; ``unsampled``: places without a
    captured request whose id sampling leaves out, by the largest share that any captured request
    was chosen with: no row of theirs will ever come; ``stray``, ``stray_ids``: places of captured
    requests that have no such row; the first few ids; ``unfit``: places whose label does not fit
    the type; None when it is not known; ``delay_s``: from the event to the receipt of the label
    that counts, in seconds: ``median``, ``p95`` and ``longest``, over labelled rows; None without
    any. Below 0: the label came first.
    """

    labels: int
    places: int
    repeated: int
    conflicts: int
    conflict_ids: tuple[str, ...]
    unmatched: int
    unmatched_ids: tuple[str, ...]
    unmatched_since: datetime | None
    stray: int
    stray_ids: tuple[str, ...]
    unfit: int | None
    delay_s: dict[str, float] | None
    days: tuple[DayCoverage, ...]
    labelled_rows: int = 0
    unsampled: int = 0


def label_report(
    root: str,
    endpoint: str,
    kind: ColumnType | None,
    *,
    are_amounts: bool = False,
    first: date | None = None,
    last: date | None = None,
) -> LabelReport:
    """Compare all stored labels of an endpoint with all of its captured requests.

    ``are_amounts``: as of `Labels`, by which monitors read them. Memory grows with the labels; of
    the records some 500,000 rows are held at a time, or a day.
    """
    with reaching(f"{root}/truth and capture of {endpoint}"):
        return _compared(root, endpoint, kind, first, last, are_amounts=are_amounts)


def _compared(
    root: str,
    endpoint: str,
    kind: ColumnType | None,
    first: date | None,
    last: date | None,
    *,
    are_amounts: bool,
) -> LabelReport:
    truth = with_value(_stored(root, endpoint), kind)
    matching = _Matching(truth, kind, are_amounts=are_amounts) if truth.num_rows else None
    days: list[DayCoverage] = []
    for block in _blocks(root, endpoint):
        rows_of_block = pa.concat_tables([rows for _, rows in block])
        labelled = np.zeros(rows_of_block.num_rows, bool)
        if matching is not None and rows_of_block.num_rows:
            labelled = matching.match(rows_of_block)
        start = 0
        for day, rows in block:
            if _inside(day, first, last):
                days.append(_coverage(day, rows, labelled[start : start + rows.num_rows]))
            start += rows.num_rows
    if matching is None:
        unfit = None if kind is None else 0
        return LabelReport(0, 0, 0, 0, (), 0, (), None, 0, (), unfit, None, tuple(days))
    return matching.report(tuple(days))


class _Matching:
    """Matches labels, of which there are some, with captured rows, day by day."""

    def __init__(self, truth: pa.Table, kind: ColumnType | None, *, are_amounts: bool) -> None:
        self._last = last_of_each(truth)
        self._labels = truth.num_rows
        self._weigh(truth, _meaning(truth, kind))
        unfit = from_array(self._last.labels, kind or "string", are_amounts=are_amounts).unfit
        self._unfit = None if kind is None else len(unfit)
        self._is_used = np.zeros(len(self._last.slots), bool)
        self._is_here = np.zeros(len(self._last.keys), bool)
        self._delays: list[np.ndarray] = []
        self._labelled_rows = 0
        # None: nothing was captured, so that nobody knows the share.
        self._share: float | None = None

    def _weigh(self, truth: pa.Table, meaning: np.ndarray) -> None:
        """Find which places got different labels, and how often the same was said again."""
        last = self._last
        slots = (places_of(truth["key"], last.keys) << 32) | truth["row_index"].to_numpy()
        at = np.searchsorted(last.slots, slots)
        # Sorted by both; equal pairs then stand side by side.
        order = np.lexsort((meaning, at))
        at, said = at[order], meaning[order]
        is_new = np.append(True, (np.diff(at) != 0) | (np.diff(said) != 0))
        distinct = np.bincount(at[is_new], minlength=len(last.slots))
        self._conflicting = distinct > 1
        self._repeated = self._labels - int(is_new.sum())
        self._received = truth["received_time"].cast(pa.int64()).to_numpy()[last.rows]
        self._meaning = meaning[last.rows]

    def match(self, rows: pa.Table) -> np.ndarray:
        """Find which of these rows have a label, bool, shape (rows,)."""
        # What was imported was chosen by others, who knows how: any of it might have come.
        share = pc.max(pc.fill_null(rows["sampling_rate"], 1.0)).as_py()
        self._share = max(share, self._share or 0.0)
        keys, by_event, by_inference, latest = match_labels(rows, self._last)
        set_at(self._is_here, *keys)
        set_at(self._is_used, by_event, by_inference)
        # One row by both of its ids: the two may contradict each other, too.
        both = (by_event >= 0) & (by_inference >= 0)
        differ = both & (self._meaning[by_event] != self._meaning[by_inference])
        self._conflicting[by_event[differ]] = True
        labelled: np.ndarray = latest >= 0
        self._labelled_rows += int(labelled.sum())
        times = rows["event_time"].cast(pa.int64()).to_numpy()
        self._delays.append((self._received[latest] - times)[labelled])
        return labelled

    def report(self, days: tuple[DayCoverage, ...]) -> LabelReport:
        """Return the report over all days."""
        last = self._last
        of_key = last.slots >> 32
        unsampled = self._left_out()[of_key]
        unmatched = ~self._is_here[of_key] & ~unsampled
        stray = self._is_here[of_key] & ~self._is_used
        since = self._received[unmatched].min() if unmatched.any() else None
        return LabelReport(
            labels=self._labels,
            places=len(last.slots),
            repeated=self._repeated,
            conflicts=int(self._conflicting.sum()),
            conflict_ids=self._examples(self._conflicting),
            unmatched=int(unmatched.sum()),
            unmatched_ids=self._examples(unmatched),
            unmatched_since=None if since is None else datetime.fromtimestamp(since / 1e6, UTC),
            stray=int(stray.sum()),
            stray_ids=self._examples(stray),
            unfit=self._unfit,
            delay_s=_delays(np.concatenate([np.empty(0, np.int64), *self._delays])),
            days=days,
            labelled_rows=self._labelled_rows,
            unsampled=int(unsampled.sum()),
        )

    def _left_out(self) -> np.ndarray:
        """Find which ids are not captured because of sampling, bool, shape (keys,)."""
        left_out = ~self._is_here
        if self._share is None or self._share >= 1:
            return np.zeros(len(left_out), bool)
        places = np.flatnonzero(left_out)
        for place, key in zip(places, self._last.keys.take(pa.array(places)), strict=True):
            left_out[place] = not is_sampled(key.as_py().encode(), self._share)
        return left_out

    def _examples(self, chosen: np.ndarray) -> tuple[str, ...]:
        keys = self._last.keys.take(pa.array(np.unique(self._last.slots[chosen] >> 32)))
        return tuple(sorted(keys.to_pylist())[:_EXAMPLES])


def _coverage(day: str, rows: pa.Table, labelled: np.ndarray) -> DayCoverage:
    requests = rows["event_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    count = int(requests.max()) + 1 if len(requests) else 0
    have = np.bincount(requests, minlength=count)
    labelled_counts = np.bincount(requests, weights=labelled, minlength=count)
    labelled_requests = int((labelled_counts == have).sum())
    return DayCoverage(
        day=date.fromisoformat(day),
        requests=count,
        labelled_requests=labelled_requests,
        partly_labelled_requests=int(((labelled_counts > 0) & (labelled_counts < have)).sum()),
        rows=rows.num_rows,
        labelled_rows=int(labelled.sum()),
        share=labelled_requests / count if count else None,
    )


def _stored(root: str, endpoint: str) -> pa.Table:
    schema = pa.schema([TRUTH_SCHEMA.field(name) for name in _LABEL_COLUMNS])
    return label_folder(root, endpoint).catch_up().rows(schema)


def _meaning(truth: pa.Table, kind: ColumnType | None) -> np.ndarray:
    """Return codes of labels, equal for labels of equal meaning, shape (labels,).

    By their type, where it is known: 1 and 1.0 are then the same. Else, or where one does not fit,
    by text.
    """
    texts = pc.utf8_trim_whitespace(pc.fill_null(truth["label"], "")).combine_chunks()
    if kind is not None:
        values = from_array(texts, kind).values
        texts = pc.coalesce(
            coerce(values, "string")[0], pc.binary_join_element_wise("?", texts, "")
        )
    coded: np.ndarray = texts.dictionary_encode().indices.to_numpy().astype(np.int64)
    return coded


def _blocks(root: str, endpoint: str) -> Iterator[list[tuple[str, pa.Table]]]:
    """Return days with their answered rows, put together to some 500,000 rows.

    Each search for ids first builds an index of all labels, which costs more than the search.
    """
    block: list[tuple[str, pa.Table]] = []
    for day, rows in _days(root, endpoint):
        block.append((day, rows))
        if sum(table.num_rows for _, table in block) >= _BLOCK_ROWS:
            yield block
            block = []
    if block:
        yield block


def _days(root: str, endpoint: str) -> Iterator[tuple[str, pa.Table]]:
    """Return the answered rows of each captured day, in order."""
    folder = Dataset(root, endpoint)
    if folder.open() is None or folder.table is None:
        return
    actions = pa.table(folder.table.get_add_actions(flatten=True))
    for day in sorted(set(actions[f"partition.{PARTITION}"].to_pylist())):
        data = folder.open(day, day)
        if data is not None:
            rows = data.to_table(list(_COLUMNS))
            yield day, rows.filter(pc.and_(is_answered(rows["status"]), is_callers(rows)))


def _inside(day: str, first: date | None, last: date | None) -> bool:
    at = date.fromisoformat(day)
    return (first is None or at >= first) and (last is None or at <= last)


def _delays(micros: np.ndarray) -> dict[str, float] | None:
    if not len(micros):
        return None
    seconds = micros / 1e6
    return {
        "median": float(np.median(seconds)),
        "p95": float(np.quantile(seconds, 0.95)),
        "longest": float(seconds.max()),
    }
