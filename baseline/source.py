"""Whatever the user hands in as data, as Arrow batches of plain types."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from driftline.baseline.coercion import plain_array, plain_type
from driftline.baseline.columnar import ArrowFiles, DatasetRows, delta_dataset, parquet_dataset
from driftline.baseline.delimited import CsvFile, narrow, read_csv_file, stream_csv_file
from driftline.baseline.frames import PandasRows, as_stream, as_table, is_pandas
from driftline.baseline.jsonlines import read_json_file
from driftline.baseline.location import Location, data_files
from driftline.baseline.parts import (
    Part,
    PartMaker,
    fragment_parts,
    normalised,
    stream_parts,
)
from driftline.baseline.spool import spooled
from driftline.errors import InputError
from driftline.signature import Signature

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "open_source"]

# Text files up to this size are kept in memory as Arrow; bigger ones are read again each time.
IN_MEMORY_BYTES = 1 << 28
HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Data that can be read as Arrow batches.

    Parameters
    ----------
    schema
        Columns, in the data's order, of plain types (see `coercion.plain_type`).
    reader
        Opens the data from its start.
    textual
        Whether numbers were guessed from text (CSV).
    row_count
        Number of rows, when known before reading.
    repeatable
        Whether the data can be read more than once.
    splitter
        Cuts the data into parts that are opened on their own; None: they are read from front to
        end and cut as they come.
    """

    schema: pa.Schema
    reader: Callable[[], Iterator[pa.RecordBatch]]
    textual: bool = False
    row_count: int | None = None
    repeatable: bool = True
    splitter: PartMaker | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read all rows; batches of at most some 100,000 rows, never an empty one."""
        return normalised(self.reader(), self.schema)

    def parts(self) -> Iterator[Part]:
        """Cut the data into parts that can be read one beside the other, in order."""
        return stream_parts(self.batches()) if self.splitter is None else self.splitter()

    def buffered(self) -> Source:
        """Give a source that can be read again: what comes only once is kept, on disk if large."""
        if self.repeatable:
            return self
        spool = spooled(self.batches(), self.schema)
        return Source(self.schema, spool, self.textual, spool.row_count)


def open_source(data: object, *, signature: Signature | None = None) -> Source:
    """Open data of any supported form.

    Parameters
    ----------
    data
        A path, glob, folder, URI or list of them (CSV, Parquet, Arrow IPC, JSON Lines, SageMaker
        capture lines; a Delta table's folder); a pandas or polars frame; an Arrow table, batch or
        reader; anything with ``__arrow_c_stream__``.
    signature
        Of the reference. Columns that are text there are read as text; rows without a header get
        their names from it.

    Raises
    ------
    InputError
        When there is nothing to read, or it is none of these forms: one sentence.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, str | os.PathLike):
        return _open_files([data], signature)
    if isinstance(data, list | tuple) and data:
        if all(isinstance(part, str | os.PathLike) for part in data):
            return _open_files(data, signature)
        if all(isinstance(part, pa.RecordBatch) for part in data):
            return _from_table(pa.Table.from_batches(data))
    if isinstance(data, ds.Dataset):
        return _from_dataset(data, "dataset")
    if is_pandas(data):
        return _from_pandas(data)
    if (table := as_table(data)) is not None:
        return _from_table(table)
    if (stream := as_stream(data)) is not None:
        return Source(_plain(stream.schema), lambda: iter(stream), repeatable=False).buffered()
    raise InputError(
        f"data of type {type(data).__name__}; expected a path, a pandas or polars frame, or "
        "anything Arrow"
    )


def _plain(schema: pa.Schema) -> pa.Schema:
    if not len(schema):
        raise InputError("the data has no columns")
    names = schema.names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f'column "{twice[0]}" stands twice in the data; rename one of the two')
    return pa.schema([(field.name, plain_type(field.type)) for field in schema])


def _from_table(table: pa.Table, *, textual: bool = False) -> Source:
    return Source(_plain(table.schema), table.to_batches, textual, table.num_rows)


def _from_dataset(dataset: ds.Dataset, shown: str) -> Source:
    plain = _plain(dataset.schema)
    splitter = partial(fragment_parts, dataset, plain, shown) if _is_parquet(dataset) else None
    return Source(
        plain, DatasetRows(dataset, shown), row_count=dataset.count_rows(), splitter=splitter
    )


