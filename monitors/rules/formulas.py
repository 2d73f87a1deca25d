"""Conditions on single rows that are calculated: expressions, and functions of other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import InputError
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.values import numbers_of, present


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression that must hold."""

    expression: Expression

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the expression names."""
        return self.expression.columns

    @property
    def wanted(self) -> str:
        """Give the expression."""
        return f'where "{self.expression.text}" holds'

    @property
    def broken(self) -> str:
        """Say that the expression does not hold."""
        return f'where "{self.expression.text}" does not hold'

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row."""
        return self.expression.evaluate(batch)

    def measure(self, batch: pa.RecordBatch, broken: pa.BooleanArray) -> np.ndarray:
        """Give the values of the only column, if there is only one and it holds numbers."""
        if len(self.columns) != 1:
            return np.empty(0)
        values = present(batch.column(self.columns[0]))
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            return np.empty(0)
        return numbers_of(values.filter(broken))


@dataclass(frozen=True, slots=True)
class Custom:
    """A function of somebody else's: rows in, one truth value a row out.

    Parameters
    ----------
    name
        What the check is called.
    function
        Takes a `pa.RecordBatch` and the options, gives truth values: true where the row is all
        right, null where that is open.
    options
        Further keys of the rule.
    columns
        Columns that must be there.
    """

    name: str
    function: Callable[..., object]
    options: Mapping[str, object]
    columns: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        """Name the check."""
        return f"that pass {self.name}"

    @property
    def broken(self) -> str:
        """Name the check."""
        return f"that fail {self.name}"

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Ask the function."""
        try:
            found = self.function(batch, **self.options)
            if isinstance(found, pa.ChunkedArray):
                found = found.combine_chunks()
            if not isinstance(found, pa.Array):
                found = pa.array(found, from_pandas=True)
            verdict = _truths(found)
        except Exception as error:  # It is foreign code: whatever it raises is its defect.
            raise InputError(
                f'check "{self.name}" failed: {type(error).__name__}: {error}; expected one truth '
                "value for each row"
            ) from error
        if len(verdict) != batch.num_rows:
            raise InputError(
                f'check "{self.name}" gave {len(verdict):,} values for {batch.num_rows:,} rows; '
                "expected one truth value for each row"
            )
        return verdict

    def measure(self, batch: pa.RecordBatch, broken: pa.BooleanArray) -> np.ndarray:
        """Name no extremes."""
        del batch, broken
        return np.empty(0)


def _truths(found: pa.Array) -> pa.BooleanArray:
    """Take truth values, also as whole numbers 0 and 1; a score such as 0.5 or 1.0 is none."""
    kind = found.type
    is_whole = pa.types.is_integer(kind)
    if pa.types.is_floating(kind) or (
        is_whole and not pc.all(pc.is_in(found, pa.array([0, 1, None], kind))).as_py()
    ):
        raise TypeError(f"it gave numbers ({kind})")
    return found.cast(pa.bool_())
