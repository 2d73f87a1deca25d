"""A window of captured records: Arrow batches of typed columns under the user's own names.

A window depends on its records alone, never on the files that hold them: rows are sorted by event
time, spool and sequence, and the digest covers spools and sequences. With labels, each row gets the
one that is known now, and the digest covers them, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.labels.labelling import Labels, join_labels
from driftline.capture.labels.labels import EARLIEST_LABEL, read_labels
from driftline.capture.spool.frame import Flag
from driftline.capture.tables.dataset import (
    FIRST_COLUMNS,
    META_SCHEMA,
    PARTITION,
    ROW_ORDER,
    Dataset,
    answered_by,
    is_answered,
    is_first,
    is_flagged,
    is_within,
)
from driftline.capture.windows.former import read_former
from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, UTC_MICROSECONDS
from driftline.signature import Column, Signature

UNFIT = "unfit"
# The columns that say which captured row it is.
ROW_IDS = ("event_id", "row_index", "event_time", "inference_id")
_BATCH_ROWS = 65_536
UNFIT_TYPE = pa.map_(pa.string(), pa.string())
# Stands for the column of labels, which no table has.
_LABEL = "\0label"
_DIGEST = "signature_digest"


def moment_of(given: object, name: str) -> datetime:
    """Read a time, in UTC where it names no zone; finer parts than microseconds are dropped."""
    text = given.isoformat() if isinstance(given, date) else str(given)
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{name} {given!r}; expected a time such as 2013-11-18T00:00:00Z"
        ) from error


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span [start, end) of event time, in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for what, value in (("start", self.start), ("end", self.end)):
            if value.tzinfo is None:
                raise InputError(f"window {what} {value}: no time zone; expected UTC")
            object.__setattr__(self, what, value.astimezone(UTC))
        if self.end <= self.start:
            raise InputError(f"window [{self.start}, {self.end}): expected the end after the start")

    @property
    def stamp(self) -> str:
        """The start as it stands in folder names and links: ``20130115T000000Z``."""
        return f"{self.start:%Y%m%dT%H%M%SZ}"

    @property
    def length(self) -> timedelta:
        """How long the window is."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%dT%H:%M:%SZ}, {self.end:%Y-%m-%dT%H:%M:%SZ})"


