"""Operators of expressions: Arrow's functions with type checks. Pure.

A value is a column (`pa.Array`) or a constant (`pa.Scalar`) of integers, numbers, texts, booleans,
times or durations. Null in gives null out, except for ``and`` and ``or``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.arrow_types import ARROW_TYPES
from driftline.formats.coercion import coerce
from driftline.signature import ColumnType

Value: TypeAlias = pa.Array | pa.Scalar
SPAN = pa.duration("us")
COMPARE = {
    "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal,
    ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip
WHOLE = {"+": pc.add_checked, "-": pc.subtract_checked, "*": pc.multiply_checked}
BROKEN = {"+": pc.add, "-": pc.subtract, "*": pc.multiply}
# What a column of texts is read as beside a value of another kind: a file's column that holds one
# odd entry, or none at all, comes as text.
READ_AS: dict[str, ColumnType] = {"number": "double", "time": "timestamp", "truth": "bool"}


class MismatchError(Exception):
    """Two values of kinds that do not go together; the expression's text is added above."""


def kind_of(value: Value) -> str:
    """Name the kind of a value in words."""
    tests = {
        "truth value": pa.types.is_boolean,
        "text": pa.types.is_string,
        "time": pa.types.is_timestamp,
        "span of time": pa.types.is_duration,
        "nothing": pa.types.is_null,
    }
    found = next((name for name, test in tests.items() if test(value.type)), "number")
    return "truth" if found == "truth value" else found


def constant(found: bool | int | float | str | None) -> pa.Scalar:
    """Make a value of a constant; whole numbers beyond 64 bits are taken as fractions."""
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) >= 2**63:
        return pa.scalar(float(found) if abs(found) < 1e300 else np.inf)
    return pa.scalar(found)


def converted(value: Value, kind: ColumnType) -> Value:
    """Read a value as a type, as columns are read; what does not fit is null."""
    if isinstance(value, pa.Scalar):
        return coerce(pa.array([value.as_py()], value.type), kind)[0][0]
    return coerce(value, kind)[0]


def spread(value: Value, rows: int) -> pa.Array:
    """Return one value for each row."""
    if not isinstance(value, pa.Scalar):
        return value
    return pa.nulls(rows, value.type) if not value.is_valid else pa.repeat(value, rows)


def truth(value: Value) -> Value:
    """Demand a truth value; None is one that is open."""
    if kind_of(value) == "nothing":
        return value.cast(pa.bool_())
    if kind_of(value) not in ("truth",):
        raise MismatchError(f"a {kind_of(value)} where true or false is expected; compare it")
    return value


def number(value: Value) -> Value:
    """Demand a number; texts in a column are read as numbers."""
    return _demand(value, "number", "double")


def text(value: Value) -> Value:
    """Return a text; all else is written as one."""
    return value if kind_of(value) == "text" else converted(value, "string")


def time(value: Value) -> Value:
    """Demand a time; texts are read as ISO 8601."""
    if isinstance(value, pa.Scalar) and kind_of(value) == "text":
        found = converted(value, "timestamp")
        if not found.is_valid:
            raise MismatchError(f'"{value}" is no time; expected one such as "2026-01-31"')
        return found
    return _demand(value, "time", "timestamp")


def _demand(value: Value, wanted: str, kind: ColumnType) -> Value:
    found = kind_of(value)
    if found == "nothing" or (found == "text" and not isinstance(value, pa.Scalar)):
        return converted(value, kind)
    if found != wanted:
        raise MismatchError(f"a {found} where a {wanted} is expected")
    return value


def joined(join: Callable[[Value, Value], Value], values: Sequence[Value]) -> Value:
    """Join truth values from left to right."""
    return reduce(join, [truth(value) for value in values])


def either(test: Value, yes: Value, no: Value) -> Value:
    """Choose by row; where the test is open, the answer is."""
    if kind_of(no) == "nothing" and isinstance(no, pa.Scalar):
        no = no.cast(yes.type)
    if {kind_of(yes), kind_of(no)} != {"nothing"}:
        yes, no = _alike(yes, no)
    return pc.if_else(truth(test), yes, no)


def signed(value: Value, *, negative: bool) -> Value:
    """Return a number or a span as it is, or its negative."""
    if kind_of(value) == "span of time":
        return pc.multiply(value, -1) if negative else value
    found = number(value)
    return pc.negate(found) if negative else found


def compare(op: str, left: Value, right: Value) -> Value:
    """Compare two values of one kind."""
    left, right = _alike(left, right)
    if kind_of(left) == "truth" and op not in ("==", "!="):
        raise MismatchError(f"true and false have no order; expected == or != in place of {op}")
    return COMPARE[op](left, right)


