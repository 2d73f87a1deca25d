"""CSV files of the same columns as one: small in memory, large ones read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from driftline.errors import InputError
from driftline.formats.arrow_types import plain_array, plain_type
from driftline.formats.csv.errors import broken_csv
from driftline.formats.csv.files import (
    CsvFile,
    read_csv_file,
    stream_csv_file,
    watch_csv_file,
)
from driftline.formats.dialect import Dialect
from driftline.formats.location import Location
from driftline.formats.opening import are_small, read_head
from driftline.formats.type_inference import narrow, one_type
from driftline.signature import Signature

NAIVE = pa.timestamp("us")


def open_csv(
    places: Sequence[Location], signature: Signature | None, dialect: Dialect
) -> pa.Table | CsvRows:
    """Open files of the same columns: in memory, where they are small."""
    files = [CsvFile.look(place, read_head(place), signature, dialect) for place in places]
    _require_same_columns(files)
    return _read_csv_files(files) if are_small(places) else CsvRows.open(files)


def _require_same_columns(files: Sequence[CsvFile]) -> None:
    """Require the same columns of all files, in whatever order."""
    first = files[0]
    for file in files[1:]:
        if set(file.names) != set(first.names):
            odd = sorted(set(file.names) ^ set(first.names))[0]
            place = "lacks" if odd in first.names else "has, too,"
            raise InputError(
                f'{file.place.shown}: it {place} column "{odd}", unlike {first.place.shown}; '
                "expected the same columns in all files"
            )


def _read_csv_files(files: Sequence[CsvFile]) -> pa.Table:
    """Read files into memory; each column gets one type, found over all of them."""
    names = list(files[0].names)
    tables = [_plain(read_csv_file(file)).select(names) for file in files]
    types = {name: _type_of([table.column(name) for table in tables]) for name in names}
    schema = pa.schema(types.items())
    found = []
    for file, table in zip(files, tables, strict=True):
        texts = {
            name: pa.string()
            for name in names
            if types[name] == pa.string() != table.schema.field(name).type
        }
        # Read again, for 007 to be no 7 beside texts.
        whole = _plain(read_csv_file(file, texts)).select(names) if texts else table
        found.append(whole.cast(schema, safe=False))
    return pa.concat_tables(found)


def _plain(table: pa.Table) -> pa.Table:
    """Carry columns over to plain types; times without a zone stay without one."""
    columns = [
        column.cast(NAIVE, safe=False) if _is_naive(column.type) else plain_array(column)
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _is_naive(found: pa.DataType) -> bool:
    return pa.types.is_date(found) or (pa.types.is_timestamp(found) and found.tz is None)


def _type_of(columns: Sequence[pa.ChunkedArray]) -> pa.DataType:
    filled = [column.type for column in columns if column.null_count < len(column)]
    return one_type(filled or [column.type for column in columns])


@dataclass(frozen=True, slots=True)
class CsvRows:
    """CSV files larger than memory, of the same columns, read piece by piece."""

    files: tuple[CsvFile, ...]
    types: Mapping[str, pa.DataType]
    row_count: int | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns, in the order of the first file."""
        return pa.schema([(name, self.types[name]) for name in self.files[0].names])

    @classmethod
    def open(cls, files: Sequence[CsvFile]) -> CsvRows:
        """Find the types by reading all of it once, or twice when its beginning misleads."""
        texts = dict.fromkeys(files[0].names, pa.string())
        known = _first_types(files[0])
        # What is blank at first is read as text, for its type to be found on the way.
        blank = [name for name in texts if name not in known]
        try:
            found = _narrowed(files, {**texts, **known}, blank)
        except pa.ArrowException:
            known = dict.fromkeys(files[0].texts, pa.string())
            found = _narrowed(files, texts, [name for name in texts if name not in known])
        return cls(tuple(files), {**texts, **known, **found})

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """Read all rows."""
        names = self.files[0].names
        for file in self.files:
            yield from stream_csv_file(file, self.types, columns=names)


def _first_types(file: CsvFile) -> dict[str, pa.DataType]:
    """Return the types that Arrow infers from the first block; columns without values are left out.

    Later blocks may contradict them.
    """
    with closing(stream_csv_file(file, {})) as batches:
        first = next(batches, None)
    found = {}
    for field in () if first is None else first.schema:
        if pa.types.is_binary(field.type):
            raise broken_csv(file, None, None)
        if not pa.types.is_null(field.type):
            found[field.name] = NAIVE if _is_naive(field.type) else plain_type(field.type)
    return found


def _narrowed(
    files: Sequence[CsvFile], types: Mapping[str, pa.DataType], doubtful: Sequence[str]
) -> dict[str, pa.DataType]:
    """Read all of it once; give the types of the columns that are read as text to find them."""
    batches = (batch.select(doubtful) for file in files for batch in watch_csv_file(file, types))
    return narrow(batches, files[0].decimal)
