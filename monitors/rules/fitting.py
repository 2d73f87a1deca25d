"""Whether rules go with a baseline's columns: a text beside a number judges no row, and keeps all.

A file's column that holds one odd entry comes as text, too, and is read as numbers where a rule
compares it with some. So what the reference holds decides, before any data are read.
"""

from __future__ import annotations

import pyarrow as pa

from driftline.baseline.coercion import ARROW_TYPES, coerce
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.formulas import Formula
from driftline.monitors.rules.operators import Value
from driftline.monitors.rules.outcome import Check
from driftline.monitors.rules.row_counter import RowRule
from driftline.monitors.rules.table_checks import Freshness, RowCount, Unique
from driftline.signature import ColumnType

__all__ = ["refuse_unfit"]

SAMPLES = {"int64": 1, "double": 1.0, "bool": True, "timestamp": 0}


def refuse_unfit(check: Check, shown: str, baseline: Baseline) -> None:
    """Refuse a rule that could judge no row of this baseline's data.

    Parameters
    ----------
    check, shown
        Of the rule; what it is called in a message.
    baseline
        Columns that it does not have are left to who sees the data.

    Raises
    ------
    InputError
        When an expression compares texts with something else, or freshness has no time to see.
    """
    for expression in _expressions(check):
        values = {name: _sample(baseline, name) for name in expression.columns}
        # Other kinds may come otherwise than the reference had them; the rows will tell.
        if any(isinstance(one, pa.Scalar) for one in values.values()) and None not in [
            *values.values()
        ]:
            expression.try_on({name: one for name, one in values.items() if one is not None})
    if isinstance(check, Freshness):
        column = baseline.signature.get(check.column)
        if column is not None and _lacks(baseline, column.name, column.type, "timestamp"):
            raise InputError(
                f'{shown}: column "{column.name}" holds no times but {column.type}; expected '
                "times, or texts such as 2026-01-31T12:00:00Z"
            )


def _expressions(check: Check) -> list[Expression]:
    found = [check.where] if isinstance(check, RowRule | RowCount | Unique) else []
    if isinstance(check, RowRule) and isinstance(check.check, Formula):
        found.append(check.check.expression)
    return [one for one in found if one is not None]


def _sample(baseline: Baseline, name: str) -> Value | None:
    """Give some values of a column; one text alone where none of its texts is a number."""
    column = baseline.signature.get(name)
    if column is None:
        return None
    if column.type != "string":
        return pa.array([SAMPLES[column.type]], ARROW_TYPES[column.type])
    texts = _texts(baseline, name)
    if not all(_lacks(baseline, name, "string", kind) for kind in ("double", "bool")):
        return texts if len(texts) else None
    times = coerce(texts, "timestamp")[0].is_valid()
    return (texts.filter(times) if times.true_count else texts)[0]


def _lacks(baseline: Baseline, name: str, kind: ColumnType, wanted: ColumnType) -> bool:
    """Say whether a column holds nothing that can be read so."""
    if kind != "string":
        return kind != wanted
    texts = _texts(baseline, name)
    return bool(len(texts)) and coerce(texts, wanted)[0].null_count == len(texts)


def _texts(baseline: Baseline, name: str) -> pa.Array:
    """Give the different texts of the reference, as far as they are known."""
    known = None if baseline.profile is None else baseline.profile.columns.get(name)
    return pa.array([], pa.string()) if known is None else known.levels.values
