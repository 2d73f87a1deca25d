"""CSV to Arrow: header or none, delimiter, types from the text itself or from a signature."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as arrow_csv

from driftline.errors import InputError
from driftline.formats.cells import NO_VALUES, NUMBER
from driftline.formats.coercion import coerce
from driftline.formats.column_names import columns_by_count, given_names
from driftline.formats.csv.dialect import sniff
from driftline.formats.csv.errors import broken_csv, quote_problem
from driftline.formats.csv.quotes import QuoteWatch
from driftline.formats.dialect import AS_FOUND, Dialect
from driftline.formats.location import Location
from driftline.formats.opening import HEAD_BYTES, find_encoding, open_text
from driftline.formats.type_inference import narrow
from driftline.signature import ColumnType, Signature

BLOCK_BYTES = 1 << 22
# Numbers below 0 or with a fraction, from 1 on (forecasts name columns by quantiles, such as 0.1;
# others by years), and times of a day.
VALUE = re.compile(r"-\d+(\.\d+)?$|\+?[1-9]\d*\.\d+$|\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
# As pandas names it where a file needs a name; it writes the header of CSV without one.
UNNAMED_INDEX = "__index_level_0__"


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file after a look at its first lines."""

    place: Location
    delimiter: str
    has_header: bool
    names: tuple[str, ...]
    # Columns that a signature holds to be text: never read as numbers.
    texts: frozenset[str]
    blank_lines: int = 0
    encoding: str = "utf-8"
    decimal: str = "."
    # A header without a line end: Arrow takes it for a row cut off.
    is_header_only: bool = False

    @classmethod
    def look(
        cls,
        place: Location,
        head: bytes,
        signature: Signature | None,
        dialect: Dialect = AS_FOUND,
    ) -> CsvFile:
        """Find delimiter and names from the file's first bytes."""
        encoding = find_encoding(head, dialect.encoding)
        text = head.decode(encoding, "replace").removeprefix("\ufeff")
        if not text.strip():
            raise InputError(f"{place.shown}: the file is empty; expected a CSV with rows")
        try:
            found = sniff(text, dialect.delimiter)
        except ValueError as error:
            raise InputError(f"{place.shown}: not readable as CSV ({error})") from error
        fields = found.first
        has_header = dialect.header
        if has_header is None:
            has_header = _is_all_names(fields, signature) or not (
                _is_data(fields) or _is_row(fields, signature) or _is_unnamed(fields, dialect.names)
            )
        if has_header:
            names = [name or f"_c{index}" for index, name in enumerate(fields)]
            if not fields[0] and len(fields) > 1:
                names[0] = UNNAMED_INDEX
        else:
            names = given_names(dialect.names, len(fields), signature, place.shown)
        if has_header and dialect.header is None and signature is None:
            _refuse_row(fields, place.shown)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(
                f'{place.shown}: column "{twice[0]}" stands twice in the header; rename one'
            )
        texts = frozenset(
            column.name
            for column in (signature.columns if signature else ())
            if column.type == "string"
        )
        file = cls(
            place,
            found.delimiter,
            has_header,
            tuple(names),
            texts & set(names),
            found.skipped,
            encoding,
            found.decimal,
            has_header and found.is_alone and len(head) < HEAD_BYTES,
        )
        if file.is_header_only and (problem := quote_problem(file)) is not None:
            raise InputError(f"{place.shown}: {problem}")
        return file

    def options(
        self, types: Mapping[str, pa.DataType], columns: Sequence[str] = ()
    ) -> dict[str, object]:
        """Return Arrow's reader options; `columns` says the order, else it is the file's."""
        return {
            "read_options": arrow_csv.ReadOptions(
                column_names=list(self.names),
                skip_rows=self.blank_lines,
                # Rows, unlike lines, may hold line ends in quotes.
                skip_rows_after_names=1 if self.has_header else 0,
                block_size=BLOCK_BYTES,
            ),
            "parse_options": arrow_csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True
            ),
            "convert_options": arrow_csv.ConvertOptions(
                null_values=sorted(NO_VALUES),
                strings_can_be_null=False,
                decimal_point=self.decimal,
                include_columns=list(columns),
                column_types={**{name: pa.string() for name in self.texts}, **types},
            ),
        }


def _is_data(fields: Sequence[str]) -> bool:
    """Whether a first line is a row: every field a number or blank, one at least a number."""
    filled = [field.strip() for field in fields if field.strip()]
    return bool(filled) and all(re.match(NUMBER, field) for field in filled)


def _is_unnamed(fields: Sequence[str], given: Sequence[str]) -> bool:
    """Whether a first line is a row beside names that the user gives: it has numbers, no name."""
    is_number = any(re.match(NUMBER, field.strip()) for field in fields)
    return bool(given) and is_number and not set(given) & {field.strip() for field in fields}


def _refuse_row(fields: Sequence[str], shown: str) -> None:
    """Refuse a first line that holds text and values that nobody calls a column by."""
    if (value := next((one for one in fields if VALUE.match(one.strip())), None)) is not None:
        raise InputError(
            f'{shown}: "{value}" in the first line reads as a value, not as a name; set '
            "header to false where that line is a row, to true where it holds names"
        )


