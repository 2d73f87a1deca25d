"""Ground truth out of files and bodies, by the readers of all data, chunk by chunk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.labels.labels import LABEL_SCHEMA
from driftline.capture.labels.records import MAX_ROW_INDEX, LabelNames, label_table
from driftline.errors import InputError
from driftline.formats.csv.errors import quote_problem
from driftline.formats.csv.files import CsvFile, stream_csv_file
from driftline.formats.data_files import form_of
from driftline.formats.dialect import Dialect
from driftline.formats.formats import FORMATS
from driftline.formats.json.documents import documents
from driftline.formats.location import Body, Location, locate
from driftline.formats.media_types import TextFormat
from driftline.formats.opening import NotUtf8Error, find_encoding, read_head
from driftline.formats.parquet.files import open_parquet, scanned

_RECORDS_AT_ONCE = 1 << 15
_DECIMAL_COMMA = r"^(\s*[+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?\s*)$"


def read_label_file(
    file: str | os.PathLike[str] | Location,
    names: LabelNames = LabelNames(),  # noqa: B008 - frozen
) -> Iterator[pa.Table]:
    """Read a file of labels; its content tells the format. Compressed text is unpacked."""
    place = file if isinstance(file, Location) else locate(file)
    form = form_of(read_head(place), place.shown)
    if form == "parquet":
        yield from _from_parquet(place, names)
    elif form == "json" or form == "csv":
        yield from _from_text(place, form, names)
    else:
        title = FORMATS[form].title
        raise InputError(f"{place.shown}: {title}; expected labels as CSV, JSON Lines or Parquet")


def read_label_body(
    body: bytes,
    form: TextFormat,
    names: LabelNames = LabelNames(),  # noqa: B008 - frozen
) -> Iterator[pa.Table]:
    """Read labels that came as bytes of a declared form; like ``read_label_file``."""
    place = Body(body, "body")
    if not body.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InputError("body: nothing in it; expected labels")
    return _from_text(place, form, names)


def _from_text(place: Location, form: str, names: LabelNames) -> Iterator[pa.Table]:
    """Read CSV or JSON; labels have no option that names another encoding."""
    try:
        yield from (_from_csv if form == "csv" else _from_json)(place, names)
    except NotUtf8Error as error:
        raise InputError(
            f"{place.shown}: line {error.line} is not UTF-8; save it as UTF-8"
        ) from error


def _from_json(place: Location, names: LabelNames) -> Iterator[pa.Table]:
    records = _records(place)
    while chunk := list(islice(records, _RECORDS_AT_ONCE)):
        places, values = zip(*chunk, strict=True)
        yield label_table(values, names, [f"{place.shown}, {one}" for one in places])


def _records(place: Location) -> Iterator[tuple[str, object]]:
    """Read one record after the other, each with the place where it stands."""
    for line, value in documents(place, find_encoding(read_head(place))):
        if isinstance(value, list):  # All of them on one line.
            yield from ((f"record {number}", one) for number, one in enumerate(value, 1))
        else:
            yield f"line {line}", value


def _from_csv(place: Location, names: LabelNames) -> Iterator[pa.Table]:
    """Read CSV with a header, as text; the rows before a broken one are not given."""
    file = CsvFile.look(place, read_head(place), None, Dialect(header=True))
    if (problem := quote_problem(file)) is not None:
        raise InputError(f"{place.shown}: {problem}")
    fields = [name.strip() for name in file.names]
    ids, wanted = _columns(fields, place.shown, names)
    done = 0
    for batch in stream_csv_file(file, dict.fromkeys(file.names, pa.string())):
        table = pa.Table.from_batches([batch]).rename_columns(fields).select(wanted)
        if file.decimal != ".":
            at = wanted.index(names.label)
            points = pc.replace_substring_regex(table[names.label], _DECIMAL_COMMA, r"\1.\2")
            table = table.set_column(at, names.label, points)
        yield _from_columns(table, ids, place.shown, names, done)
        done += batch.num_rows


def _from_parquet(place: Location, names: LabelNames) -> Iterator[pa.Table]:
    dataset = open_parquet([place])
    ids, wanted = _columns(dataset.schema.names, place.shown, names)
    schema = pa.schema([dataset.schema.field(name) for name in wanted])
    done = 0
    for batch in scanned(dataset.replace_schema(schema), place.shown, schema):
        columns = [
            _as_texts(_as_ids(column, name, place.shown) if name in ids else column, name, place)
            for name, column in zip(wanted, batch.columns, strict=True)
        ]
        yield _from_columns(pa.table(columns, names=wanted), ids, place.shown, names, done)
        done += batch.num_rows


def _as_ids(column: pa.Array, name: str, shown: str) -> pa.Array:
    """Return ids that pandas has made floats as the whole numbers that they were."""
    if not pa.types.is_floating(column.type):
        return column
    ids = pc.if_else(pc.is_nan(column), None, column.cast(pa.float64()))
    is_exact = pc.and_(pc.equal(ids, pc.round(ids)), pc.less(pc.abs(ids), 2.0**53))
    if not pc.all(is_exact).as_py():
        raise InputError(
            f'{shown}: column "{name}" has numbers with a point; expected ids as texts'
        )
    return ids.cast(pa.int64())


def _as_texts(column: pa.Array, name: str, place: Location) -> pa.Array:
    """Return the values of a column as texts; NaN, which is how pandas writes it, is no value."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:  # By Arrow's cast, not as data is read: an id is joined by its exact text.
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f'{place.shown}: column "{name}" of type {column.type}; expected one value a row'
        ) from error


