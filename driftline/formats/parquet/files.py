"""Files that name their types: Parquet, Arrow files and streams, Delta tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs, ipc

from driftline.errors import InputError
from driftline.formats.arrow_types import plain_field, plain_type, with_missing
from driftline.formats.location import Location, locate
from driftline.storage import delta_options, storage_error

# Cells in a batch: some 100,000 rows of the usual 25 columns, fewer of thousands.
BATCH_ROWS = 1 << 17
BATCH_CELLS = 1 << 22
FEWEST_ROWS = 1 << 10
BATCHES_AHEAD = 2
# What a damaged file brings up: in its structure, below it, in a name.
READ_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)
# A text that takes fewer bytes than this in the file is a number there; in small ones all may be.
CODED_BYTES = 4
CODED_ROWS = 1 << 10
CODED = pa.dictionary(pa.int32(), pa.string())
_NO_FOOTER = ("magic bytes not found in footer", "smaller than the minimum file footer")
_LOOKED_BYTES = 1 << 12
# Of each column at a time; there may be thousands.
BUFFER_BYTES = 1 << 15


def scanned(
    files: ds.Dataset | ds.Fragment,
    shown: str,
    wanted: pa.Schema,
    **options: pa.Schema | ds.Expression | None,
) -> Iterator[pa.RecordBatch]:
    """Read the wanted columns of a data set, or of one of its fragments, in little memory."""
    try:
        arguments = _scan_arguments(files, len(wanted))
        scanner = files.scanner(columns=wanted.names, **arguments, **options)
        yield from sound(scanner.to_batches())
    except READ_ERRORS as error:
        raise broken(shown, error) from error


def _scan_arguments(files: ds.Dataset | ds.Fragment, width: int) -> dict[str, Any]:
    """Return arguments of a scan in little memory: few batches ahead, few bytes of each column."""
    rows = max(FEWEST_ROWS, min(BATCH_ROWS, BATCH_CELLS // max(width, 1)))
    found: dict[str, Any] = {
        "batch_size": rows,
        "batch_readahead": BATCHES_AHEAD,
        "fragment_readahead": 1,
    }
    if isinstance(getattr(files, "format", None), ds.ParquetFileFormat):
        # A row group may hold millions of rows: a disk gives its columns piece by piece. A bucket
        # answers each request late, so there a row group is asked for at once.
        system = files.filesystem
        if isinstance(system, fs.SubTreeFileSystem):
            system = system.base_fs
        near = isinstance(system, fs.LocalFileSystem)
        found["fragment_scan_options"] = ds.ParquetFragmentScanOptions(
            pre_buffer=not near, use_buffered_stream=near, buffer_size=BUFFER_BYTES
        )
    return found


def sound(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Check the batches of a file: texts UTF-8, lengths within the file.

    A damaged file may violate both, and computing on it then crashes or fails anywhere.
    """
    for batch in batches:
        batch.validate(full=True)
        yield batch


def broken(shown: str, error: Exception) -> InputError:
    """Return the error for a file that was fine at first and is not."""
    told = str(error).partition("\n")[0]
    return InputError(f"{shown}: a file is broken or gone ({told})")


def open_parquet(files: Sequence[Location], *_: object) -> ds.Dataset:
    """Open Parquet files as one; a column that some lack is null there."""
    try:
        found = _open_parquet(files)
        fragments = list(found.get_fragments())
        parts = [fragment.physical_schema for fragment in fragments]
        for fragment, file in zip(fragments, files, strict=True):
            _check_counts(fragment, file.shown)
        schema = _readable(_one_schema(files, [*parts, found.schema]))
        coded = _coded_texts(fragments[0], schema)
        if coded:
            found = _open_parquet(files, coded)
            for name in coded:
                place = schema.get_field_index(name)
                schema = schema.set(place, schema.field(name).with_type(CODED))
    except READ_ERRORS as error:
        raise _no_parquet(files, error) from error
    # Not `replace_schema`: that refuses a column of whole numbers here and of fractions there.
    return ds.FileSystemDataset(
        list(found.get_fragments()), schema, found.format, filesystem=found.filesystem
    )


def _no_parquet(files: Sequence[Location], error: Exception) -> InputError:
    """Return the error that names the file, without what Arrow says around its reason."""
    told = str(error).partition("\n")[0]
    file = next((one for one in files if f"'{one.path}'" in told), files[0])
    if "duplicate field names" in told:
        names = pq.read_schema(file.path, filesystem=file.system).names
        if twice := [name for name in names if names.count(name) > 1]:
            return InputError(f'{file.shown}: column "{twice[0]}" stands twice; expected it once')
    told = told.rpartition(f"'{file.path}'")[2]
    told = told.removeprefix(". Is this a 'parquet' file?").removeprefix(": ")
    if any(sign in told for sign in _NO_FOOTER):
        told = "its end is missing: was it cut off on the way?"
    return InputError(f"{file.shown}: not readable as Parquet ({told})")


def _open_parquet(files: Sequence[Location], coded: Sequence[str] = ()) -> ds.Dataset:
    options = ds.ParquetReadOptions(dictionary_columns=list(coded))
    return ds.dataset(
        [file.path for file in files],
        filesystem=files[0].system,
        format=ds.ParquetFileFormat(read_options=options),
        partitioning="hive",
    )


