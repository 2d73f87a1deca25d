"""CSV to Arrow: header or none, delimiter, types from the text itself or from a signature."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from driftline.baseline.coercion import NULL_TEXTS, NUMBER, coerce
from driftline.baseline.location import Location
from driftline.errors import InputError
from driftline.signature import Column, ColumnType, Signature

__all__ = ["CsvFile", "narrow", "position_names", "read_csv_file", "stream_csv_file"]

BLOCK_BYTES = 1 << 24
DELIMITERS = ",;\t|"
QUOTED = re.compile(r'"[^"]*"')
HEAD_BYTES = 1 << 20
TRIED_TYPES = (
    pa.int64(),
    pa.float64(),
    pa.bool_(),
    pa.timestamp("us", "UTC"),
    pa.timestamp("us"),
)


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file after a look at its first line.

    Parameters
    ----------
    place
        Where it lies.
    delimiter
        One of ``, ; tab |``.
    has_header
        Whether the first line holds names; it does not when all its fields are numbers, nor when it
        reads as a row of the signature and names none of its columns.
    names
        The columns.
    texts
        Columns that a signature holds to be text: never read as numbers.
    blank_lines
        Lines before the first one that holds something.
    """

    place: Location
    delimiter: str
    has_header: bool
    names: tuple[str, ...]
    texts: frozenset[str]
    blank_lines: int = 0

    @classmethod
    def look(cls, place: Location, head: bytes, signature: Signature | None) -> CsvFile:
        """Find delimiter and names from the file's first bytes.

        Raises
        ------
        InputError
            When there is nothing in it, a name is missing or stands twice.
        """
        text = head[:HEAD_BYTES].decode("utf-8-sig", "replace")
        if not text.strip():
            raise InputError(f"{place.shown}: the file is empty; expected a CSV with rows")
        begin = text.lstrip("\r\n")
        line = QUOTED.sub("", begin).splitlines()[0]
        delimiter = max(DELIMITERS, key=lambda sign: (line.count(sign), sign == ","))
        try:
            # Without newline=None an old Mac's line ends would stand inside of fields.
            fields = next(csv.reader(io.StringIO(begin, newline=None), delimiter=delimiter))
        except csv.Error as error:
            raise InputError(f"{place.shown}: not readable as CSV ({error})") from error
        has_header = not _is_data(fields) and not _is_row(fields, signature)
        names = fields if has_header else position_names(len(fields), signature)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(
                f'{place.shown}: column "{twice[0]}" stands twice in the header; rename one'
            )
        texts = frozenset(
            column.name
            for column in (signature.columns if signature else ())
            if column.type == "string"
        )
        blank = len(text[: len(text) - len(begin)].splitlines())
        return cls(place, delimiter, has_header, tuple(names), texts & set(names), blank)

    def options(self, types: dict[str, pa.DataType]) -> dict[str, object]:
        """Give Arrow's reader options."""
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
                null_values=list(NULL_TEXTS),
                strings_can_be_null=False,
                column_types={**{name: pa.string() for name in self.texts}, **types},
            ),
        }


def position_names(count: int, signature: Signature | None) -> list[str]:
    """Name columns that came without names: by the signature when the count fits, else ``_c0`` ….

    Tried in this order: all columns; inputs and outputs; inputs; features of every role.
    """
    columns = _columns_by_count(count, signature)
    return [column.name for column in columns] or [f"_c{index}" for index in range(count)]


def _columns_by_count(count: int, signature: Signature | None) -> Sequence[Column]:
    if signature is not None:
        inputs, outputs = signature.inputs, signature.outputs
        for columns in (signature.columns, (*outputs, *inputs), inputs, signature.features):
            if len(columns) == count:
                return columns
    return ()


def _is_data(fields: Sequence[str]) -> bool:
    """Say whether a first line is a row: every field a number or blank, one at least a number."""
    filled = [field.strip() for field in fields if field.strip()]
    return bool(filled) and all(re.match(NUMBER, field) for field in filled)


def _is_row(fields: Sequence[str], signature: Signature | None) -> bool:
    """Say whether a first line that holds text is a row of the signature all the same.

    It names no known column, has as many fields as are expected, and where numbers, truth values or
    times are expected there is one: a header with other names has none.
    """
    columns = _columns_by_count(len(fields), signature)
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


def read_csv_file(file: CsvFile) -> pa.Table:
    """Read a whole file; a column that is not all numbers is text.

    Raises
    ------
    InputError
        When a row has too many or too few fields, naming the row.
    """
    with file.place.system.open_input_stream(file.place.path) as stream:
        try:
            table = arrow_csv.read_csv(stream, **file.options({}))
        except pa.ArrowInvalid as error:
            raise _broken(file, error) from error
    for column in table.schema:
        if pa.types.is_binary(column.type):  # Arrow's type for text that is not UTF-8.
            raise _not_utf8(file)
    return table


def stream_csv_file(file: CsvFile, types: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    """Read a file piece by piece with fixed types."""
    with file.place.system.open_input_stream(file.place.path) as stream:
        try:
            with arrow_csv.open_csv(stream, **file.options(types)) as reader:
                yield from reader
        except pa.ArrowInvalid as error:
            raise _broken(file, error) from error


def _broken(file: CsvFile, error: pa.ArrowInvalid) -> InputError:
    """Say which row is ragged; Arrow knows it only when it reads with one thread."""
    text = str(error)
    if "UTF8" in text:
        return _not_utf8(file)
    if "Expected" in text and "Row #" not in text:
        options = file.options({name: pa.string() for name in file.names})
        read_options = options["read_options"]
        assert isinstance(read_options, arrow_csv.ReadOptions)  # Made just above.
        read_options.use_threads = False
        try:
            with file.place.system.open_input_stream(file.place.path) as stream:
                for _ in arrow_csv.open_csv(stream, **options):
                    pass
        except pa.ArrowInvalid as precise:
            text = str(precise)
    match = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", text)
    if match is None:
        return InputError(f"{file.place.shown}: not readable as CSV ({text})")
    line = f"line {match[1]} has" if match[1] else "a line has"
    fields = "field" if match[3] == "1" else "fields"
    return InputError(
        f"{file.place.shown}: {line} {match[3]} {fields}, expected {match[2]} as in the first "
        "line; quote fields that contain the delimiter"
    )


def _not_utf8(file: CsvFile) -> InputError:
    return InputError(f"{file.place.shown}: the text is not UTF-8; expected it, save the file so")


def narrow(batches: Iterable[pa.RecordBatch]) -> dict[str, pa.DataType]:
    """Find for each text column the narrowest type that all its values have.

    Blank fields and their like are no values; a column of nothing else stays text.
    """
    left: dict[str, tuple[pa.DataType, ...]] = {}
    names: dict[str, None] = {}
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            names.setdefault(name)
            values = column.filter(pc.invert(pc.is_in(column, value_set=_NOTHING)))
            if len(values):
                tried = left.get(name, TRIED_TYPES)
                left[name] = tuple(kind for kind in tried if _casts(values, kind))
    return {name: next(iter(left.get(name, ())), pa.string()) for name in names}


_NOTHING = pa.array([*NULL_TEXTS, None], pa.string())


def _casts(texts: pa.Array, wanted: pa.DataType) -> bool:
    try:
        texts.cast(wanted)
    except pa.ArrowInvalid:
        return False
    return True
