"""The rows of one window of an external table, with the interface of a captured window.

They are read once, typed as in the reference and kept on disk, so that all results of a window are
of the same rows. They are sorted by time and content: their digest does not depend on the table's
files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.row_hashes import hash_column, hash_rows
from driftline.capture.labels.labelling import Labels
from driftline.capture.tables.dataset import META_SCHEMA
from driftline.capture.tables.decoding import UnfitTexts
from driftline.capture.windows.window import ROW_IDS, UNFIT, UNFIT_TYPE, Window, WindowRead
from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, UTC_MICROSECONDS, plain_array
from driftline.formats.buffered import Spool, spooled
from driftline.formats.coercion import coerce, from_array, has_zone
from driftline.formats.hashing import hash_integers
from driftline.monitors.external.files import FileTable, TimeColumn
from driftline.monitors.external.query import running
from driftline.monitors.external.source import Access, ExternalLabels, ExternalSource, Place
from driftline.signature import ColumnType, Signature
from driftline.validation import nearest

EVENT_TIME, EVENT_ID, INFERENCE_ID, ROW_INDEX = (
    "event_time",
    "event_id",
    "inference_id",
    "row_index",
)
_DAY_US = 86_400 * 1_000_000
_BATCH_ROWS = 65_536
# Of the files that a window was read from.
FILES_KEPT = 100


class Table(Protocol):
    """Columns whose rows can be read by a window of time."""

    @property
    def names(self) -> list[str]:
        """The columns that there are."""

    def batches(
        self, columns: Sequence[str], time: TimeColumn | None = None, window: Window | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read columns of rows that may lie in a window."""


@dataclass(frozen=True, slots=True)
class ExternalWindow(WindowRead):
    """A window of a table. ``unparsed_count``: rows of the table with an unreadable time."""

    _rows: Spool | None = field(default=None, repr=False)
    _times: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    _hashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64), repr=False)
    _label: tuple[str, pa.Array] | None = field(default=None, repr=False)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Return the rows, sorted, from the beginning; one day at a time is in memory."""
        for day in np.unique(self._times // _DAY_US).tolist():
            table = self._of_day(day)
            for batch in table.combine_chunks().to_batches(max_chunksize=_BATCH_ROWS):
                yield batch if self.derive is None else self.derive(batch)

    def _of_day(self, day: int) -> pa.Table:
        assert self._rows is not None
        parts, at = [], 0
        is_chosen = self._times // _DAY_US == day
        for batch in self._rows():
            mask = is_chosen[at : at + batch.num_rows]
            at += batch.num_rows
            if mask.any():
                parts.append(batch.filter(pa.array(mask)))
        rows = np.flatnonzero(is_chosen)
        order = np.lexsort((self._hashes[rows], self._times[rows]))
        table = pa.Table.from_batches(parts).take(pa.array(order))
        chosen = rows[order]
        if self._label is not None:
            name, values = self._label
            table = table.append_column(name, values.take(pa.array(chosen)))
        if EVENT_ID in self.schema.names:
            ids = table[INFERENCE_ID]
            made = pa.array(self._hashes[chosen]).cast(pa.string())
            table = table.append_column(EVENT_ID, pc.coalesce(ids, made))
        if ROW_INDEX in self.schema.names:
            table = table.append_column(ROW_INDEX, pa.array(np.zeros(len(chosen), np.int32)))
        return table.select(self.schema.names).cast(self.schema)


@contextmanager
def opened(
    place: Place, access: Access, window: Window, *, zone: str, signature: Signature | None = None
) -> Iterator[Table]:
    """Open files, or run a query; a context manager."""
    if place.path:
        yield FileTable(place.path, access, signature)
        return
    with running(
        place.query, access.url(place.connection), place.connection,
        window=window, zone=zone, timeout_s=access.timeout_s,
    ) as rows:  # fmt: skip
        yield rows


def read_external(
    source: ExternalSource,
    access: Access,
    window: Window,
    signature: Signature,
    *,
    columns: Sequence[str],
    labels: Labels | None = None,
) -> ExternalWindow:
    """Read the rows of a window, and their labels where they are asked for."""
    time = TimeColumn(source.timestamp, source.time_zone)
    with opened(source, access, window, zone=time.zone, signature=signature) as table:
        plan = _Plan.of(source, table.names, signature, columns, labels)
        is_joined = labels is not None and source.labels is not None
        typed = _Typed(plan, time, window, keeps_ids=is_joined)
        rows = spooled(typed(table.batches(plan.read, time, window)), plan.stored)
    times, hashes, label = np.concatenate(typed.times), np.concatenate(typed.hashes), None
    labelled, unfit_labels = typed.labelled, typed.unfit_labels
    if labels is not None and source.labels is not None:
        ids = pa.concat_arrays(typed.ids)
        values, is_unfit = _joined_labels(source.labels, access, labels, window, ids)
        labelled, unfit_labels = len(values) - values.null_count, int(is_unfit.sum())
        of_labels, _ = hash_column(values)
        hashes = hash_integers((hashes * np.uint64(31) + of_labels).view(np.int64))
        label = labels.name, values
    return ExternalWindow(
        window, rows.row_count, rows.row_count, 0, typed.untimed, 0,
        _digest(times, hashes, typed.untimed), plan.schema, None,
        tuple((name, name, plan.schema.field(name).type) for name in plan.schema.names),
        labelled_count=labelled, unfit_label_count=unfit_labels,
        inputs={"source": str(source), "files": _described(table)},
        _rows=rows, _times=times, _hashes=hashes, _label=label,
    )  # fmt: skip


def _digest(times: np.ndarray, hashes: np.ndarray, untimed: int) -> str:
    """Return the digest of rows by their times and hashes, whatever their order."""
    digest = hashlib.blake2b(digest_size=16)
    if len(times):
        order = np.lexsort((hashes, times))
        digest.update(times[order].astype("<i8").tobytes())
        digest.update(hashes[order].astype("<u8").tobytes())
        digest.update(b"%d" % untimed if untimed else b"")
    return digest.hexdigest()


def _described(table: Table) -> list[dict[str, object]] | None:
    """Return the first files of a table, by path, size and time of change; None for a query."""
    if not isinstance(table, FileTable):
        return None
    return [asdict(one) for one in table.files[:FILES_KEPT]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which columns are read, and what each becomes.

    ``read``: columns of the table; ``types``: of the typed ones; ``stored``: of the rows as stored;
    ``schema``: of the rows as returned.
    """

    read: tuple[str, ...]
    types: Mapping[str, ColumnType]
    id: str | None
    label: str | None  # Where it is a column of the same table.
    stored: pa.Schema
    schema: pa.Schema

    @classmethod
    def of(
        cls,
        source: ExternalSource,
        names: Sequence[str],
        signature: Signature,
        columns: Sequence[str],
        labels: Labels | None,
    ) -> _Plan:
        if names:
            _require(names, source.timestamp, source, "timestamp")
            if source.id is not None:
                _require(names, source.id, source, "id")
        there = set(names)
        types: dict[str, ColumnType] = {}
        for name in columns:
            column = signature.get(name)
            if column is not None and name in there:
                types[name] = column.data_type or column.type
        label = None
        if labels is not None and source.labels is None and labels.name in there:
            label, types[labels.name] = labels.name, labels.type
        identity = source.id
        if identity is None and signature.inference_id in there:
            identity = signature.inference_id
        kept = [pa.field(name, ARROW_TYPES[kind]) for name, kind in types.items()]
        stored = [
            pa.field(EVENT_TIME, UTC_MICROSECONDS), pa.field(INFERENCE_ID, pa.string()), *kept,
            pa.field(UNFIT, UNFIT_TYPE),
        ]  # fmt: skip
        joined = []
        if labels is not None and source.labels is not None:
            joined = [pa.field(labels.name, ARROW_TYPES[labels.type])]
        given = [*(META_SCHEMA.field(name) for name in ROW_IDS), *kept, *joined, stored[-1]]
        read = dict.fromkeys(
            [source.timestamp, *([identity] if identity else []), *types] if names else []
        )
        return cls(tuple(read), types, identity, label, pa.schema(stored), pa.schema(given))