def _coded_texts(fragment: ds.ParquetFileFragment, schema: pa.Schema) -> list[str]:
    """Return the text columns that a file stores with a dictionary.

    Reading them as such takes a fifth of the time. Columns with too many distinct texts have no
    dictionary in the file, and building one would take longer.
    """
    file = fragment.metadata
    if not file.num_row_groups:
        return []
    paths = {file.schema.column(index).path: index for index in range(file.num_columns)}
    texts = [one.name for one in schema if one.type == pa.string() and one.name in paths]
    if not texts:
        return []
    # First a row of them: damaged numbers are an error to who reads, and to who looks at them
    # without reading an exception of C++ that ends the process (pyarrow 26).
    with fragment.open() as stream:
        opened = pq.ParquetFile(stream, buffer_size=BUFFER_BYTES)
        next(opened.iter_batches(batch_size=1, row_groups=[0], columns=texts), None)
    group = file.row_group(0)
    found = {name: group.column(paths[name]) for name in texts}
    return [
        name
        for name, column in found.items()
        if column.physical_type == "BYTE_ARRAY"
        and column.total_uncompressed_size <= CODED_BYTES * max(column.num_values, CODED_ROWS)
    ]


def _check_counts(fragment: ds.ParquetFileFragment, shown: str) -> None:
    """Require the rows that the file promises; damaged, it may have lost some."""
    found = sum(group.num_rows for group in fragment.row_groups)
    if found != fragment.metadata.num_rows:
        raise InputError(
            f"{shown}: the file promises {fragment.metadata.num_rows} rows and has {found}; it is "
            "damaged"
        )


def _one_schema(files: Sequence[Location], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Unite the schemas of files, naming the two that do not go together."""
    whole = schemas[0]
    for number, schema in enumerate(schemas):
        try:
            whole = pa.unify_schemas([whole, schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            file = files[min(number, len(files) - 1)].shown
            found = [
                f'column "{field.name}" is {field.type} in {file} and '
                f"{whole.field(field.name).type} in {files[0].shown}"
                for field in schema
                if len(whole.get_all_field_indices(field.name)) == 1
                and plain_type(whole.field(field.name).type) != plain_type(field.type)
            ]
            told = found[0] if found else f"{file}: {str(error).partition(chr(10))[0]}"
            raise InputError(f"{told}; expected the same type in all files") from error
    return whole


def delta_dataset(path: str | os.PathLike[str]) -> ds.Dataset | None:
    """Open the folder of a Delta table; None when it is none."""
    place = locate(path)
    if (place / "_delta_log").kind != fs.FileType.Directory:
        return None
    # A heavy import that only a Delta folder needs.
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    # Of an own bucket it is the folder.
    shown = place.path if place.is_local else os.fspath(path)
    try:
        table = DeltaTable(shown, storage_options=delta_options(shown))
    except (DeltaError, OSError) as error:
        raise storage_error(shown, error) from error
    return table.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(place.path, place.system))


def open_arrow(files: Sequence[Location], *_: object) -> ArrowFiles:
    """Look at the schemas of Arrow files and streams."""
    schemas = []
    for file in files:
        try:
            with file.system.open_input_file(file.path) as stream:
                found = _readable(_open(stream).schema)
            schemas.append(pa.schema([_plain(field) for field in with_missing(found)]))
        except READ_ERRORS as error:
            raise _no_arrow(file, error) from error
    whole = _one_schema(files, schemas)
    return ArrowFiles(tuple(files), pa.schema([plain_field(field) for field in whole]))


@dataclass(frozen=True, slots=True)
class ArrowFiles:
    """Arrow IPC files or streams of the same columns, read one batch at a time."""

    files: tuple[Location, ...]
    schema: pa.Schema
    row_count: int | None = None

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """Read all rows; a column that a file lacks is null there."""
        for file in self.files:
            try:
                with file.system.open_input_file(file.path) as stream:
                    reader = _open(stream)
                    for batch in sound(_batches(reader)):
                        yield self._whole(batch)
                    # Two streams in one file: the second would not be read.
                    is_stream = isinstance(reader, ipc.RecordBatchStreamReader)
                    if is_stream and stream.read(_LOOKED_BYTES).strip(b"\0"):
                        raise InputError(
                            f"{file.shown}: more follows the end of the Arrow stream; expected "
                            "one stream a file"
                        )
            except READ_ERRORS as error:
                raise _no_arrow(file, error) from error

    def _whole(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        found = {one.name for one in batch.schema if not pa.types.is_null(one.type)}
        if batch.schema.names == self.schema.names and len(found) == len(self.schema):
            return batch
        columns = [
            batch.column(field.name)
            if field.name in found
            else pa.nulls(batch.num_rows, field.type)
            for field in self.schema
        ]
        return pa.RecordBatch.from_arrays(columns, names=self.schema.names)


def _plain(found: pa.Field) -> pa.Field:
    """Return its plain field; a column without a value in one file takes the type of another."""
    return found if pa.types.is_null(found.type) else plain_field(found)


def _readable(schema: pa.Schema) -> pa.Schema:
    """Return a schema whose names and zones are texts; UnicodeDecodeError otherwise."""
    for field in schema:
        str(field.name)
        if pa.types.is_timestamp(field.type):
            str(field.type.tz)
    return schema


def _open(stream: pa.NativeFile) -> ipc.RecordBatchFileReader | ipc.RecordBatchStreamReader:
    head = stream.read(6)
    stream.seek(0)
    return ipc.open_file(stream) if head == b"ARROW1" else ipc.open_stream(stream)


def _batches(
    reader: ipc.RecordBatchFileReader | ipc.RecordBatchStreamReader,
) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, ipc.RecordBatchFileReader):
        yield from (reader.get_batch(index) for index in range(reader.num_record_batches))
    else:
        yield from reader


def _no_arrow(file: Location, error: Exception) -> InputError:
    told = str(error).partition("\n")[0]
    return InputError(f"{file.shown}: not readable as Arrow ({told})")