def _columns(held: Sequence[str], shown: str, names: LabelNames) -> tuple[list[str], list[str]]:
    """Return the columns that may hold ids, and all that are read."""
    ids = [name for name in names.ids if name in held]
    if "id" in ids:
        ids = ["id"]
    if not ids or names.label not in held:
        columns = ", ".join(held[:20]) or "none"
        raise InputError(
            f"{shown}: columns {columns}; expected {' or '.join(names.ids)}, and {names.label}"
        )
    rows = [names.row_index] if names.row_index in held else []
    wanted = [*ids, names.label, *rows]
    if twice := [name for name in wanted if list(held).count(name) > 1]:
        raise InputError(f'{shown}: column "{twice[0]}" stands twice; expected it once')
    return ids, wanted


def _from_columns(
    table: pa.Table, ids: Sequence[str], shown: str, names: LabelNames, done: int
) -> pa.Table:
    """Return columns of texts in the schema of labels; ``done`` rows came before."""
    filled = [pc.if_else(pc.equal(table[name], ""), None, table[name]) for name in ids]
    key = pc.coalesce(*filled)
    if key.null_count:
        row = done + pc.index(pc.is_null(key), True).as_py() + 1
        raise InputError(f"{shown}, row {row}: no {' or '.join(ids)}; expected the request's id")
    index = pa.nulls(table.num_rows, pa.int32())
    if names.row_index in table.column_names:
        index = _indices(table[names.row_index], shown, names, done)
    return pa.Table.from_arrays([key, index, table[names.label]], schema=LABEL_SCHEMA)


def _indices(texts: pa.ChunkedArray, shown: str, names: LabelNames, done: int) -> pa.ChunkedArray:
    trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), r"\.0*$", "")
    trimmed = pc.fill_null(pc.if_else(pc.equal(trimmed, ""), "0", trimmed), "0")
    fits = pc.match_substring_regex(trimmed, f"^[0-9]{{1,{len(str(MAX_ROW_INDEX))}}}$")
    at = pc.index(fits, False).as_py()
    if at >= 0:
        raise InputError(
            f'{shown}, row {done + at + 1}: {names.row_index} "{trimmed[at].as_py()[:40]}"; '
            "expected a whole number from 0"
        )
    return trimmed.cast(pa.int32())
