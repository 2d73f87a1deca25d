"""Rows of text on disk, until all are known and the columns' types can be chosen."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES
from driftline.formats.coercion import MISSING
from driftline.formats.column_names import position_names
from driftline.formats.source import Source
from driftline.formats.type_inference import narrow
from driftline.signature import Signature

# Rows that are written at once.
CHUNK_ROWS = 1 << 14
CODEC = ipc.IpcWriteOptions(compression="lz4")
EVENT_ID, ROW_INDEX = "event_id", "row_index"


class TextSpool:
    """Collects rows as columns of text; the file has no name and goes with the object."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as it is read
        weakref.finalize(self, self._file.close)
        self._chunks: list[tuple[int, int]] = []
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._size = 0
        self._names: dict[str, None] = {}
        self._has_ids = False
        self.row_count = 0

    def add(
        self,
        columns: Mapping[str, Sequence[str | None]],
        counts: Sequence[int],
        ids: Sequence[str] | None = None,
    ) -> None:
        """Add rows."""
        rows = sum(counts)
        if not rows:
            return
        self._names.update(dict.fromkeys(columns))
        table = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        if ids is not None:
            self._has_ids = True
            for name, values in _identities(counts, ids).items():
                if columns.get(name, values) != values:
                    raise InputError(
                        f'preprocess_handler gave a column "{name}" of its own, by which a '
                        "monitor finds its rows again; expected another name"
                    )
                table[name] = pa.array(values, pa.string())
        self._held.append(pa.table(table))
        self._held_rows += rows
        self.row_count += rows
        if self._held_rows >= CHUNK_ROWS:
            self._write()

    def _write(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held, promote_options="default").combine_chunks()
        sink = pa.BufferOutputStream()
        with ipc.new_stream(sink, table.schema, options=CODEC) as writer:
            writer.write_table(table)
        data = sink.getvalue()
        self._file.write(data)
        self._chunks.append((self._size, data.size))
        self._size += data.size
        self._held, self._held_rows = [], 0

    def _tables(self) -> Iterator[pa.Table]:
        for offset, size in self._chunks:
            # By position: two readers at once do not disturb each other.
            data = os.pread(self._file.fileno(), size, offset)
            with ipc.open_stream(pa.py_buffer(data)) as reader:
                yield reader.read_all()

    def source(
        self, signature: Signature | None, *, compat: bool = False, header: Sequence[str] = ()
    ) -> Source:
        """Return the rows as data; nothing may be added afterwards."""
        self._write()
        self._file.flush()
        keys = sorted(self._names) if compat else list(self._names)
        shown = dict(zip(keys, _named(keys, signature, header), strict=True))
        if self._has_ids:
            shown |= {EVENT_ID: EVENT_ID, ROW_INDEX: ROW_INDEX}
        types = self._types(shown, signature, compat=compat)
        if not shown and signature is not None:
            types = {one.name: ARROW_TYPES[one.type] for one in signature.columns}
        schema = pa.schema(list(types.items()))

        def read() -> Iterator[pa.RecordBatch]:
            for table in self._tables():
                arrays = [_cast(table, key, types[name]) for key, name in shown.items()]
                yield from pa.Table.from_arrays(arrays, schema=schema).to_batches()

        return Source(schema=schema, reader=read, textual=True, row_count=self.row_count)

    def _types(
        self, shown: Mapping[str, str], signature: Signature | None, *, compat: bool
    ) -> dict[str, pa.DataType]:
        texts = {one.name for one in signature.columns if one.type == "string"} if signature else ()
        found = narrow(batch for table in self._tables() for batch in table.to_batches())
        types = {
            name: pa.string() if compat or name in texts else found.get(key, pa.string())
            for key, name in shown.items()
        }
        if self._has_ids:
            types |= {EVENT_ID: pa.string(), ROW_INDEX: pa.int64()}
        return types


def _identities(counts: Sequence[int], ids: Sequence[str]) -> dict[str, list[str]]:
    """Return by column, for each row, the id of its record and its place among that one's rows."""
    return {
        EVENT_ID: [one for one, count in zip(ids, counts, strict=True) for _ in range(count)],
        ROW_INDEX: [str(index) for count in counts for index in range(count)],
    }


def _named(
    keys: Sequence[str], signature: Signature | None, header: Sequence[str]
) -> Sequence[str]:
    """Name the columns: as the script does, or, where its keys are positions, by these."""
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
