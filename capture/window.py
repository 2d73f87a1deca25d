"""A window of captured records: Arrow batches of typed columns under the user's own names.

What a window gives depends on its records alone, never on the files they happen to lie in: rows
come sorted by event time, spool and sequence, and the digest is one of spools and sequences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.coerce import ARROW_TYPES, UTC_MICROSECONDS
from driftline.capture.dataset import META_SCHEMA, PARTITION, Dataset
from driftline.capture.frame import Flag
from driftline.errors import InputError
from driftline.signature import Signature

__all__ = ["UNFIT", "Window", "WindowRead", "read_window", "unfit_counts"]

UNFIT = "unfit"
_FIRST_FAILURE = 400
_BATCH_ROWS = 65_536
_ORDER = ("event_time", "spool_id", "spool_seq", "row_index")
_UNFIT_TYPE = pa.map_(pa.string(), pa.string())


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span [start, end) of event time, in UTC.

    Raises
    ------
    InputError
        When a time has no zone, or the end is not after the start.
    """

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

    Parameters
    ----------
    window
        The span that was read.
    row_count
        Rows that ``batches`` gives: of answered requests (status below 400) that could be parsed.
    request_count
        Requests of any status.
    failed_count
        Requests with status 400 or above, or without one: they were never answered.
    unparsed_count
        Answered requests whose request or response could not be parsed in full.
    late_count
        Requests that came in at or after ``late_after``.
    digest
        Hash of the records' spools and sequence numbers; equal records give equal digests.
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

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the rows, sorted; each call begins anew. One day at a time is held in memory."""
        if self._data is None:
            return
        for day in self._days:
            yield from self._on(day)

    def table(self) -> pa.Table:
        """Give all rows as one table."""
        return pa.Table.from_batches(self.batches(), schema=self.schema)

    def _on(self, day: str) -> Iterator[pa.RecordBatch]:
        assert self._data is not None
        held = {column for _, column, _ in self._columns} & set(self._data.schema.names)
        # The day's own partition, so that no other day's file is opened.
        chosen = (
            (pads.field(PARTITION) == day) & _inside(self.window.start, self.window.end) & _usable()
        )
        rows = self._data.to_table([*held.union(_ORDER)], filter=chosen)
        order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in _ORDER])
        arrays = [
            rows[column].take(order).cast(kind)
            if column in held
            else pa.chunked_array([pa.nulls(rows.num_rows, kind)])
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
) -> WindowRead:
    """Read the captured records of an endpoint whose event time lies in a window.

    Parameters
    ----------
    root
        Storage root.
    endpoint
        Name of the endpoint; one without a table gives an empty window.
    window
        Half-open span of event time.
    signature
        Says which columns there are, and their types; a column that the table lacks is all null.
    columns
        Names to give: the signature's own, or columns of the capture table such as ``event_id``,
        ``row_index``, ``event_time``, ``inference_id``. None: all inputs and outputs of the
        signature. The map ``unfit`` always comes last.
    late_after
        From when on a record counts as late; None: from the window's end on.

    Raises
    ------
    InputError
        When a column is neither of the signature nor of the table.
    """
    wanted = _wanted(signature, columns)
    dataset = Dataset(root, endpoint)
    first, last = window.start.date().isoformat(), window.end.date().isoformat()
    data = dataset.folder.open(first, last)
    schema = pa.schema([pa.field(name, kind) for name, _, kind in wanted])
    if data is None:
        return WindowRead(window, 0, 0, 0, 0, 0, _digest(None), schema, None, wanted)
    records = data.to_table(
        ["spool_id", "spool_seq", "row_index", "status", "flags", "arrival_time", PARTITION],
        filter=_inside(window.start, window.end),
    )
    first_row = pc.equal(records["row_index"], 0)
    answered = pc.and_(pc.greater(records["status"], 0), pc.less(records["status"], _FIRST_FAILURE))
    unparsed = pc.not_equal(_bits(records, _UNPARSED), 0)
    usable = pc.and_(answered, pc.equal(_bits(records, Flag.REQUEST_UNPARSED), 0))
    late = pc.greater_equal(
        records["arrival_time"], pa.scalar(late_after or window.end, UTC_MICROSECONDS)
    )
    return WindowRead(
        window=window,
        row_count=_count(usable),
        request_count=_count(first_row),
        failed_count=_count(pc.and_(first_row, pc.invert(answered))),
        unparsed_count=_count(pc.and_(pc.and_(first_row, answered), unparsed)),
        late_count=_count(pc.and_(first_row, late)),
        digest=_digest(records.filter(first_row)),
        schema=schema,
        _data=data,
        _columns=wanted,
        _days=tuple(sorted(pc.unique(records[PARTITION].filter(usable)).to_pylist())),
    )


_UNPARSED = int(Flag.REQUEST_UNPARSED | Flag.RESPONSE_UNPARSED)


def unfit_counts(batch: pa.RecordBatch) -> dict[str, int]:
    """Count, by column name, the values of a batch that did not fit their type.

    A name that the signature does not know is that of an extra field of a JSON object.
    """
    entries = batch.column(batch.num_columns - 1)
    if entries.type != _UNFIT_TYPE:
        return {}
    offsets = entries.offsets
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    counted = pc.value_counts(entries.keys.slice(first, last - first)).to_pylist()
    return {
        entry["values"]: entry["counts"] for entry in sorted(counted, key=lambda e: e["values"])
    }


def _wanted(
    signature: Signature, columns: Sequence[str] | None
) -> tuple[tuple[str, str, pa.DataType], ...]:
    own = {
        column.name: (column.name, column.column, ARROW_TYPES[column.type])
        for column in (*signature.inputs, *signature.outputs)
    }
    found = []
    for name in own if columns is None else columns:
        if name in own:
            found.append(own[name])
        elif name in META_SCHEMA.names:
            found.append((name, name, META_SCHEMA.field(name).type))
        elif name != UNFIT:
            known = ", ".join([*own, *META_SCHEMA.names])
            raise InputError(f'window: no column "{name}"; expected one of {known}')
    return (*found, (UNFIT, UNFIT, _UNFIT_TYPE))


def _inside(start: datetime, end: datetime) -> pads.Expression:
    time = pads.field("event_time")
    return (time >= pa.scalar(start, UTC_MICROSECONDS)) & (time < pa.scalar(end, UTC_MICROSECONDS))


def _usable() -> pads.Expression:
    unparsed = pc.bit_wise_and(
        pads.field("flags"), pa.scalar(int(Flag.REQUEST_UNPARSED), pa.int32())
    )
    status = pads.field("status")
    return (status > 0) & (status < _FIRST_FAILURE) & (unparsed == 0)


def _bits(records: pa.Table, bits: int) -> pa.ChunkedArray:
    return pc.bit_wise_and(records["flags"], pa.scalar(int(bits), pa.int32()))


def _count(mask: pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0


def _digest(requests: pa.Table | None) -> str:
    """Hash the requests' spools and sequence numbers in sorted order."""
    digest = hashlib.blake2b(digest_size=16)
    if requests is not None and requests.num_rows:
        ordered = requests.select(["spool_id", "spool_seq"]).sort_by(
            [("spool_id", "ascending"), ("spool_seq", "ascending")]
        )
        spools = ordered["spool_id"].combine_chunks().dictionary_encode()
        codes = spools.indices.to_numpy(zero_copy_only=False)
        seqs = ordered["spool_seq"].to_numpy().astype("<i8")
        for code, spool in enumerate(spools.dictionary.to_pylist()):
            digest.update(spool.encode() + b"\0")
            digest.update(np.ascontiguousarray(seqs[codes == code]).tobytes())
    return digest.hexdigest()