@dataclass(frozen=True, slots=True)
class WindowRead:
    """What a window holds.

    ``window``: the span that was read; ``row_count``: rows that ``batches`` gives: of answered
    requests (status below 400) that could be parsed; ``failed_count``: requests with status 400 or
    above, or without one: they were never answered; ``unparsed_count``: answered requests whose
    request or response could not be parsed in full; ``fault_count``: those of them that a fault of
    the decoder kept from becoming rows; ``left_out``: the signature's inputs and outputs that were
    not asked for; ``late_count``: requests that came in at or after ``late_after``; ``digest``:
    hash of the records' spools and sequence numbers; equal records give equal digests. Where labels
    were asked for, of the rows' labels, too; ``labelled_count``: rows that have a label;
    ``unfit_label_count``: rows without one since theirs does not fit the type;
    ``disputed_label_count``: since several requests have their id, and its labels differ;
    ``stray_label_count``: labels of this window's requests for a row that the request does not
    have; ``stray_label_ids``: the first few ids of such labels; ``derive``: writes values into each
    batch that follow from others; ``note``: what to say of them; ``inputs``:
    which state of which table was read, as JSON values; ``variant``: whose answers alone, None for
    all that callers got; ``shadows``: those of shadows besides; ``target_model``: those of one of
    many models alone.
    """

    window: Window
    row_count: int
    request_count: int
    failed_count: int
    unparsed_count: int
    late_count: int
    digest: str
    schema: pa.Schema = field(repr=False)
    _data: pads.Dataset | None = field(repr=False)
    _columns: tuple[tuple[str, str, pa.DataType], ...] = field(repr=False)
    _days: tuple[str, ...] = field(default=(), repr=False)
    fault_count: int = 0
    left_out: frozenset[str] = frozenset()
    labelled_count: int = 0
    unfit_label_count: int = 0
    disputed_label_count: int = 0
    stray_label_count: int = 0
    stray_label_ids: tuple[str, ...] = ()
    derive: Callable[[pa.RecordBatch], pa.RecordBatch] | None = field(default=None, repr=False)
    note: str = ""
    inputs: Mapping[str, object] = field(default_factory=dict, repr=False)
    variant: str | None = None
    shadows: bool = False
    target_model: str | None = None
    _labels: Mapping[str, pa.Array] = field(default_factory=dict, repr=False)
    _former: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _renamed: Mapping[str, str] = field(default_factory=dict, repr=False)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Return the rows, sorted; each call begins anew. One day at a time is held in memory."""
        if self._data is None:
            return
        for day in self._days:
            for batch in self._on(day):
                yield batch if self.derive is None else self.derive(batch)

    def table(self) -> pa.Table:
        """Return all rows as one table."""
        return pa.Table.from_batches(self.batches(), schema=self.schema)

    def with_columns(self, names: Sequence[str]) -> WindowRead:
        """Return the same rows with columns of the capture table besides, before the last."""
        more = tuple((name, name, META_SCHEMA.field(name).type) for name in names)
        return self._of((*self._columns[:-1], *more, self._columns[-1]))

    def without(self, names: Sequence[str]) -> WindowRead:
        """Return the same rows without some of the signature's columns."""
        kept = self._of(tuple(column for column in self._columns if column[0] not in names))
        return replace(kept, left_out=self.left_out | set(names))

    def filled(self, name: str, other: Column) -> WindowRead:
        """Return the same rows with a column that has another's values where it has none."""
        former = {**self._former, name: (other.column, *other.former)}
        return replace(self, _former=former, _renamed={**self._renamed, other.captured_name: name})

    def only(self, names: Sequence[str]) -> WindowRead:
        """Return the same rows with nothing but some columns of the capture table."""
        return self._of(tuple((name, name, META_SCHEMA.field(name).type) for name in names))

    def _of(self, columns: tuple[tuple[str, str, pa.DataType], ...]) -> WindowRead:
        schema = pa.schema([pa.field(name, kind) for name, _, kind in columns])
        return replace(self, schema=schema, _columns=columns)

    def _on(self, day: str) -> Iterator[pa.RecordBatch]:
        assert self._data is not None
        present = set(self._data.schema.names)
        present_columns = {column for _, column, _ in self._columns} & present
        present_columns |= {
            old for name, _, _ in self._columns for old in self._former.get(name, ())
        } & present
        # The day's own partition, so that no other day's file is opened.
        inside = is_within(self.window.start, self.window.end)
        chosen = (pads.field(PARTITION) == day) & inside & _usable()
        chosen &= answered_by(self.variant, self.target_model, shadows=self.shadows)
        rows = self._data.to_table([*present_columns.union(ROW_ORDER)], filter=chosen)
        order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in ROW_ORDER])
        columns = {column: rows[column].take(order) for column in present_columns}
        if day in self._labels:
            columns[_LABEL] = self._labels[day]
        if self._renamed and UNFIT in columns:
            columns[UNFIT] = pa.chunked_array([_with_names(columns[UNFIT], self._renamed)])
        for name, column, kind in self._columns:
            if name in self._former:
                olds = [columns[old] for old in self._former[name] if old in columns]
                now = columns.get(column, pa.chunked_array([pa.nulls(rows.num_rows, kind)]))
                columns[column], columns[UNFIT] = read_former(
                    name, now.cast(kind), olds, columns[UNFIT]
                )
        arrays = [
            columns[column].cast(kind) if column in columns else pa.nulls(rows.num_rows, kind)
            for _, column, kind in self._columns
        ]
        table = pa.Table.from_arrays(arrays, schema=self.schema).combine_chunks()
        yield from table.to_batches(max_chunksize=_BATCH_ROWS)


def read_window(
    root: str,
    endpoint: str,
    window: Window,
    signature: Signature,
    *,
    columns: Sequence[str] | None = None,
    late_after: datetime | None = None,
    labels: Labels | None = None,
    variant: str | None = None,
    shadows: bool = False,
    target_model: str | None = None,
) -> WindowRead:
    """Read the captured records of an endpoint whose event time lies in a window.

    ``variant``: the answers of one variant alone, be it a shadow; without it what callers were
    answered, and with ``shadows`` the shadows' answers, too. ``target_model``: one of many models.
    """
    wanted = _wanted(signature, columns, labels)
    dataset = Dataset(root, endpoint)
    first, last = window.start.date().isoformat(), window.end.date().isoformat()
    data = dataset.open(first, last)
    schema = pa.schema([pa.field(name, kind) for name, _, kind in wanted])
    if data is None:
        return WindowRead(window, 0, 0, 0, 0, 0, _digest(None), schema, None, wanted)
    read = [
        "spool_id", "spool_seq", *FIRST_COLUMNS, "status", "flags", "arrival_time", PARTITION,
    ]  # fmt: skip
    read += [_DIGEST] if _DIGEST in data.schema.names else []
    if labels is not None:
        read += ["event_id", "inference_id", "event_time"]
    inside = is_within(window.start, window.end)
    inside &= answered_by(variant, target_model, shadows=shadows)
    records = data.to_table(read, filter=inside)
    answered = is_answered(records["status"])
    usable = pc.and_not(answered, is_flagged(records["flags"], Flag.REQUEST_UNPARSED))
    asked = {name for name, _, _ in wanted}
    left_out = frozenset(column.name for column in signature.columns if column.name not in asked)
    former = {
        column.name: column.former
        for column in signature.columns
        if column.former and column.name in asked
    }
    empty = WindowRead(
        window, 0, 0, 0, 0, 0, "", schema, data, wanted, left_out=left_out, variant=variant,
        shadows=shadows, target_model=target_model, _former=former,
        _renamed={one.captured_as: one.name for one in signature.outputs if one.captured_as},
    )  # fmt: skip
    counted = _counted(empty, records, answered, usable, late_after or window.end)
    assert dataset.table is not None
    inputs = {
        "table": f"capture/{endpoint}",
        "version": int(dataset.table.version()),
        "partitions": list(counted._days),
        **({} if variant is None else {"variant": variant}),
        **({} if target_model is None else {"target_model": target_model}),
    }
    counted = replace(counted, inputs=inputs)
    if labels is None:
        return counted
    return _labelled(counted, root, endpoint, records.filter(usable), labels)


