"""The columns that SQL reads: each in the form that a check needs, missing values NULL.

A value that does not fit a type is a misfit, and is told from a missing one; of captured rows a map
holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.baseline.row_hashes import hash_rows, is_captured, present
from driftline.capture.windows.window import ROW_IDS
from driftline.errors import InputError
from driftline.formats.arrow_types import is_list
from driftline.formats.coercion import coerce, unfit_mask
from driftline.signature import ColumnType

Maker = Callable[[pa.RecordBatch], pa.Array]
# How a query names the columns; none of a user's own begin so.
PREFIX = "_driftline_"


class PreparedColumns:
    """The columns that queries over some rows need, each once, by the names that they have there.

    ``types``: of columns that a reference knows; values are read so where they came otherwise.
    """

    def __init__(self, types: Mapping[str, ColumnType]) -> None:
        self._types = types
        self._names: dict[object, str] = {}
        self._makers: list[Maker] = []
        self._schema: pa.Schema | None = None

    def name(self, form: str, columns: Sequence[str]) -> str:
        """Return the name of a column in a form of `FORMS`, or of several as one ``key``."""
        if form == "key":
            return self.own(("key", *columns), partial(_key, columns))
        make = partial(FORMS[form], column=columns[0])
        if form == "value":
            make = partial(_value, column=columns[0], kind=self._types.get(columns[0]))
        return self.own((form, columns[0]), make)

    def own(self, key: object, make: Maker) -> str:
        """Return the name of a column that a check makes by itself."""
        if key not in self._names:
            self._names[key] = f"{PREFIX}{len(self._makers)}"
            self._makers.append(make)
        return self._names[key]

    def make(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the columns of one batch, each of the type that it had in the first."""
        arrays = [make(batch) for make in self._makers]
        if not arrays:  # Their number is kept by some column.
            arrays = [pa.nulls(batch.num_rows, pa.bool_())]
        names = [f"{PREFIX}{at}" for at in range(len(arrays))]
        if self._schema is None:
            types = [pa.string() if pa.types.is_null(one.type) else one.type for one in arrays]
            self._schema = pa.schema(zip(names, types, strict=True))
        return pa.RecordBatch.from_arrays(
            [_fitting(one, field) for one, field in zip(arrays, self._schema, strict=True)],
            schema=self._schema,
        )


def _fitting(array: pa.Array, field: pa.Field) -> pa.Array:
    if array.type == field.type:
        return array
    try:
        return array.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"rules need one type for each column: {error}") from error


def _value(batch: pa.RecordBatch, column: str, kind: ColumnType | None) -> pa.Array:
    """Return a column as a user's SQL sees it; times are UTC, without a zone."""
    array = batch.column(column)
    if kind is not None and not is_list(array.type):
        array = coerce(array, kind)[0]
    return _without_zone(present(array))


def _without_zone(array: pa.Array) -> pa.Array:
    """Return times without their zone, which DuckDB would need an extension for."""
    is_zoned = pa.types.is_timestamp(array.type)
    return array.cast(pa.timestamp("us")) if is_zoned else array


def text_of(batch: pa.RecordBatch, column: str) -> pa.Array:
    """Return a column as text, null where there is no value; misfits are included."""
    text = present(coerce(batch.column(column), "string")[0])
    if not is_captured(batch):
        return text
    kept = pc.map_lookup(batch.column(UNFIT), column, "first")
    return pc.coalesce(text, kept.cast(pa.string()))


def _number(batch: pa.RecordBatch, column: str) -> pa.Array:
    """Return a column as numbers; whole ones stay whole, exact beyond 2^53."""
    return present(coerce(batch.column(column), _number_kind(batch, column))[0])


def _number_kind(batch: pa.RecordBatch, column: str) -> ColumnType:
    return "int64" if pa.types.is_integer(batch.column(column).type) else "double"


def _time(batch: pa.RecordBatch, column: str) -> pa.Array:
    return _without_zone(present(coerce(batch.column(column), "timestamp")[0]))


def _misfit(batch: pa.RecordBatch, column: str, *, is_time: bool = False) -> pa.Array:
    """Mark the values that are no number, or no time."""
    kind = "timestamp" if is_time else _number_kind(batch, column)
    unfit = unfit_mask(batch.column(column), kind)
    if is_captured(batch):
        kept = pc.map_lookup(batch.column(UNFIT), column, "first")
        unfit = pc.or_(unfit, pc.is_valid(kept))
    return unfit


FORMS: Mapping[str, Callable[..., pa.Array]] = {
    "value": _value,
    "text": text_of,
    "number": _number,
    "time": _time,
    "number_misfit": _misfit,
    "time_misfit": partial(_misfit, is_time=True),
}


def _key(columns: Sequence[str], batch: pa.RecordBatch) -> pa.Array:
    """Return one hash of several columns, null where none has a value."""
    hashes, known = hash_rows(batch, columns)
    if len(columns) == 1 and _is_of_request(batch, columns[0], "inference_id"):
        # All rows of a request share its id, which is thereby not repeated.
        known = known & pc.equal(batch.column("row_index"), 0).to_numpy(zero_copy_only=False)
    return pa.array(hashes, mask=~known)


def whole_row(batch: pa.RecordBatch, ignore: Sequence[str]) -> tuple[str, ...]:
    """Name the columns that whole rows are compared in, in one order whatever order they have."""
    own = {*ROW_IDS, UNFIT} if is_captured(batch) else set()
    left = set(batch.schema.names) - own - set(ignore)
    # A row that is sent again comes with another id, and at another time.
    sent = [
        name
        for name in left
        if any(_is_of_request(batch, name, meta) for meta in ("inference_id", "event_time"))
    ]
    return tuple(sorted(left.difference(sent)))


def _is_of_request(batch: pa.RecordBatch, column: str, meta: str) -> bool:
    """Whether a column of captured rows is the request's own id or time, under whatever name."""
    if not is_captured(batch) or batch.schema.get_field_index(meta) < 0:
        return False
    return bool(batch.column(column).equals(batch.column(meta)))
