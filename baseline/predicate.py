"""A condition on one column that describes itself and marks its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.texts import shortened
from driftline.baseline.times import DAY, SECOND
from driftline.errors import InputError
from driftline.formats.coercion import coerce, is_missing, unfit_mask
from driftline.signature import ColumnType

Operator = Literal[
    "lt", "le", "gt", "ge", "between", "eq", "in", "not_in", "shorter", "longer", "null", "unfit"
]  # fmt: skip

UNFIT = "unfit"
"""Name of the map column in which captured windows carry what did not fit its type."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition that a row meets or not."""

    column: str
    # lt le gt ge eq compare with value, between also with below: value <= x < below; in and not_in
    # with values (a missing value is neither); null holds where there is no value; unfit where the
    # value does not fit the type named by value; shorter and longer compare a text's characters.
    op: Operator
    # A number or a text. With a number the column is read as numbers, with a text as text, and
    # with one that is compared as times.
    value: float | str | None = None
    values: tuple[str, ...] = ()  # The texts of in and not_in.
    within: Predicate | None = None  # The segment in which alone rows are meant; None: among all.
    below: float | str | None = None  # The end of between.

    def __post_init__(self) -> None:
        if self.op not in get_args(Operator):
            raise InputError(
                f'predicate on "{self.column}": operator "{self.op}"; '
                f"expected one of {', '.join(get_args(Operator))}"
            )

    def __str__(self) -> str:
        own = f"{self.column} {self.phrase}"
        return own if self.within is None else f"{own} and {self.within}"

    @property
    def phrase(self) -> str:
        """The condition in words, without the column's name: ``below 12.3``, ``= "UA"``."""
        if self.op in ("null", "unfit"):
            kind = _TYPE_WORDS.get(str(self.value), "of its type")
            return "empty" if self.op == "null" else f"not {kind}"
        if self.op == "in":
            return "another known value" if len(self.values) > 3 else f"in {_listed(self.values)}"
        if self.op == "not_in" and not self.values:
            return "not empty"
        if self.op == "not_in":
            return (
                "not seen in the reference"
                if len(self.values) > 3
                else f"not in {_listed(self.values)}"
            )
        if self.op in _TIME_WORDS and isinstance(self.value, str):
            return self._time_phrase(self.value)
        if self.op == "between":
            low, high = (float(one or 0.0) for one in (self.value, self.below))
            if high <= np.nextafter(low, np.inf):
                return f"= {number_text(low)}"
            last = just_above(high)
            if (before := just_above(low)) is not None:
                end = f"and below {number_text(high)}" if last is None else f"up to {last}"
                return f"above {before} {end}"
            if last is not None:
                return f"from {number_text(low)} to {last}"
            ends = number_text(low), number_text(high)
            # Ends that differ in their last digits are written out: no interval is shown as empty.
            first, end = (repr(low), repr(high)) if ends[0] == ends[1] else ends
            return f"from {first} to below {end}"
        if self.op in ("ge", "lt") and not isinstance(self.value, str):
            before = just_above(float(self.value or 0.0))
            if before is not None:
                return f"above {before}" if self.op == "ge" else f"{before} or below"
        if self.op in ("shorter", "longer"):
            return f"{self.op} than {float(self.value or 0.0):.0f} characters"
        shown = f'"{self.value}"' if isinstance(self.value, str) else number_text(self.value or 0.0)
        return {
            "lt": f"below {shown}",
            "le": f"{shown} or below",
            "gt": f"above {shown}",
            "ge": f"{shown} or above",
            "eq": f"= {shown}",
        }[self.op]

    def _time_phrase(self, start: str) -> str:
        first, end = (one.removesuffix(MIDNIGHT) for one in (start, str(self.below or "")))
        if self.op != "between":
            before = microseconds(start) - SECOND
            # What a frequent or the last day is followed by is not the second after midnight.
            if self.op in ("lt", "ge") and before % DAY == 0:
                op = "le" if self.op == "lt" else "gt"
                return _TIME_WORDS[op].format(time_text(before).removesuffix(MIDNIGHT))
            return _TIME_WORDS[self.op].format(first)
        is_one = microseconds(str(self.below)) - microseconds(start) <= SECOND
        return f"= {first}" if is_one else f"from {first} to before {end}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `mask` needs."""
        return (self.column,) if self.within is None else (self.column, *self.within.columns)

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the rows that meet the condition; never null.

        A value in the window's map column ``unfit`` (name to text) is unfit, not missing. Where the
        column is absent, every row meets ``null`` and no other condition.
        """
        found = self._mask_anywhere(batch)
        return found if self.within is None else pc.and_(found, self.within.mask(batch))

    def _mask_anywhere(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        if self.column not in batch.schema.names:
            return pa.array(np.full(batch.num_rows, self.op == "null"))
        array = batch.column(self.column)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if self.op in ("null", "unfit"):
            return self._mask_absent(array, _map_names(batch, self.column))
        if isinstance(self.value, str) and self.op in _TIME_WORDS:
            times = coerce(array, "timestamp")[0].cast(pa.int64())
            return self._mask_range(times, microseconds(self.value), self.below)
        if isinstance(self.value, str) or self.op in ("in", "not_in"):
            return self._mask_text(array)
        if self.op in ("shorter", "longer"):
            lengths = pc.utf8_length(coerce(array, "string")[0])
            compare = pc.less if self.op == "shorter" else pc.greater
            found = pc.and_(compare(lengths, self.value), pc.greater(lengths, 0))
            return pc.fill_null(found, fill_value=False)
        numbers, _ = coerce(array, "double")
        return self._mask_range(numbers, self.value, self.below)

    def _mask_range(
        self, numbers: pa.Array, value: float | None, below: float | str | None
    ) -> pa.BooleanArray:
        if self.op == "between":
            end = microseconds(below) if isinstance(below, str) else below
            inside = pc.and_(pc.greater_equal(numbers, value), pc.less(numbers, end))
            return pc.fill_null(inside, fill_value=False)
        compare = {
            "lt": pc.less,
            "le": pc.less_equal,
            "gt": pc.greater,
            "ge": pc.greater_equal,
            "eq": pc.equal,
        }[self.op]
        return pc.fill_null(compare(numbers, value), fill_value=False)

    def _mask_absent(self, array: pa.Array, mapped: pa.BooleanArray) -> pa.BooleanArray:
        if self.op == "null":
            plain, _ = coerce(array, "string") if pa.types.is_dictionary(array.type) else (array, 0)
            return pc.and_not(is_missing(plain), mapped)
        return pc.or_(mapped, unfit_mask(array, cast(ColumnType, self.value or "string")))

    def _mask_text(self, array: pa.Array) -> pa.BooleanArray:
        wanted = (str(self.value),) if self.op == "eq" else self.values
        if wanted and _TRUTHS.issuperset(wanted) and _is_number(array):
            array, _ = coerce(array, "bool")  # Truth values may come as 0 and 1.
        text = shortened(coerce(array, "string")[0])
        present = pc.invert(is_missing(text))
        inside = pc.is_in(text, value_set=shortened(pa.array(wanted, pa.string())))
        return pc.and_not(present, inside) if self.op == "not_in" else pc.and_(present, inside)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without unset ones."""
        found: dict[str, Any] = {"column": self.column, "op": self.op}
        if self.value is not None:
            found["value"] = self.value
        if self.values:
            found["values"] = list(self.values)
        if self.below is not None:
            found["below"] = self.below
        if self.within is not None:
            found["within"] = self.within.to_dict()
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Predicate:
        """Read what to_dict returned; InputError for anything else."""
        if not isinstance(found.get("column"), str) or not isinstance(found.get("op"), str):
            raise InputError(f'predicate {dict(found)}: expected "column" and "op"')
        return cls(
            column=found["column"],
            op=found["op"],
            value=found.get("value"),
            values=tuple(found.get("values", ())),
            within=None if found.get("within") is None else cls.from_dict(found["within"]),
            below=found.get("below"),
        )


