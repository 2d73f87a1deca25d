"""A script's rows, kept as text until the columns' types can be chosen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from driftline.baseline.scripting_process import Row
from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES
from driftline.formats.buffered import spooled
from driftline.formats.coercion import MISSING
from driftline.formats.column_names import position_names
from driftline.formats.source import Source
from driftline.formats.type_inference import narrow
from driftline.signature import Signature

# Rows that are written at once, as a stream of Arrow in one value.
CHUNK_ROWS = 1 << 14
CHUNK = pa.schema([("rows", pa.large_binary())])
EVENT_ID, ROW_INDEX = "event_id", "row_index"


def texts_of(answers: Iterable[Sequence[Row]], ids: Sequence[str] | None) -> Iterator[pa.Table]:
    """Yield the rows of records as text columns, with their identities where ids are given."""
    rows: list[Row] = []
    for at, answer in enumerate(answers):
        for index, row in enumerate(answer):
            own: Row = {} if ids is None else {EVENT_ID: ids[at], ROW_INDEX: str(index)}
            for name, value in own.items():
                if row.get(name, value) != value:
                    raise InputError(
                        f'preprocess_handler gave a column "{name}" of its own, by which a '
                        "monitor finds its rows again; expected another name"
                    )
            rows.append(row | own)
        if len(rows) >= CHUNK_ROWS:
            yield _texts(rows)
            rows = []
    if rows:
        yield _texts(rows)


def _texts(rows: Sequence[Row]) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    texts = ([row.get(name) for row in rows] for name in names)
    return pa.table([pa.array(one, pa.string()) for one in texts], names=[*names])


def source_of(
    rows: Iterable[pa.Table],
    signature: Signature | None,
    *,
    compat: bool = False,
    with_ids: bool = False,
    header: Sequence[str] = (),
) -> Source:
    """Read all rows of text and return them as data."""
    spool = spooled(map(_chunk, rows), CHUNK)
    row_count = 0

    def tables() -> Iterator[pa.Table]:
        for batch in spool():
            with ipc.open_stream(batch.column(0)[0].as_buffer()) as reader:
                yield reader.read_all()

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal row_count
        for table in tables():
            row_count += len(table)
            yield from table.to_batches()

    found = narrow(batches())
    places = {EVENT_ID: pa.string(), ROW_INDEX: pa.int64()} if with_ids and found else {}
    keys = [key for key in found if key not in places]
    keys = sorted(keys) if compat else keys
    shown = dict(zip(keys, _named(keys, signature, header), strict=True))
    texts = {one.name for one in signature.columns if one.type == "string"} if signature else ()
    types = {
        name: pa.string() if compat or name in texts else found[key] for key, name in shown.items()
    } | places
    shown |= {name: name for name in places}
    if not shown and signature is not None:
        types = {one.name: ARROW_TYPES[one.type] for one in signature.columns}
    schema = pa.schema(list(types.items()))

    def read() -> Iterator[pa.RecordBatch]:
        for table in tables():
            arrays = [_cast(table, key, types[name]) for key, name in shown.items()]
            yield from pa.Table.from_arrays(arrays, schema=schema).to_batches()

    return Source(schema=schema, reader=read, textual=True, row_count=row_count)


def _chunk(table: pa.Table) -> pa.RecordBatch:
    """Write a table as one value, because the columns are not known yet."""
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.record_batch([pa.array([sink.getvalue().to_pybytes()], CHUNK.field(0).type)], CHUNK)


def _named(
    keys: Sequence[str], signature: Signature | None, header: Sequence[str]
) -> Sequence[str]:
    """Name the columns as the script does, or, where its keys are indices, by these names."""
    if not keys or not all(key.isdecimal() for key in keys):
        return keys
    if signature is None and len(header) == len(keys):
        return header
    return position_names(len(keys), signature)


def _cast(table: pa.Table, key: str, kind: pa.DataType) -> pa.ChunkedArray:
    if key not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, kind)])
    texts = table.column(key)
    if kind == pa.string():
        return texts
    blank = pc.is_in(texts, value_set=MISSING)
    return pc.if_else(blank, pa.scalar(None, pa.string()), texts).cast(kind)
