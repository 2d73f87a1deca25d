"""Ground truth out of files and bodies: JSON Lines, JSON, CSV and Parquet, chunk by chunk."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from driftline.capture.labels.labels import LABEL_SCHEMA
from driftline.capture.labels.records import MAX_ROW_INDEX, LabelNames, label_table
from driftline.errors import InputError

Form = Literal["jsonlines", "json", "csv", "parquet"]
# Opens a file at its beginning, as often as it is called.
_Opened = Callable[[], pa.NativeFile]

_BLOCK_BYTES = 8 << 20
_BOM = b"\xef\xbb\xbf"
_JSON_ERRORS = (ValueError, RecursionError)


def read_label_file(
    file: str | os.PathLike[str],
    names: LabelNames = LabelNames(),  # noqa: B008 - frozen
    *,
    filesystem: pafs.FileSystem | None = None,
    shown: str = "",
) -> Iterator[pa.Table]:
    """Read a file of labels; its content tells the format. Compressed text is unpacked."""
    path, system = os.fspath(file), filesystem or pafs.LocalFileSystem()
    named = shown or path
    try:
        with system.open_input_file(path) as raw:
            if raw.read(4) == b"PAR1":
                yield from _from_parquet(pq.ParquetFile(raw), named, names)
                return
        is_json = Path(path).suffix.lower() == ".json"
        yield from _from_text(
            partial(system.open_input_stream, path, compression="detect"),
            named,
            names,
            whole=is_json,
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{named}: cannot be read ({error})") from error


def read_label_body(
    body: bytes,
    form: Form,
    names: LabelNames = LabelNames(),  # noqa: B008 - frozen
    *,
    shown: str = "body",
) -> Iterator[pa.Table]:
    """Read labels that came as bytes of a declared form; like ``read_label_file``."""
    if form == "parquet":
        try:
            yield from _from_parquet(pq.ParquetFile(pa.BufferReader(body)), shown, names)
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"{shown}: not readable as Parquet ({error})") from error
    elif form == "csv":
        yield from _from_csv(partial(pa.BufferReader, body), shown, names)
    else:
        opened = partial(pa.BufferReader, body)
        yield from _from_text(opened, shown, names, whole=form == "json", is_json=True)


def _from_text(
    opened: _Opened, shown: str, names: LabelNames, *, whole: bool, is_json: bool = False
) -> Iterator[pa.Table]:
    """Read JSON or CSV; ``whole``: JSON that may stretch over several lines."""
    with opened() as stream:
        head = stream.read(_BLOCK_BYTES).removeprefix(_BOM)
        start = head.lstrip()[:1]
        if not start:
            raise InputError(f"{shown}: nothing in it; expected labels")
        joined = _Joined(head, stream)
        if start == b"[" or (whole and start == b"{"):
            yield from _from_json(joined.read(), shown, names)
            return
        if start == b"{" or is_json:
            yield from _from_lines(joined, shown, names)
            return
    yield from _from_csv(opened, shown, names)


class _Joined:
    """A stream whose beginning was already read."""

    def __init__(self, head: bytes, rest: pa.NativeFile) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        """Return some bytes, or all that are left."""
        data: bytes
        if size < 0:
            data, self._head = self._head + self._rest.read(), b""
        elif self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._rest.read(size)
        return data


def _from_json(text: bytes, shown: str, names: LabelNames) -> Iterator[pa.Table]:
    try:
        value = json.loads(text)
    except _JSON_ERRORS as error:
        if text.lstrip()[:1] != b"{":
            raise InputError(f"{shown}: not JSON ({error}); expected a list of objects") from None
        yield from _from_lines(io.BytesIO(text), shown, names)
        return
    records = value if isinstance(value, list) else [value]
    yield label_table(records, names, lambda number: f"{shown}, record {number + 1}")


def _from_lines(stream: Any, shown: str, names: LabelNames) -> Iterator[pa.Table]:  # noqa: ANN401 - any stream
    """Read an object a line, a block of lines at a time."""
    rest, first = b"", 1
    while block := stream.read(_BLOCK_BYTES):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if lines:
            yield _from_block(lines, first, shown, names)
        first += len(lines)
    if rest.strip():
        yield _from_block([rest], first, shown, names)


def _from_block(lines: Sequence[bytes], first: int, shown: str, names: LabelNames) -> pa.Table:
    filled = [(number, line) for number, line in enumerate(lines, first) if line.strip()]

    def place(number: int) -> str:
        return f"{shown}, line {filled[number][0]}"

    try:
        records = json.loads(b"[" + b",".join(line for _, line in filled) + b"]")
    except _JSON_ERRORS:
        records = []
    if len(records) != len(filled):
        # A line is broken, or holds several values: find it.
        records = []
        for number, (_, line) in enumerate(filled):
            try:
                records.append(json.loads(line))
            except _JSON_ERRORS as error:
                raise InputError(
                    f"{place(number)}: not JSON ({error}); expected an object a line"
                ) from None
    return label_table(records, names, place)


def _from_csv(opened: _Opened, shown: str, names: LabelNames) -> Iterator[pa.Table]:
    """Read CSV with a header, as text; the rows before a broken one are not given.

    pyarrow reads ahead in a thread of its own: of a file of its own, and closed before an error
    goes on. A stream in Python would be asked while the interpreter ends, which aborts it.
    """
    broken: list[pacsv.InvalidRow] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        broken.append(row)
        return "error"

    with opened() as stream:
        head = stream.read(1 << 16).removeprefix(_BOM)
    header, _, rest = head.partition(b"\n")
    try:
        fields = next(csv.reader([header.decode("utf-8", "replace").strip("\r")]), [])
    except csv.Error as error:
        raise InputError(
            f"{shown}: not readable as CSV with a header, in UTF-8 ({error})"
        ) from error
    ids, wanted = _columns([field.strip() for field in fields], shown, names)
    done = 0
    if not rest.strip():
        return
    try:
        with (
            opened() as stream,
            pacsv.open_csv(
                stream,
                # One thread, so that the number of a broken row is known.
                read_options=pacsv.ReadOptions(
                    use_threads=False, block_size=_BLOCK_BYTES, column_names=fields, skip_rows=1
                ),
                parse_options=pacsv.ParseOptions(
                    newlines_in_values=True, invalid_row_handler=refuse
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(fields, pa.string()), strings_can_be_null=False
                ),
            ) as reader,
        ):
            for batch in reader:
                table = pa.Table.from_batches([batch])
                table = table.rename_columns([name.strip() for name in fields])
                yield _from_columns(table.select(wanted), ids, shown, names, done)
                done += batch.num_rows
    except pa.ArrowInvalid as error:
        if broken:
            row = broken[0]
            raise InputError(
                f"{shown}, line {row.number}: {row.actual_columns} fields; expected "
                f"{row.expected_columns} as in the first line"
            ) from None
        raise InputError(f"{shown}: not readable as CSV with a header, in UTF-8") from error


def _from_parquet(file: pq.ParquetFile, shown: str, names: LabelNames) -> Iterator[pa.Table]:
    ids, wanted = _columns(file.schema_arrow.names, shown, names)
    done = 0
    for batch in file.iter_batches(columns=wanted, batch_size=1 << 17):
        columns = [
            _as_texts(_as_ids(column, name, shown) if name in ids else column, name, shown)
            for name, column in zip(wanted, batch.columns, strict=True)
        ]
        yield _from_columns(pa.table(columns, names=wanted), ids, shown, names, done)
        done += batch.num_rows


def _as_ids(column: pa.Array, name: str, shown: str) -> pa.Array:
    """Give ids that pandas has made floats as the whole numbers that they were."""
    if not pa.types.is_floating(column.type):
        return column
    ids = pc.if_else(pc.is_nan(column), None, column.cast(pa.float64()))
    is_exact = pc.and_(pc.equal(ids, pc.round(ids)), pc.less(pc.abs(ids), 2.0**53))
    if not pc.all(is_exact).as_py():
        raise InputError(
            f'{shown}: column "{name}" has numbers with a point; expected ids as texts'
        )
    return ids.cast(pa.int64())


def _as_texts(column: pa.Array, name: str, shown: str) -> pa.Array:
    """Write the values of a column as texts; NaN, which is how pandas writes it, is no value."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f'{shown}: column "{name}" of type {column.type}; expected one value a row'
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