class _Typed:
    """Converts a table's batches to the rows of a window, and counts problems."""

    def __init__(self, plan: _Plan, time: TimeColumn, window: Window, *, keeps_ids: bool) -> None:
        self._plan, self._time, self._keeps_ids = plan, time, keeps_ids
        self._start, self._end = (
            pa.scalar(one, UTC_MICROSECONDS) for one in (window.start, window.end)
        )
        self.untimed = self.labelled = self.unfit_labels = 0
        # Of all rows: their times in microseconds, hashes of what they hold, and ids if kept.
        self.times, self.hashes = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        self.ids = [pa.nulls(0, pa.string())]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            times = event_times(batch.column(self._time.name), self._time)
            self.untimed += times.null_count
            inside = pc.and_(pc.greater_equal(times, self._start), pc.less(times, self._end))
            chosen = batch.filter(pc.fill_null(inside, False))
            if chosen.num_rows:
                yield self._typed(chosen, times.filter(inside))

    def _typed(self, batch: pa.RecordBatch, times: pa.TimestampArray) -> pa.RecordBatch:
        plan, unfit = self._plan, UnfitTexts()
        ids = pa.nulls(batch.num_rows, pa.string())
        if plan.id is not None:
            ids = coerce(batch.column(plan.id), "string")[0]
        columns = [times, ids]
        for name, kind in plan.types.items():
            found = from_array(batch.column(name), kind)
            columns.append(found.values)
            if name == plan.label:
                self.labelled += len(found.values) - found.values.null_count
                self.unfit_labels += len(found.unfit)
            else:
                unfit.add(found.unfit, name, found.texts)
        columns.append(unfit.array(batch.num_rows))
        rows = pa.RecordBatch.from_arrays(columns, schema=plan.stored)
        self.times.append(times.cast(pa.int64()).to_numpy())
        self.hashes.append(hash_rows(rows, [one for one in rows.schema.names if one != UNFIT])[0])
        self.ids += [ids] if self._keeps_ids else []
        return rows