def _alike(left: Value, right: Value) -> tuple[Value, Value]:
    """Bring two values to one kind, as far as that loses nothing."""
    kinds = kind_of(left), kind_of(right)
    if "nothing" in kinds:
        if any(isinstance(one, pa.Scalar) and not one.is_valid for one in (left, right)):
            raise MismatchError("nothing equals None; expected is None, or is not None")
        known = right if kinds[0] == "nothing" else left
        return left.cast(known.type), right.cast(known.type)
    if kinds[0] == kinds[1]:
        return _of_one_size(left, right) if kinds[0] == "number" else (left, right)
    if set(kinds) == {"truth", "number"}:
        # Flags are often kept as 0 and 1.
        return tuple(
            one.cast(pa.int64()) if kind_of(one) == "truth" else one for one in (left, right)
        )
    if "text" in kinds:
        other = kinds[kinds[0] == "text"]
        if other == "time":
            return time(left), time(right)
        loose = left if kinds[0] == "text" else right
        if other in READ_AS and not isinstance(loose, pa.Scalar):
            read = converted(loose, READ_AS[other])
            return (read, right) if kinds[0] == "text" else (left, read)
    raise MismatchError(f"a {kinds[0]} and a {kinds[1]} cannot be compared; expected one kind")


def _of_one_size(left: Value, right: Value) -> tuple[Value, Value]:
    """Make fractions of whole numbers beside fractions; Arrow refuses those beyond 2^53."""
    if not any(pa.types.is_floating(one.type) for one in (left, right)):
        return left, right
    return tuple(
        one.cast(pa.float64(), safe=False) if pa.types.is_integer(one.type) else one
        for one in (left, right)
    )


def calculate(op: str, left: Value, right: Value) -> Value:
    """Calculate with numbers, times and spans; texts can be put together by ``+``."""
    kinds = {kind_of(left), kind_of(right)}
    if kinds == {"text"} and op == "+" and _has_text_only(left, right):
        return pc.binary_join_element_wise(left, right, pa.scalar(""))
    if kinds & {"time", "span of time"}:
        return _calculate_times(op, left, right)
    left, right = number(left), number(right)
    is_whole = pa.types.is_integer(left.type) and pa.types.is_integer(right.type)
    if is_whole and op in WHOLE:
        try:
            return WHOLE[op](left, right)
        except pa.ArrowInvalid:  # Beyond 64 bits: as fractions, near enough.
            pass
    if is_whole and op in ("//", "%"):
        return _whole_division(op, left, right)
    left, right = left.cast(pa.float64(), safe=False), right.cast(pa.float64(), safe=False)
    if op in BROKEN:
        return BROKEN[op](left, right)
    if op == "**":
        return _without_nan(pc.power(left, right))
    # What is divided by nothing is not known, as in SQL.
    right = pc.if_else(pc.equal(right, 0.0), pa.scalar(None, pa.float64()), right)
    parts = pc.divide(left, right)
    if op == "/":
        return _without_nan(parts)
    whole = pc.floor(parts)
    return _without_nan(whole if op == "//" else pc.subtract(left, pc.multiply(right, whole)))


def _has_text_only(left: Value, right: Value) -> bool:
    """Two columns of text are put together, not added up."""
    return kind_of(left) == kind_of(right) == "text"


def _without_nan(value: Value) -> Value:
    """Leave open what has no answer, such as the root of -1."""
    return pc.if_else(pc.is_nan(value), pa.scalar(None, pa.float64()), value)


def _whole_division(op: str, left: Value, right: Value) -> Value:
    """Divide whole numbers as Python does, rounding down; Arrow rounds towards 0."""
    right = pc.if_else(pc.equal(right, 0), pa.scalar(None, pa.int64()), right)
    is_scalar = isinstance(left, pa.Scalar) and isinstance(right, pa.Scalar)
    rows = 1 if is_scalar else max(len(one) for one in (left, right) if isinstance(one, pa.Array))
    first, second = spread(left, rows), spread(right, rows)
    known = pc.and_(pc.is_valid(first), pc.is_valid(second))
    top = pc.fill_null(first, 0).to_numpy(zero_copy_only=False)
    under = pc.fill_null(second, 1).to_numpy(zero_copy_only=False)
    found = top // under if op == "//" else top % under
    answer = pc.if_else(known, pa.array(found, pa.int64()), pa.scalar(None, pa.int64()))
    return answer[0] if is_scalar else answer


def _calculate_times(op: str, left: Value, right: Value) -> Value:
    kinds = kind_of(left), kind_of(right)
    span, moment = "span of time", "time"
    if op == "-" and moment in kinds and set(kinds) <= {moment, "text"}:
        return pc.subtract(time(left), time(right)).cast(SPAN)
    if (op == "+" and set(kinds) == {moment, span}) or (op == "-" and kinds == (moment, span)):
        return BROKEN[op](left, right).cast(ARROW_TYPES["timestamp"])
    if kinds == (span, span) and op in ("+", "-"):
        return BROKEN[op](left, right)
    if set(kinds) == {span, "number"} and op == "*":
        return BROKEN[op](*(one.cast(pa.int64()) for one in (left, right))).cast(SPAN)
    if kinds == (span, span) and op == "/":
        numbers = [one.cast(pa.int64()).cast(pa.float64()) for one in (left, right)]
        return calculate("/", *numbers)
    raise MismatchError(f"{kinds[0]} {op} {kinds[1]}; expected times, or a time and a span")
