"""Selections of rows as text: the ``where=`` of a page's address.

``temp>=7.2;carrier=UA,EVX;delay=``: conditions joined by ``;`` must all hold. ``=`` takes texts,
``!=`` excludes them, nothing after ``=`` selects rows without a value; other operators compare
finite numbers. Spelling does not matter for numbers and booleans: ``7.20``, ``1``. Names and texts
with one of these signs are percent-encoded, or quoted.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote, unquote

import pyarrow as pa

from driftline.baseline.predicate import Operator, Predicate
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.signature import ColumnType

CONDITIONS_MAX, TEXT_MAX = 20, 2_000  # Of one selection; the text in characters.
_FORM = re.compile(r"(?P<column>[^<>=!;]+)(?P<sign>>=|<=|!=|=|<|>)(?P<value>[^<>=!;]*)")
_NUMBERS: dict[str, Operator] = {">=": "ge", "<=": "le", "<": "lt", ">": "gt"}
_SIGNS = {op: sign for sign, op in _NUMBERS.items()}
# Signs with a meaning in a condition, and spaces at the ends, which are left out of it.
_ENCODED = re.compile(r"^ +| +\Z|[^\w \-.~:/()+#]")


def parse_where(
    text: str, types: Mapping[str, ColumnType | None] | None = None
) -> tuple[Predicate, ...]:
    """Read conditions; InputError says which cannot be, among columns of these types if given."""
    if len(text) > TEXT_MAX:
        raise InputError(
            f"where: {len(text):,} characters, of which none were read; expected {TEXT_MAX:,} or "
            "fewer: name fewer values, or select by another column"
        )
    parts = [part for part in text.split(";") if part.strip()]
    if len(parts) > CONDITIONS_MAX:
        raise InputError(f"where: {len(parts)} conditions; expected {CONDITIONS_MAX} or fewer")
    conditions = tuple(map(_condition, parts))
    if types is not None:
        return tuple(_fitted(one, types) for one in conditions)
    return conditions


def selected(batch: pa.RecordBatch, conditions: Sequence[Predicate]) -> pa.Table:
    """Return the rows of a batch that meet all conditions."""
    rows = pa.Table.from_batches([batch])
    for condition in conditions:
        rows = rows.filter(condition.mask(rows))
    return rows


def first_rows(
    batches: Iterable[pa.RecordBatch],
    conditions: Sequence[Predicate],
    limit: int,
    *,
    within_s: float,
    skip: int = 0,
) -> tuple[pa.Table, bool]:
    """Return the first rows that meet all conditions, after some; and whether time ran out."""
    parts: list[pa.Table] = []
    left, end = limit, time.monotonic() + within_s
    for batch in batches:
        if not left or time.monotonic() > end:
            break
        rows = selected(batch, conditions)
        parts.append(rows.slice(skip, left))
        skip = max(0, skip - rows.num_rows)
        left -= parts[-1].num_rows
    table = pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})
    return table, bool(left) and time.monotonic() > end


def count_rows(
    batches: Iterable[pa.RecordBatch], conditions: Sequence[Predicate], *, within_s: float
) -> tuple[int, bool]:
    """Count the rows that meet all conditions; and whether time ran out."""
    several, end = 0, time.monotonic() + within_s
    for batch in batches:
        if time.monotonic() > end:
            return several, True
        several += selected(batch, conditions).num_rows
    return several, False


def where_text(conditions: Sequence[Predicate]) -> str | None:
    """Write conditions as text; None where one of them cannot be written."""
    parts = [_text(one) for one in conditions]
    text = ";".join(part for part in parts if part)
    return None if None in parts or len(text) > TEXT_MAX else text


def _condition(part: str) -> Predicate:
    found = _FORM.fullmatch(part.strip())
    if found is None:
        raise InputError(f'where: "{part[:60]}" is no condition; expected one such as temp>=7.2')
    column, sign, value = unquote(found["column"].strip()), found["sign"], found["value"].strip()
    if sign in _NUMBERS:
        number = _number(unquote(value))
        if number is None:
            raise InputError(f'where: "{value[:40]}" is no number; expected one behind {sign}')
        return Predicate(column, _NUMBERS[sign], number)
    written = [one.strip() for one in value.split(",")] if value else []
    if "" in written:
        raise InputError(f'where: "{part[:60]}" has nothing beside a comma; expected a value there')
    for one in written:
        if len(one) > 1 and one[0] == one[-1] and one[0] in "\"'":
            raise InputError(
                f"where: {one[:40]} would be looked for with its quotes; expected "
                f"{one[1:-1][:40]}, or quotes written as %22 where the rows have them"
            )
    texts = tuple(map(unquote, written))
    if sign == "!=":
        return Predicate(column, "not_in", values=texts)
    return Predicate(column, "in", values=texts) if texts else Predicate(column, "null")


def _fitted(one: Predicate, types: Mapping[str, ColumnType | None]) -> Predicate:
    """Write values as rows of a column do; refuse unknown columns, and values that no row has."""
    if one.column not in types:
        raise InputError(f'where: this monitor knows no column "{one.column[:60]}"')
    kind = types[one.column]
    if kind not in ("int64", "double", "bool") or not one.values:
        return one
    values = tuple(_written(text, kind, one.column) for text in one.values)
    return replace(one, values=values)


def _written(text: str, kind: ColumnType, column: str) -> str:
    """Write a value as the text that rows of a column of this type are compared by."""
    for form in dict.fromkeys((kind, "bool" if kind == "bool" else "double")):
        (written,) = coerce(coerce(pa.array([text]), form)[0], "string")[0].to_pylist()
        if written is not None:
            return str(written)
    what, such = ("truth value", "true or false") if kind == "bool" else ("number", "7.2")
    raise InputError(f'where: "{text[:40]}" is no {what}, as {column} holds; expected {such}')


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _text(one: Predicate) -> str | None:
    if one.within is not None:
        outer = _text(one.within)
        own = _text(Predicate(one.column, one.op, one.value, one.values, below=one.below))
        return None if outer is None or own is None else f"{outer};{own}"
    name = _encoded(one.column)
    if one.op in _SIGNS and isinstance(one.value, float | int):
        return f"{name}{_SIGNS[one.op]}{one.value!r}"
    if one.op == "between" and isinstance(one.value, float | int):
        return f"{name}>={one.value!r};{name}<{one.below!r}"
    if one.op == "null":
        return f"{name}="
    if one.op == "eq" and isinstance(one.value, float | int):
        return f"{name}>={one.value!r};{name}<={one.value!r}"
    texts = (str(one.value),) if one.op == "eq" else one.values
    if one.op not in ("eq", "in", "not_in") or "" in texts:
        return None
    sign = "!=" if one.op == "not_in" else "="
    return f"{name}{sign}{','.join(map(_encoded, texts))}"


def _encoded(text: str) -> str:
    return _ENCODED.sub(lambda found: quote(found[0], safe=""), text)