_TIME_WORDS = {
    "lt": "before {}", "le": "{} or before", "gt": "after {}", "ge": "{} or after", "between": "",
}  # fmt: skip
# The first and the last second of the calendar, in microseconds since 1970.
FIRST_TIME, LAST_TIME = -62_135_596_800 * SECOND, 253_402_300_799 * SECOND
MIDNIGHT = "T00:00:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRUTHS = frozenset({"true", "false"})
_TYPE_WORDS = {
    "int64": "a whole number",
    "double": "a number",
    "bool": "true or false",
    "timestamp": "a time",
}


def microseconds(text: str) -> int:
    """Return a time, written by `time_text`, in microseconds since 1970."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def time_text(time_us: float) -> str:
    """Write a time for people and for `microseconds`: ``1960-01-01T00:00:00Z``."""
    found = _EPOCH + timedelta(microseconds=int(time_us))
    return found.replace(tzinfo=None).isoformat() + "Z"


def number_text(value: float) -> str:
    """Write a number for people: up to six significant digits, no trailing zeros."""
    if value == int(value) if np.isfinite(value) else False:
        # With 0 added, which makes 0 of -0.
        return f"{value + 0.0:.0f}" if abs(value) < 1e15 else f"{value:.6g}"
    return f"{value:.6g}"


def just_above(value: float) -> str | None:
    """Return, in words, the number of which `value` is the next float; None if there is none.

    The cell behind a frequent value begins there, and the last cell ends there: people read "above
    0", not "from 4.9e-324".
    """
    before = float(np.nextafter(value, -np.inf))
    shown = number_text(before)
    is_next = before == 0.0 or shown == number_text(value)
    return shown if float(shown) == before and is_next else None


def _is_number(array: pa.Array) -> bool:
    return bool(pa.types.is_integer(array.type) or pa.types.is_floating(array.type))


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f'"{value}"' for value in values) or "nothing"


def _map_names(batch: pa.RecordBatch | pa.Table, name: str) -> pa.BooleanArray:
    """Mark the rows whose map column ``unfit`` names the column."""
    nothing = pa.array(np.zeros(batch.num_rows, dtype=bool))
    if UNFIT not in batch.schema.names or not pa.types.is_map(batch.schema.field(UNFIT).type):
        return nothing
    array = batch.column(UNFIT)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return pc.fill_null(pc.is_valid(pc.map_lookup(array, name, "first")), fill_value=False)