def event_times(array: pa.Array, time: TimeColumn) -> pa.TimestampArray:
    """Return times in UTC; null where missing or unreadable."""
    plain = array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array
    kind = plain.type
    if pa.types.is_date(kind):
        plain = plain.cast(pa.timestamp("s")).cast(pa.timestamp("us"))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        zoned, found = has_zone(plain_array(plain)), coerce(plain, "timestamp")[0]
        # Row by row, since how rows are cut into batches must not decide it.
        return pc.if_else(zoned, found, event_times(found.cast(pa.timestamp("us")), time))
    elif pa.types.is_null(kind):
        plain = pa.nulls(len(plain), UTC_MICROSECONDS)
    elif not pa.types.is_timestamp(kind):
        raise InputError(
            f'column "{time.name}" holds {kind}; expected the times of the rows, as timestamps, '
            "dates or text such as 2026-01-15T06:00:00Z"
        )
    if plain.type.tz is None:
        plain = plain.cast(pa.timestamp("us"), safe=False)
        plain = pc.assume_timezone(plain, time.zone, ambiguous="earliest", nonexistent="latest")
    return plain.cast(UTC_MICROSECONDS, safe=False)


def _require(names: Sequence[str], name: str, source: ExternalSource, what: str) -> None:
    if name not in names:
        raise InputError(
            f'{source}: no column "{name}", which {what} names; {nearest(name, names)}'
        )


def _joined_labels(
    declared: ExternalLabels, access: Access, labels: Labels, window: Window, ids: pa.Array
) -> tuple[pa.Array, np.ndarray]:
    """Return each row's label in another table, by its id, and whether it is unfit."""
    # An id that is null is no id.
    keys, texts, unfit = _read_labels(declared, access, labels, window, pc.unique(ids).drop_null())
    at = pc.index_in(ids, value_set=keys, skip_nulls=True)
    is_unfit = pc.fill_null(unfit.take(at), fill_value=False)
    return texts.take(at), is_unfit.to_numpy(zero_copy_only=False)


def _read_labels(
    declared: ExternalLabels, access: Access, labels: Labels, window: Window, ids: pa.Array
) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return the ids with a label, the labels, and whether each was unfit."""
    label = declared.label or labels.name
    wanted = [declared.id, label, *([declared.timestamp] if declared.timestamp else [])]
    parts = []
    with opened(declared, access, window, zone="UTC") as table:
        there = table.names
        for name in wanted if there else ():
            if name not in there:
                raise InputError(
                    f'{declared}: no column "{name}" for labels; {nearest(name, there)}'
                )
        for batch in table.batches(wanted if there else []):
            keys = coerce(batch.column(declared.id), "string")[0]
            found = from_array(batch.column(label), labels.type, are_amounts=labels.are_amounts)
            lost = np.zeros(batch.num_rows, bool)
            lost[found.unfit] = True
            times = pa.nulls(batch.num_rows, UTC_MICROSECONDS)
            if declared.timestamp:
                times = event_times(
                    batch.column(declared.timestamp), TimeColumn(declared.timestamp)
                )
            columns = {"key": keys, "label": found.values, "lost": lost, "time": times}
            is_asked = pc.is_in(keys, value_set=ids, skip_nulls=True)
            parts.append(pa.table(columns).filter(is_asked))
    if not parts:
        return (
            pa.nulls(0, pa.string()),
            pa.nulls(0, ARROW_TYPES[labels.type]),
            pa.nulls(0, pa.bool_()),
        )
    rows = pa.concat_tables(parts)
    # Not known yet is no label; of the others the newest. Those of one time stand in an order, too:
    # files may have any names.
    rows = rows.filter(pc.or_(rows["label"].is_valid(), rows["lost"]))
    rows = rows.group_by(["key", "label", "lost"]).aggregate([("time", "max")])
    order = [
        ("key", "ascending"),
        ("time_max", "ascending", "at_start"),
        ("label", "ascending", "at_start"),
    ]
    rows = rows.take(pc.sort_indices(rows, order))
    keys = rows["key"].combine_chunks()
    newest = np.ones(len(keys), bool)
    newest[:-1] = pc.not_equal(keys[:-1], keys[1:]).to_numpy(zero_copy_only=False)
    if not declared.timestamp and not newest.all():
        twice = keys[int(np.flatnonzero(~newest)[0])].as_py()
        raise InputError(
            f'{declared}: id "{twice}" has several labels that differ; name the column of '
            "their times as labels.timestamp, so that the newest counts"
        )
    rows = rows.filter(pa.array(newest))
    return tuple(rows[name].combine_chunks() for name in ("key", "label", "lost"))
