"""Types as SageMaker's analyzer infers them: from the text of each value. Only --compat uses it.

``12`` is Integral, ``12.0`` Fractional, ``true`` Boolean. Any other value makes the whole column
String: ``N/A``, ``.5``, ``1.2e+01``.

References
----------
awslabs/deequ 2.0.2, ``StatefulDataType`` and ``DataTypeHistogram.determineType``; without its
branch for exponents, which SageMaker's documentation tells users to rewrite.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.baseline.schema import signature_of
from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, plain_array
from driftline.formats.coercion import coerce, is_missing
from driftline.formats.data_files import data_files, form_of
from driftline.formats.dialect import AS_FOUND, Dialect
from driftline.formats.json.documents import documents
from driftline.formats.opening import find_encoding, read_head
from driftline.formats.parquet.files import delta_dataset
from driftline.formats.source import Files, Source, open_source
from driftline.signature import ColumnType, Signature

KINDS = ("Unknown", "Fractional", "Integral", "Boolean", "String")
UNKNOWN, FRACTIONAL, INTEGRAL, BOOLEAN, STRING = range(len(KINDS))
# Deequ's expressions; the optional blank is theirs, too.
EXPRESSIONS = (
    (FRACTIONAL, r"^[-+]? ?\d+\.\d+$"),
    (INTEGRAL, r"^[-+]? ?\d+$"),
    (BOOLEAN, r"^(?:true|false)$"),
)
# The type that values of a column's type are carried in; times are text to the analyzer.
CARRIED: dict[str, ColumnType] = {
    "Unknown": "string",
    "Fractional": "double",
    "Integral": "int64",
    "Boolean": "bool",
    "String": "string",
}
# The types that meet an expected one; the documents call Boolean columns String, too.
MATCHING = {kind: [code] for code, kind in enumerate(KINDS)} | {"String": [STRING, BOOLEAN]}
POSITION = re.compile(r"_c\d+\Z")


def kinds_of(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """Return the type of each value of a column: int8 indices into `KINDS`, 0 for a missing value.

    Numbers of an Arrow number type keep that type, whatever their text looks like.
    """
    codes = _codes(plain_array(batch.column(name)))
    lost = lost_texts(batch, name)
    if lost is not None:
        codes = np.where(codes == UNKNOWN, _codes(lost), codes)
    return codes


def _codes(array: pa.Array) -> np.ndarray:
    missing = is_missing(array).to_numpy(zero_copy_only=False)
    if not pa.types.is_string(array.type):
        kind = STRING
        for code, test in (
            (FRACTIONAL, pa.types.is_floating),
            (INTEGRAL, pa.types.is_integer),
            (BOOLEAN, pa.types.is_boolean),
        ):
            kind = code if test(array.type) else kind
        return np.where(missing, UNKNOWN, kind).astype(np.int8)
    codes = np.full(len(array), STRING, dtype=np.int8)
    for code, expression in EXPRESSIONS:
        found = pc.fill_null(pc.match_substring_regex(array, expression), fill_value=False)
        codes[found.to_numpy(zero_copy_only=False)] = code
    codes[missing] = UNKNOWN
    return codes


def values_of(batch: pa.RecordBatch, name: str, kind: ColumnType) -> pa.Array:
    """Return a column's values in a type, those that capture found unfit among them."""
    values, _ = coerce(batch.column(name), kind)
    lost = lost_texts(batch, name)
    return values if lost is None else pc.coalesce(values, coerce(lost, kind)[0])


def lost_texts(batch: pa.RecordBatch | pa.Table, name: str) -> pa.Array | None:
    """Return the texts that did not fit their type in a captured window; None where all did."""
    if not _has_lost(batch):
        return None
    found = pc.map_lookup(batch.column(UNFIT), name, "first")
    return found if found.null_count < len(found) else None


def _has_lost(batch: pa.RecordBatch | pa.Table) -> bool:
    return UNFIT in batch.schema.names and pa.types.is_map(batch.schema.field(UNFIT).type)


@dataclass(slots=True)
class KindCounter:
    """Counts, by column, how many values are of each type; grows by `update`."""

    leave_out: frozenset[str] = frozenset()  # Columns that are none of the data.
    row_count: int = 0
    # By column, in order of appearance: int64, shape (len(KINDS),).
    counts: dict[str, np.ndarray] = field(default_factory=dict)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        found = {
            name: np.bincount(kinds_of(batch, name), minlength=len(KINDS))
            for name in batch.schema.names
            if name not in self.leave_out
        }
        self._add(found, batch.num_rows)

    def merge(self, other: KindCounter) -> KindCounter:
        """Return the counts of the rows of both; neither changes."""
        merged = KindCounter(self.leave_out, self.row_count, dict(self.counts))
        merged._add(other.counts, other.row_count)
        return merged

    def _add(self, found: Mapping[str, np.ndarray], rows: int) -> None:
        """Add counts; the rows of a missing column have no value in it."""
        for name in dict.fromkeys([*self.counts, *found]):
            earlier, more = self.counts.get(name), found.get(name)
            self.counts[name] = (_nothing(self.row_count) if earlier is None else earlier) + (
                _nothing(rows) if more is None else more
            )
        self.row_count += rows

    def present(self, name: str) -> int:
        """Return the number of rows that hold a value."""
        counts = self.counts[name]
        return int(counts.sum() - counts[UNKNOWN])

    def matching(self, name: str, expected: str) -> int:
        """Return the number of values whose own type is the expected one, one of `KINDS`."""
        return int(self.counts[name][MATCHING[expected]].sum())

    def kind(self, name: str) -> str:
        """Return the common type of a column's values, String where they differ."""
        _, fractional, integral, boolean, string = self.counts[name] > 0
        if string or (boolean and (fractional or integral)):
            return "String"
        if boolean:
            return "Boolean"
        return "Fractional" if fractional else "Integral" if integral else "Unknown"

    def signature(self) -> Signature:
        """Return the columns in the types that carry them, all as features."""
        return signature_of({name: CARRIED[self.kind(name)] for name in self.counts})