def _is_parquet(dataset: ds.Dataset) -> bool:
    """Say whether each fragment is a file that knows its row groups."""
    return isinstance(dataset, ds.FileSystemDataset) and isinstance(
        dataset.format, ds.ParquetFileFormat
    )


def _from_pandas(frame: pd.DataFrame) -> Source:
    rows = PandasRows.of(frame)
    return Source(_plain(rows.schema), rows, row_count=len(frame))


def _open_files(paths: Sequence[str | os.PathLike[str]], signature: Signature | None) -> Source:
    if len(paths) == 1 and (delta := delta_dataset(paths[0])) is not None:
        return _from_dataset(delta, os.fspath(paths[0]))
    files = [file for path in paths for file in data_files(path)]
    forms = {_form(file, _read(file, HEAD_BYTES)) for file in files}
    if len(forms) > 1:
        raise InputError(
            f"{os.fspath(paths[0])}: files of several forms ({', '.join(sorted(forms))}); "
            "name the files of one form"
        )
    form = forms.pop()
    if form == "Parquet":
        return _from_dataset(parquet_dataset(files), os.fspath(paths[0]))
    if form == "Arrow":
        rows = ArrowFiles.open(files)
        return Source(_plain(rows.schema), rows)
    if form == "JSON":
        tables = [read_json_file(file, _text(file), signature) for file in files]
        return _from_table(_joined(tables))
    return _from_csv([CsvFile.look(file, _read(file, HEAD_BYTES), signature) for file in files])


def _read(file: Location, size: int | None = None) -> bytes:
    """Read a file's first bytes, or all; compressed ones are unpacked."""
    try:
        with file.system.open_input_stream(file.path) as stream:
            return bytes(stream.read(size))
    except OSError as error:
        raise InputError(f"{file.shown}: cannot be read ({error})") from error


def _text(file: Location) -> str:
    return _read(file).decode("utf-8-sig", "replace")


def _form(file: Location, head: bytes) -> str:
    """Tell the form by content; names lie."""
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "Arrow"
    if not head.strip():
        raise InputError(f"{file.shown}: the file is empty; expected rows")
    if b"\x00" in head:
        raise InputError(
            f"{file.shown}: binary content; expected CSV, JSON Lines, Parquet or Arrow"
        )
    return "JSON" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else "CSV"


def _from_csv(files: Sequence[CsvFile]) -> Source:
    for file in files[1:]:
        if file.names != files[0].names:
            raise InputError(
                f"{file.place.shown}: other columns than {files[0].place.shown}; expected the same"
            )
    size = sum(file.place.system.get_file_info([file.place.path])[0].size for file in files)
    if size <= IN_MEMORY_BYTES:
        return _from_table(_joined([read_csv_file(file) for file in files]), textual=True)
    texts = {name: pa.string() for name in files[0].names}
    types = narrow(batch for file in files for batch in stream_csv_file(file, texts))
    types |= {name: pa.string() for name in files[0].texts}
    schema = _plain(pa.schema([(name, types[name]) for name in files[0].names]))

    def read() -> Iterator[pa.RecordBatch]:
        for file in files:
            yield from stream_csv_file(file, types)

    return Source(schema, read, textual=True)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Put files together; each column gets one type: the same, numbers as double, or else text."""
    plain = [
        pa.table([plain_array(column) for column in table.columns], schema=_plain(table.schema))
        for table in tables
    ]
    found: dict[str, set[pa.DataType]] = {}
    empty: dict[str, set[pa.DataType]] = {}
    for table in plain:
        for name, column in zip(table.column_names, table.columns, strict=True):
            kinds = found if column.null_count < len(column) else empty
            kinds.setdefault(name, set()).add(column.type)
    chosen = {name: _one_type(types) for name, types in (empty | found).items()}
    cast = [
        table.cast(pa.schema([(name, chosen[name]) for name in table.column_names]), safe=False)
        for table in plain
    ]
    return pa.concat_tables(cast, promote_options="default")


def _one_type(types: set[pa.DataType]) -> pa.DataType:
    if len(types) == 1:
        return next(iter(types))
    return pa.float64() if types <= {pa.int64(), pa.float64()} else pa.string()
