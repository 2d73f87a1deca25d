"""JSON files of any size to Arrow, in two readings: the first finds columns and types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import InputError
from driftline.formats.arrow_types import plain_type
from driftline.formats.coercion import MISSING, text_array
from driftline.formats.dialect import Dialect
from driftline.formats.json.rows import INPUT, OUTPUT, Row, RowReader, Slot, slot_names
from driftline.formats.location import Location
from driftline.formats.opening import are_small, find_encoding, read_head
from driftline.formats.type_inference import one_type, still_fitting
from driftline.signature import Signature

# Values that are held as Python's own at a time.
CHUNK_VALUES = 1 << 19
# So many first bytes tell the encoding.
_LOOKED_BYTES = 1 << 12


def open_json(
    places: Sequence[Location], signature: Signature | None, dialect: Dialect
) -> pa.Table | JsonRows:
    """Open files of rows or capture lines: in memory, where they are small."""
    files = [
        JsonFile(place, find_encoding(read_head(place, _LOOKED_BYTES), dialect.encoding))
        for place in places
    ]
    rows = JsonRows.open(files, signature, dialect.names)
    return pa.Table.from_batches(rows(), rows.schema) if are_small(places) else rows


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A file and how its text is written."""

    place: Location
    encoding: str


@dataclass(frozen=True, slots=True)
class JsonRows:
    """Rows of JSON files, read piece by piece."""

    files: tuple[JsonFile, ...]
    signature: Signature | None
    columns: Mapping[str, tuple[Slot, ...]]
    schema: pa.Schema
    row_count: int
    given: tuple[str, ...] = ()  # The user's names of columns without any.

    @classmethod
    def open(
        cls, files: Sequence[JsonFile], signature: Signature | None, given: Sequence[str] = ()
    ) -> JsonRows:
        """Read all of it once, for columns and types."""
        survey = _Survey()
        reader = RowReader(signature, given)
        for file in files:
            for rows in _chunks(file, reader):
                survey.add(file, rows)
        if not survey.row_count:
            raise InputError(f"{files[0].place.shown}: the file holds no rows")
        names = slot_names(
            list(survey.kinds), survey.widths, signature, given, files[0].place.shown
        )
        columns: dict[str, tuple[Slot, ...]] = {}
        for slot, name in names.items():
            columns[name] = (*columns.get(name, ()), slot)
        texts = {
            column.name
            for column in (signature.columns if signature else ())
            if column.type == "string"
        }
        schema = pa.schema(
            (name, pa.string() if name in texts else _type_of([survey.kinds[s] for s in slots]))
            for name, slots in columns.items()
        )
        return cls(tuple(files), signature, columns, schema, survey.row_count, tuple(given))

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """Read all rows."""
        reader = RowReader(self.signature, self.given)
        for file in self.files:
            for rows in _chunks(file, reader):
                arrays = [
                    _array([_value(row, self.columns[one.name]) for _, row in rows], one.type)
                    for one in self.schema
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _chunks(file: JsonFile, reader: RowReader) -> Iterator[list[tuple[int, Row]]]:
    held: list[tuple[int, Row]] = []
    values = 0
    for line, row in reader.rows(file.place, file.encoding):
        held.append((line, row))
        values += len(row) + 1
        if values >= CHUNK_VALUES:
            yield held
            held, values = [], 0
    if held:
        yield held


def _value(row: Row, slots: tuple[Slot, ...]) -> Any:  # noqa: ANN401 # A value of JSON.
    for slot in slots:
        if slot in row:
            return row[slot]
    return None


@dataclass(slots=True)
class _Kinds:
    """The kinds of values that a slot was seen with."""

    types: set[pa.DataType] = field(default_factory=set)
    has_text: bool = False
    # What all texts so far can be read as; None when they were blank.
    fitting: tuple[pa.DataType, ...] | None = None

    def add(self, values: list[Any]) -> None:
        """Note the kinds of more values."""
        # Of a capture's sides one may be CSV, where numbers come as text, the other JSON.
        if texts := [value for value in values if isinstance(value, str)]:
            self.has_text = True
            self.fitting = still_fitting(text_array(texts), self.fitting)
        others = [value for value in values if value is not None and not isinstance(value, str)]
        if others:
            self.types.add(_kind(others))

    def join(self, other: _Kinds) -> _Kinds:
        """Return what both saw."""
        fitting = self.fitting if other.fitting is None else other.fitting
        if self.fitting is not None and other.fitting is not None:
            fitting = tuple(one for one in self.fitting if one in other.fitting)
        return _Kinds(self.types | other.types, self.has_text or other.has_text, fitting)

    @property
    def type(self) -> pa.DataType:
        """The type that all values go into; text when nothing else is."""
        is_blank = self.fitting is None and not any(map(pa.types.is_nested, self.types))
        if self.has_text and not (is_blank and self.types):
            texts = next(iter(self.fitting or ()), pa.string())
            return one_type({texts} | self.types)
        return one_type(self.types or {pa.string()})


def _kind(values: list[Any]) -> pa.DataType:
    """Return the type of values, not all of them text; text when Arrow has none for them."""
    try:
        return plain_type(pa.array(values).type)
    except (pa.ArrowException, OverflowError, ValueError, RecursionError):
        return pa.string()


def _type_of(kinds: Sequence[_Kinds]) -> pa.DataType:
    whole = kinds[0]
    for other in kinds[1:]:
        whole = whole.join(other)
    return whole.type


class _Survey:
    """The first reading: which slots there are, and of what kinds."""

    def __init__(self) -> None:
        self.kinds: dict[Slot, _Kinds] = {}
        self.widths: dict[str, int] = {}
        self.row_count = 0

    def add(self, file: JsonFile, rows: Sequence[tuple[int, Row]]) -> None:
        """Note slots and kinds of more rows of a file, each with its line."""
        for line, row in rows:
            self._measure(file, line, row)
        self.row_count += len(rows)
        found = dict.fromkeys(slot for _, row in rows for slot in row)
        for slot in found:
            kinds = self.kinds.setdefault(slot, _Kinds())
            kinds.add([row.get(slot) for _, row in rows])

    def _measure(self, file: JsonFile, line: int, row: Row) -> None:
        """Require as many values by position as in the first row that has any."""
        if isinstance(next(iter(row), ""), str) and isinstance(next(reversed(row), ""), str):
            return
        # Names may follow: those of the user for the input, and its label.
        side, index = next(slot for slot in reversed(row) if not isinstance(slot, str))
        widths = {side: index + 1}
        if side == INPUT and len(row) > index + 1:
            widths[OUTPUT] = len(row) - index - 1
        for side, width in widths.items():
            expected = self.widths.setdefault(side, width)
            if width != expected:
                where = f" of {side}" if side else ""
                raise InputError(
                    f"{file.place.shown}: line {line} has {width} "
                    f"{'value' if width == 1 else 'values'}{where}, expected "
                    f"{expected} as in the first row"
                )


def _array(values: list[Any], wanted: pa.DataType) -> pa.Array:
    """Make a column of a type that was found to fit."""
    if pa.types.is_string(wanted):
        return text_array(
            None
            if value is None or value != value  # NaN is no value in text, either.
            else value
            if isinstance(value, str)
            else json.dumps(value)
            for value in values
        )
    if any(isinstance(value, str) for value in values):
        found = text_array(value if isinstance(value, str) else None for value in values)
        blank = pc.is_in(found, value_set=MISSING)
        found = pc.if_else(blank, pa.scalar(None, pa.string()), pc.utf8_trim(found, " \t"))
        others = [None if isinstance(value, str) else value for value in values]
        return pc.coalesce(found.cast(wanted), _array(others, wanted))
    if pa.types.is_floating(wanted):
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, wanted)