def _nothing(rows: int) -> np.ndarray:
    counts = np.zeros(len(KINDS), dtype=np.int64)
    counts[UNKNOWN] = rows
    return counts


def open_texts(data: object, signature: Signature | None = None) -> Source:
    """Open data so that text in a file stays text; parameters as of `open_source`.

    As in the analyzer, columns without names take the reference's names by position, outputs first;
    the rest are named ``_c12`` …
    """
    if isinstance(data, Files):
        dialect, data = data.dialect, list(data.paths)
    else:
        dialect = AS_FOUND
    parts = list(data) if isinstance(data, list | tuple) else [data]
    paths = [part for part in parts if isinstance(part, str | os.PathLike)]
    if not paths or len(paths) < len(parts):
        return open_source(data, signature=signature, dialect=dialect)
    captured = _are_captured(paths, dialect)
    # Lines of capture would be named after the columns' roles, which the analyzer does not know.
    known = None if captured else signature
    source = open_source(data, signature=known, dialect=dialect)
    texts = signature_of(dict.fromkeys(source.schema.names, "string"))
    source = open_source(data, signature=texts, dialect=dialect)
    names = source.schema.names
    if signature is None or not all(map(POSITION.match, names)):
        return source
    columns = [column.name for column in signature.columns]
    return _renamed(source, [*columns, *names[len(columns) :]][: len(names)])


def _are_captured(paths: Sequence[str | os.PathLike[str]], dialect: Dialect) -> bool:
    """Whether files hold capture lines; InputError where the analyzer could not read them."""
    if delta_dataset(paths[0]) is not None:
        return False
    for file in (file for path in paths for file in data_files(path)):
        head = read_head(file)
        if form_of(head, file.shown, dialect.encoding) != "json":
            return False
        for line, record in documents(file, find_encoding(head, dialect.encoding)):
            sides = record.get("captureData") if isinstance(record, Mapping) else None
            if not isinstance(sides, Mapping):
                return False
            codes = [
                side.get("encoding") if isinstance(side := sides.get(name), Mapping) else None
                for name in ("endpointInput", "endpointOutput")
            ]
            if None not in codes and codes[0] != codes[1]:
                raise InputError(
                    f"{file.shown}: line {line}: Error: Encoding mismatch: Encoding is {codes[0]} "
                    f"for endpointInput, but Encoding is {codes[1]} for endpointOutput. We "
                    "currently only support the same type of input and output encoding at the "
                    "moment. (So SageMaker says; without compat such lines are read.)"
                )
    return True


def _renamed(source: Source, names: Sequence[str]) -> Source:
    types = source.schema.types
    schema = pa.schema(list(zip(names, types, strict=True)))

    def read() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    return Source(schema, read, source.textual, source.row_count)


def analyzed(data: object, *, times: Sequence[str] = ()) -> Source:
    """Open data with the types that the analyzer would infer, for a baseline."""
    source = open_texts(data)
    counter = KindCounter()
    for batch in source.batches():
        counter.update(batch)
    types = {name: CARRIED[counter.kind(name)] for name in counter.counts}
    types |= {name: "timestamp" for name in times if name in types}
    # Without rows there are no types, but columns.
    chosen = {name: types.get(name, "string") for name in source.schema.names}
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in chosen.items()])

    def read() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            columns = [coerce(batch.column(name), kind)[0] for name, kind in chosen.items()]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return Source(schema, read, source.textual, source.row_count)


def marked(batch: pa.RecordBatch, expected: Mapping[str, str]) -> pa.RecordBatch:
    """Mark values of another type than expected in the map column ``unfit``."""
    names = [name for name in expected if name in batch.schema.names]
    if not names:
        return batch
    found: list[tuple[np.ndarray, list[str], list[str | None]]] = []
    if _has_lost(batch):
        held = [
            (row, key, text)
            for row, entries in enumerate(batch.column(UNFIT).to_pylist())
            for key, text in entries or ()
            if key not in expected
        ]
        if held:
            kept, keys, items = zip(*held, strict=True)
            found.append((np.array(kept), list(keys), list(items)))
    for name in names:
        codes = kinds_of(batch, name)
        at = np.flatnonzero(~np.isin(codes, [UNKNOWN, *MATCHING[expected[name]]]))
        texts = values_of(batch, name, "string").take(pa.array(at)).to_pylist()
        found.append((at, [name] * len(at), texts))
    rows = np.concatenate([part for part, _, _ in found])
    order = np.argsort(rows, kind="stable")
    all_keys = [key for _, part, _ in found for key in part]
    all_items = [item for _, _, part in found for item in part]
    lengths = np.bincount(rows.astype(np.int64), minlength=batch.num_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    array = pa.MapArray.from_arrays(
        pa.array(offsets),
        pa.array([all_keys[index] for index in order], pa.string()),
        pa.array([all_items[index] for index in order], pa.string()),
    )
    others = [name for name in batch.schema.names if name != UNFIT]
    columns = [*(batch.column(name) for name in others), array]
    return pa.RecordBatch.from_arrays(columns, names=[*others, UNFIT])