def was_answered(
    root: str, endpoint: str, read: WindowRead, column: Column, since: datetime
) -> bool:
    """Whether any answer from a time up to a window's end held a value of a column.

    A value that did not fit its type counts as answered.
    """
    window = read.window
    data = Dataset(root, endpoint).open(since.date().isoformat(), window.end.date().isoformat())
    if data is None:
        return False
    usable = _usable() & answered_by(read.variant, read.target_model)
    inside = is_within(since, window.end) & usable
    for name in {column.column, *column.former} & set(data.schema.names):
        is_known = inside & pads.field(name).is_valid()
        # The first file says it, as a rule: the next sixteen need not be read ahead.
        first = data.scanner([name], filter=is_known, fragment_readahead=1, batch_readahead=1)
        if first.head(1).num_rows:
            return True
    kept = data.to_table([UNFIT], filter=is_within(window.start, window.end) & usable)[UNFIT]
    name = column.captured_name
    return any(name in chunk.keys.to_pylist() for chunk in kept.chunks if len(chunk.keys))


def _counted(
    read: WindowRead,
    records: pa.Table,
    answered: pa.ChunkedArray,
    usable: pa.ChunkedArray,
    late_after: datetime,
) -> WindowRead:
    """Add what the records of a window come to, by which of them were answered and are rows."""
    first_row = is_first(records)
    unparsed = is_flagged(records["flags"], _UNPARSED)
    fault = is_flagged(records["flags"], Flag.DECODER_FAULT)
    late = pc.greater_equal(records["arrival_time"], pa.scalar(late_after, UTC_MICROSECONDS))
    return replace(
        read,
        row_count=_count(usable),
        request_count=_count(first_row),
        failed_count=_count(pc.and_(first_row, pc.invert(answered))),
        unparsed_count=_count(pc.and_(pc.and_(first_row, answered), unparsed)),
        fault_count=_count(pc.and_(first_row, fault)),
        late_count=_count(pc.and_(first_row, late)),
        digest=_digest(records.filter(first_row)),
        _days=tuple(sorted(pc.unique(records[PARTITION].filter(usable)).to_pylist())),
    )


def _labelled(
    read: WindowRead, root: str, endpoint: str, rows: pa.Table, labels: Labels
) -> WindowRead:
    """Add what is known of the labels of a window's rows."""
    # As batches give them, so that each day's labels are a part of one array.
    in_order = [(name, "ascending") for name in (PARTITION, *ROW_ORDER)]
    rows = rows.take(pc.sort_indices(rows, sort_keys=in_order))
    ids = pa.chunked_array([*rows["event_id"].chunks, *rows["inference_id"].chunks], pa.string())
    received_from = (read.window.start - EARLIEST_LABEL).date()
    truth = read_labels(root, endpoint, pc.unique(ids.drop_null()), received_from)
    joined = join_labels(rows, truth, labels)
    days = pc.run_end_encode(rows[PARTITION].combine_chunks())
    ends = days.run_ends.to_pylist()
    digest = hashlib.blake2b(bytes.fromhex(read.digest) + joined.digest, digest_size=16)
    return replace(
        read,
        # Without any label the digest stays that of the records.
        digest=digest.hexdigest() if joined.digest else read.digest,
        labelled_count=joined.labelled_count,
        unfit_label_count=joined.unfit_count,
        disputed_label_count=joined.disputed_count,
        stray_label_count=joined.stray_count,
        stray_label_ids=joined.stray_ids,
        _labels={
            day: joined.values.slice(start, end - start)
            for day, start, end in zip(days.values.to_pylist(), [0, *ends], ends, strict=False)
        },
    )


