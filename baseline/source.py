"""Whatever the user hands in as data, as Arrow batches of plain types."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs, ipc

from driftline.baseline.coercion import plain_array, plain_type, text_array
from driftline.baseline.delimited import CsvFile, narrow, read_csv_file, stream_csv_file
from driftline.baseline.jsonlines import read_json_file
from driftline.baseline.location import Location, data_files, locate
from driftline.errors import InputError
from driftline.signature import Signature
from driftline.storage import delta_options, storage_error

__all__ = ["Source", "open_source"]

BATCH_ROWS = 1 << 17
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
    """

    schema: pa.Schema
    reader: Callable[[], Iterator[pa.RecordBatch]]
    textual: bool = False
    row_count: int | None = None
    repeatable: bool = True

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read all rows; batches of at most some 100,000 rows, never an empty one."""
        for batch in self.reader():
            for at in range(0, batch.num_rows, BATCH_ROWS):
                part = batch.slice(at, BATCH_ROWS)
                columns = [plain_array(column) for column in part.columns]
                columns = [
                    column if column.type == field.type else column.cast(field.type, safe=False)
                    for column, field in zip(columns, self.schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def buffered(self) -> Source:
        """Give a source that can be read again; data of one reading is taken into memory."""
        if self.repeatable:
            return self
        table = pa.Table.from_batches(self.batches(), self.schema)
        return Source(self.schema, table.to_batches, self.textual, table.num_rows)


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
    if isinstance(data, pd.DataFrame):
        return _from_table(_pandas_table(data))
    if isinstance(data, pa.RecordBatchReader):
        return Source(_plain(data.schema), lambda: iter(data), repeatable=False)
    if isinstance(data, pa.Table):
        return _from_table(data)
    if isinstance(data, ds.Dataset):
        return _from_dataset(data, "dataset")
    if isinstance(data, pa.RecordBatch | Mapping) or hasattr(data, "__arrow_c_stream__"):
        try:
            return _from_table(pa.table(data))
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
            raise InputError(
                f"data of type {type(data).__name__} is no table ({error}); expected named columns"
            ) from error
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
    def read() -> Iterator[pa.RecordBatch]:
        try:
            yield from dataset.scanner(batch_size=BATCH_ROWS).to_batches()
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{shown}: a file is broken or gone ({error})") from error

    return Source(_plain(dataset.schema), read, row_count=dataset.count_rows())


def _pandas_table(frame: pd.DataFrame) -> pa.Table:
    """Take a frame over column by column; mixed objects become text, as they would in a file."""
    arrays, names = [], []
    for index, name in enumerate(frame.columns):
        series = frame.iloc[:, index]
        try:
            array = pa.Array.from_pandas(series)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            array = text_array(None if pd.isna(value) is True else str(value) for value in series)
        arrays.append(plain_array(array))
        names.append(str(name))
    return pa.Table.from_arrays(arrays, names=names)


def _open_files(paths: Sequence[str | os.PathLike[str]], signature: Signature | None) -> Source:
    if len(paths) == 1 and (delta := _delta_dataset(paths[0])) is not None:
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
        return _from_dataset(_parquet_dataset(files), os.fspath(paths[0]))
    if form == "Arrow":
        return _from_table(_joined([_ipc_table(file) for file in files]))
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
    if head.startswith(b"ARROW1"):
        return "Arrow"
    if not head.strip():
        raise InputError(f"{file.shown}: the file is empty; expected rows")
    if b"\x00" in head:
        raise InputError(
            f"{file.shown}: binary content; expected CSV, JSON Lines, Parquet or Arrow"
        )
    return "JSON" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else "CSV"


def _ipc_table(file: Location) -> pa.Table:
    try:
        with file.system.open_input_file(file.path) as stream:
            return ipc.open_file(stream).read_all()
    except pa.ArrowInvalid as error:
        raise InputError(f"{file.shown}: not readable as Arrow ({error})") from error


def _parquet_dataset(files: Sequence[Location]) -> ds.Dataset:
    """Open Parquet files as one; a column that some lack is null there."""
    paths = [file.path for file in files]
    try:
        found = ds.dataset(paths, filesystem=files[0].system, format="parquet", partitioning="hive")
        parts = [fragment.physical_schema for fragment in found.get_fragments()]
        schema = pa.unify_schemas([*parts, found.schema], promote_options="permissive")
        return found.replace_schema(schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise InputError(f"{files[0].shown}: not readable as Parquet ({error})") from error


def _delta_dataset(path: str | os.PathLike[str]) -> ds.Dataset | None:
    place = locate(path)
    if (place / "_delta_log").kind != fs.FileType.Directory:
        return None
    # A heavy import that only a Delta folder needs.
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    shown = os.fspath(path)
    try:
        table = DeltaTable(shown, storage_options=delta_options(shown))
    except (DeltaError, OSError) as error:
        raise storage_error(shown, error) from error
    return table.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(place.path, place.system))


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