def _is_all_names(fields: Sequence[str], signature: Signature | None) -> bool:
    """Whether a first line names known columns and nothing else, as "0,1,2" of pandas does.

    A single number may be either. An index, which has no name, may come before the names.
    """
    fields = fields[1:] if fields[:1] == [""] else fields
    known = {column.name for column in signature.columns} if signature else set()
    return len(fields) > 1 and len(set(fields)) == len(fields) and known.issuperset(fields)


def _is_row(fields: Sequence[str], signature: Signature | None) -> bool:
    """Whether a first line that holds text is a row of the signature all the same.

    It names no known column, has the expected number of fields, and has a number, truth value or
    time where one is expected: a header with other names has none.
    """
    columns = columns_by_count(len(fields), signature)
    if signature is None or not columns:
        return False
    known = {column.name.strip().casefold() for column in signature.columns}
    if any(field.strip().casefold() in known for field in fields):
        return False
    typed = [(field, one.type) for field, one in zip(fields, columns, strict=True)]
    typed = [(field, kind) for field, kind in typed if kind != "string"]
    return not typed or any(_holds(field, kind) for field, kind in typed)


def _holds(field: str, kind: ColumnType) -> bool:
    values, _ = coerce(pa.array([field]), kind)
    return bool(values.is_valid()[0].as_py())


def read_csv_file(file: CsvFile, types: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Read a whole file, small enough to be in memory twice; what is not all numbers is text."""
    if file.is_header_only:
        return pa.table({name: pa.nulls(0) for name in file.names})
    watch = None
    try:
        # Read here, not by Arrow's threads: what is written in Python they may let go of a moment
        # after their answer, and abort the process (exit code -6) if it is just ending.
        text = pa.BufferOutputStream()
        with open_text(file.place, file.encoding) as stream:
            watch = QuoteWatch(stream, file.delimiter)
            while block := watch.read(BLOCK_BYTES):
                text.write(block)
        with pa.BufferReader(text.getvalue()) as whole:
            table = arrow_csv.read_csv(whole, **file.options(types or {}))
    except pa.ArrowException as error:
        raise broken_csv(file, error, watch) from error
    if watch.problem is not None:
        raise InputError(f"{file.place.shown}: {watch.problem}")
    for column in table.schema:
        if pa.types.is_binary(column.type):  # Arrow's type for text that is not UTF-8.
            raise broken_csv(file, None, watch)
    # Times of the day are text, as they are written: Arrow would make 12:30:00 of 12:30.
    texts = [one.name for one in table.schema if pa.types.is_time(one.type)]
    if watch.has_odd_numbers:
        texts += _no_numbers(file, table, types or {})
    if not texts:
        return table
    return read_csv_file(file, {**(types or {}), **dict.fromkeys(texts, pa.string())})


def _no_numbers(file: CsvFile, table: pa.Table, types: Mapping[str, pa.DataType]) -> list[str]:
    """Return the columns of which Arrow took for a number what is none, such as 0x1F."""
    numbers = [one.name for one in table.schema if one.type in (pa.int64(), pa.float64())]
    texts = stream_csv_file(file, {**types, **dict.fromkeys(numbers, pa.string())}, numbers)
    kinds = narrow(texts, file.decimal)
    return [name for name in numbers if kinds.get(name) == pa.string()]


def stream_csv_file(
    file: CsvFile, types: Mapping[str, pa.DataType], columns: Sequence[str] = ()
) -> Generator[pa.RecordBatch]:
    """Read a file piece by piece with fixed types; `columns` in this order, else in the file's."""
    if file.is_header_only:
        return
    try:
        with (
            open_text(file.place, file.encoding) as stream,
            arrow_csv.open_csv(stream, **file.options(types, columns)) as reader,
        ):
            yield from reader
    except pa.ArrowException as error:
        raise broken_csv(file, error, None) from error


def watch_csv_file(file: CsvFile, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    """Read as `stream_csv_file` does, and check the quotes.

    pa.ArrowInvalid: a value does not have, or may not have, its column's type.
    """
    if file.is_header_only:
        return
    watch = None
    try:
        with open_text(file.place, file.encoding) as stream:
            watch = QuoteWatch(stream, file.delimiter)
            with arrow_csv.open_csv(watch, **file.options(types)) as reader:
                yield from reader
    except pa.ArrowException as error:
        if _is_misled(error):
            raise
        raise broken_csv(file, error, watch) from error
    if watch.problem is not None:
        raise InputError(f"{file.place.shown}: {watch.problem}")
    if watch.has_odd_numbers and not all(map(pa.types.is_string, types.values())):
        raise pa.ArrowInvalid("conversion error: 0x1F and nan(1) are no numbers")


def _is_misled(error: pa.ArrowException) -> bool:
    """Whether a value has not the type that those before it had."""
    return "conversion error" in str(error) and "UTF8" not in str(error)