def _with_names(entries: pa.ChunkedArray, names: Mapping[str, str]) -> pa.MapArray:
    """Return maps of unfit values with some of their keys renamed."""
    maps = entries.combine_chunks()
    keys = maps.keys.dictionary_encode()
    renamed = pa.array([names.get(one, one) for one in keys.dictionary.to_pylist()], pa.string())
    return pa.MapArray.from_arrays(maps.offsets, renamed.take(keys.indices), maps.items)


_UNPARSED = int(Flag.REQUEST_UNPARSED | Flag.RESPONSE_UNPARSED)


def unfit_counts(
    batch: pa.RecordBatch, *, left_out: frozenset[str] = frozenset()
) -> dict[str, int]:
    """Count, by column name, the values of a batch that did not fit their type.

    Names that the batch lacks are extra fields of a JSON object, or ``left_out``: those of the
    signature that were not asked for; the latter are not counted.
    """
    entries = batch.column(batch.num_columns - 1)
    if entries.type != UNFIT_TYPE:
        return {}
    offsets = entries.offsets
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    counted = pc.value_counts(entries.keys.slice(first, last - first)).to_pylist()
    return {
        entry["values"]: entry["counts"]
        for entry in sorted(counted, key=lambda e: e["values"])
        if entry["values"] not in left_out
    }


def _wanted(
    signature: Signature, columns: Sequence[str] | None, labels: Labels | None
) -> tuple[tuple[str, str, pa.DataType], ...]:
    own_columns = {
        column.name: (column.name, column.column, ARROW_TYPES[column.type])
        for column in (*signature.inputs, *signature.outputs)
    }
    if labels is not None:
        if labels.name in own_columns or labels.name in (*META_SCHEMA.names, UNFIT):
            raise InputError(f'window: "{labels.name}" is a column already; expected another name')
        own_columns[labels.name] = (labels.name, _LABEL, ARROW_TYPES[labels.type])
        if columns is not None and labels.name not in columns:
            columns = [*columns, labels.name]
    ids = ((signature.inference_id, "inference_id"), (signature.event_time, "event_time"))
    named = {name: (name, at, META_SCHEMA.field(at).type) for name, at in ids if name is not None}
    wanted = []
    for name in own_columns if columns is None else columns:
        if name in own_columns or name in named:
            wanted.append((named | own_columns)[name])
        elif name in META_SCHEMA.names:
            wanted.append((name, name, META_SCHEMA.field(name).type))
        elif name != UNFIT:
            available = ", ".join([*own_columns, *named, *META_SCHEMA.names])
            raise InputError(f'window: no column "{name}"; expected one of {available}')
    return (*wanted, (UNFIT, UNFIT, UNFIT_TYPE))


def _usable() -> pads.Expression:
    unparsed = is_flagged(pads.field("flags"), Flag.REQUEST_UNPARSED)
    return is_answered(pads.field("status")) & ~unparsed


def _count(mask: pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0


def _digest(requests: pa.Table | None) -> str:
    """Hash the requests' spools and sequence numbers in sorted order.

    Those that were decoded again count once more, with the values read and the signature.
    """
    digest = hashlib.blake2b(digest_size=16)
    if requests is not None and requests.num_rows:
        names = {"spool_id", "spool_seq", "flags", _DIGEST} & {*requests.column_names}
        order = [("spool_id", "ascending"), ("spool_seq", "ascending")]
        ordered = requests.select(sorted(names)).sort_by(order)
        spools = ordered["spool_id"].combine_chunks().dictionary_encode()
        codes = spools.indices.to_numpy(zero_copy_only=False)
        seqs = ordered["spool_seq"].to_numpy().astype("<i8")
        for code, spool in enumerate(spools.dictionary.to_pylist()):
            digest.update(spool.encode() + b"\0")
            digest.update(np.ascontiguousarray(seqs[codes == code]).tobytes())
        later = ordered.filter(is_flagged(ordered["flags"], Flag.DECODED_LATER))
        if later.num_rows:
            state = later["flags"].to_numpy() & _UNPARSED
            digest.update(b"\0decoded\0" + "\0".join(later["spool_id"].to_pylist()).encode())
            digest.update(later["spool_seq"].to_numpy().astype("<i8").tobytes())
            digest.update(state.astype("<i4").tobytes())
            if _DIGEST in later.column_names:
                digest.update("\0".join(later[_DIGEST].fill_null("").to_pylist()).encode())
    return digest.hexdigest()
