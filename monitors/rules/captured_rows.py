"""A condition on a captured row, in the words of rules: columns by the user's own names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from driftline.capture.erasure.erasing import RowCondition
from driftline.capture.tables.dataset import META_SCHEMA
from driftline.capture.windows.former import read_former
from driftline.capture.windows.window import UNFIT
from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES
from driftline.monitors.rules.checks import require_truth, rows_where
from driftline.monitors.rules.condition import SqlCondition
from driftline.monitors.rules.prepared import PreparedColumns
from driftline.monitors.rules.rule import nearest
from driftline.monitors.rules.session import Session
from driftline.signature import Column, Signature


@contextmanager
def row_condition(signature: Signature, text: str) -> Iterator[RowCondition]:
    """Read a condition such as ``name = 'Ada'`` on the captured rows of a signature.

    It names columns only: the signature's, or those of the capture table with texts, numbers or
    times. A row whose result is NULL, as a value is missing, does not match. A process of its own
    runs it until the block ends.

    Raises
    ------
    InputError
        When it is no condition on these columns.
    """
    condition, names = SqlCondition(text), _names(signature)
    for name in condition.columns:
        if name not in names:
            raise InputError(
                f'where: no column "{name}"{nearest(name, names)}; '
                f"expected one of {', '.join(sorted(names))}"
            )
    columns = {name: names[name] for name in condition.columns}
    known = {one.name: one for one in (*signature.inputs, *signature.outputs)}
    former = {name: known[name] for name in columns if name in known and known[name].former}
    read = list(columns.values())
    for one in former.values():
        read += [*one.former, UNFIT]
    types = {name: known[name].type for name in columns if name in known}
    with Session() as session:

        def match(rows: pa.Table) -> np.ndarray:
            found = [
                _as_now(rows, former[name])
                if name in former
                else rows[column]
                if column in rows.column_names
                else pa.nulls(rows.num_rows, pa.string())
                for name, column in columns.items()
            ]
            table = pa.table(found, names=list(columns))
            return _marked(session, condition, table, PreparedColumns(types))

        yield RowCondition(tuple(dict.fromkeys(read)), match)


def _marked(
    session: Session, condition: SqlCondition, rows: pa.Table, prepared: PreparedColumns
) -> np.ndarray:
    """Return which rows meet a condition, shape (rows,)."""
    if not rows.num_rows:
        return np.zeros(0, np.bool_)
    query = rows_where(prepared, condition)
    session.open(map(prepared.make, rows.to_batches()))
    require_truth(session, condition, prepared)
    marks = session.ask(query).marks
    assert marks is not None, "it asks for the rows' numbers"
    return marks


def _as_now(rows: pa.Table, column: Column) -> pa.Array:
    """Return a column with what earlier versions of the signature stored as another type."""
    held = set(rows.column_names)
    now = pa.chunked_array([pa.nulls(rows.num_rows, ARROW_TYPES[column.type])])
    if column.column in held:
        now = rows[column.column]
    olds = [rows[name] for name in column.former if name in held]
    return read_former(column.name, now, olds, rows[UNFIT])[0]


def _names(signature: Signature) -> dict[str, str]:
    """Name the columns that an expression can read, by how it calls them."""
    own = {one.name: one.name for one in META_SCHEMA if _is_plain(one.type)}
    if signature.event_time is not None:
        own[signature.event_time] = "event_time"
    if signature.inference_id is not None:
        own[signature.inference_id] = "inference_id"
    return own | {one.name: one.column for one in (*signature.inputs, *signature.outputs)}


def _is_plain(kind: pa.DataType) -> bool:
    checks = pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_timestamp
    return any(check(kind) for check in checks)
