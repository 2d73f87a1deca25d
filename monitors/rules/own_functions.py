"""Checks by a function over a table: a caller's, a file's or a package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.errors import InputError
from driftline.monitors.rules.reach import NOTHING, Reach, defect, load_function


@dataclass(frozen=True, slots=True)
class FunctionCheck:
    """A function that takes a table and returns a truth value, or one for each row."""

    name: str  # ``FILE.py:FUNCTION``, or the function's own.
    function: Callable[..., object] | None = None  # None: it is loaded by its name.
    options: Mapping[str, object] = field(default_factory=dict)
    needed: tuple[str, ...] = ()  # The columns that must be there.
    mostly: float = 1.0  # Smallest share of the judged rows that must be all right, 0-1.
    reach: Reach = NOTHING
    noun = "rows"
    wanted = "that do not"

    @property
    def broken(self) -> str:
        """Name the check."""
        return f"that fail {self.name.rpartition(':')[2]}"

    @property
    def _no(self) -> str:
        return f"{self.name.rpartition(':')[2]} does not hold"

    def judge(self, table: pa.Table) -> pa.BooleanArray | str:
        """Call the function."""
        function = self.function or load_function(self.reach, self.name)
        rows = table.drop_columns([UNFIT]) if UNFIT in table.column_names else table
        try:
            verdict = _verdict(function(rows, **self.options))
        except AssertionError as error:  # As a test says what is wrong.
            return str(error).strip().partition("\n")[0] or self._no
        except (Exception, SystemExit) as error:  # Foreign code: whatever it raises is its defect.
            raise InputError(
                f'check "{self.name}" failed: {defect(error, discreet=self.reach.discreet)}; '
                "expected a truth value, or one for each row"
            ) from error
        if isinstance(verdict, bool):
            return "" if verdict else self._no
        if len(verdict) != rows.num_rows:
            raise InputError(
                f'check "{self.name}" returned {len(verdict):,} values for {rows.num_rows:,} rows; '
                "expected a truth value, or one for each row"
            )
        return verdict


def _verdict(found: object) -> bool | pa.BooleanArray:
    """Read what a function returned: a truth value, or one for each row."""
    if isinstance(found, pa.Scalar):
        found = found.as_py()
    if isinstance(found, bool | np.bool_):
        return bool(found)
    if found is None:  # As of a function that has forgotten to return what it found.
        raise TypeError("it returned None")
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    return _truths(found if isinstance(found, pa.Array) else pa.array(found, from_pandas=True))


def _truths(found: pa.Array) -> pa.BooleanArray:
    """Take truth values, also as whole numbers 0 and 1; a score such as 0.5 or 1.0 is none."""
    kind = found.type
    is_whole = pa.types.is_integer(kind)
    if pa.types.is_floating(kind) or (
        is_whole and not pc.all(pc.is_in(found, pa.array([0, 1, None], kind))).as_py()
    ):
        raise TypeError(f"it gave numbers ({kind})")
    return found.cast(pa.bool_())
