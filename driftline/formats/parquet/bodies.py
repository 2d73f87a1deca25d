"""Bodies of Parquet files to columns.

A Parquet file packs in two ways, by a codec and by codes for values that repeat; both are bounded
by what the file's pages say of themselves before anything is unpacked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from driftline.formats.body_columns import Wanted
from driftline.formats.body_limits import BodyError, require_rows
from driftline.formats.cells import as_text
from driftline.formats.coercion import from_array
from driftline.formats.content_encoding import MAX_INFLATED_BYTES
from driftline.formats.parquet.pages import require_small_pages
from driftline.formats.shapes.requests import Extra

_MAX_COLUMNS = 10_000
_MAX_FIXED_BYTES = 16
_MAX_TOLD = 60


def read_parquet(wanted: Wanted, indices: np.ndarray, contents: pa.BinaryArray) -> None:
    """Read files by the names of their columns, or by order where none is known."""
    reading, id_name = wanted.reading, wanted.id_name
    for index, content in zip(indices.tolist(), contents.to_pylist(), strict=True):
        try:
            table = _table(content, [column.name for column in reading.columns], id_name)
            columns = [
                from_array(table[column.name], column.type)
                if column.name in table
                else from_array(pa.nulls(len(next(iter(table.values())))), column.type)
                for column in reading.columns
            ]
            extras = _ids(table, id_name)
        except BodyError as error:
            reading.errors[index] = str(error)
        # What a broken file makes of Arrow: its own errors, and Python's for odd dates.
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            reading.errors[index] = f"not a Parquet file that can be read ({type(error).__name__})"
        else:
            reading.add([index], [len(columns[0].values)], columns, extras)


def _ids(table: dict[str, pa.Array], id_name: str | None) -> list[Extra]:
    if id_name is None or id_name not in table:
        return []
    found = table[id_name].to_pylist()
    return [(row, id_name, as_text(value)) for row, value in enumerate(found)]


def _table(content: bytes, names: Sequence[str], id_name: str | None) -> dict[str, pa.Array]:
    """Read the columns that are asked for, by the name asked."""
    file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
    metadata = file.metadata
    require_rows(metadata.num_rows)
    if metadata.num_columns > _MAX_COLUMNS:
        raise BodyError(f"{metadata.num_columns} columns; expected at most {_MAX_COLUMNS}")
    present = file.schema_arrow.names
    if len(set(present)) < len(present):
        raise BodyError("two columns of one name")
    chosen = {name: name for name in (*names, id_name) if name is not None and name in present}
    if not any(name in chosen for name in names):
        if len(present) != len(names):
            raise BodyError("the file has none of the signature's columns")
        chosen = dict(zip(names, present, strict=True))
    texts = _require_flat(metadata.schema, set(chosen.values()))
    require_small_pages(content, metadata, set(chosen.values()))
    file = pq.ParquetFile(
        pa.BufferReader(content), metadata=metadata, pre_buffer=False, read_dictionary=texts
    )
    table = file.read(columns=list(chosen.values()), use_threads=False)
    if table.num_rows != metadata.num_rows:
        raise BodyError("the file has other rows than it says")
    return {name: _plain(table.column(source)) for name, source in chosen.items()}


def _require_flat(schema: pq.ParquetSchema, chosen: set[str]) -> list[str]:
    """Refuse what one row can make long; give the names of columns of texts."""
    texts = []
    for at in range(len(schema)):
        column = schema.column(at)
        name = column.path.split(".", 1)[0]
        if column.path not in chosen and name not in chosen:
            continue
        if column.max_repetition_level > 0 or column.max_definition_level > 1:
            raise BodyError(f'column "{name[:_MAX_TOLD]}" is nested; expected plain values')
        if column.physical_type == "BYTE_ARRAY":
            texts.append(column.path)
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > _MAX_FIXED_BYTES:
            raise BodyError(f'column "{name[:_MAX_TOLD]}" is of bytes; expected plain values')
    return texts


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, codes replaced by their values where that stays small."""
    if pa.types.is_dictionary(column.type):
        codes = column.combine_chunks()
        codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
        lengths = pc.binary_length(codes.dictionary).cast(pa.int64()).take(codes.indices)
        if (pc.sum(lengths).as_py() or 0) > MAX_INFLATED_BYTES:
            raise BodyError(f"unpacks to more than {MAX_INFLATED_BYTES} bytes")
        column = pa.chunked_array([codes.dictionary_decode()])
    found = column.combine_chunks()
    # Parquet's texts are not looked at when they are read.
    found.validate(full=True)
    return found
