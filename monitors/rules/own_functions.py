"""Checks by a function over a table: a caller's, a file's or a package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.errors import InputError
from driftline.monitors.rules.checks import Check, Tally
from driftline.monitors.rules.reach import Reach, defect, load_function


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCheck(Check):
    """A function that takes a table and returns a truth value, or one for each row."""

    name: str  # ``FILE.py:FUNCTION``, or the function's own.
    function: Callable[..., object] | None  # None: it is loaded by its name.
    options: Mapping[str, object]
    reach: Reach

    def judge(self, table: pa.Table) -> tuple[Tally, np.ndarray | None]:
        """Call the function; also return which rows are at fault, if it judges rows."""
        function = self.function or load_function(self.reach, self.name)
        rows = table.drop_columns([UNFIT]) if UNFIT in table.column_names else table
        words = f"{self.name.rpartition(':')[2]} does not hold"
        try:
            verdict = _verdict(function(rows, **self.options))
        except AssertionError as error:  # As a test says what is wrong.
            words, verdict = str(error).strip().partition("\n")[0] or words, False
        except (Exception, SystemExit) as error:  # Foreign code: whatever it raises is its defect.
            raise InputError(
                f'check "{self.name}" failed: {defect(error, discreet=self.reach.discreet)}; '
                "expected a truth value, or one for each row"
            ) from error
        if isinstance(verdict, bool):
            words = "" if verdict else words
            return Tally(rows.num_rows, 0, not verdict, words, f"{words}.", False), None
        if len(verdict) != rows.num_rows:
            raise InputError(
                f'check "{self.name}" returned {len(verdict):,} values for {rows.num_rows:,} rows; '
                "expected a truth value, or one for each row"
            )
        marks = ~np.asarray(verdict.fill_null(fill_value=True))
        judged = len(verdict) - verdict.null_count
        return self.row_tally(judged, int(np.count_nonzero(marks))), marks


def _verdict(found: object) -> bool | pa.BooleanArray:
    """Read what a function returned: a truth value, or one for each row.

    Whole numbers 0 and 1 are truth values, too; a score such as 0.5 or 1.0 is none.
    """
    if isinstance(found, pa.Scalar):
        found = found.as_py()
    if isinstance(found, bool | np.bool_):
        return bool(found)
    if found is None:  # As of a function that has forgotten to return what it found.
        raise TypeError("it returned None")
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    array = found if isinstance(found, pa.Array) else pa.array(found, from_pandas=True)
    kind = array.type
    is_other = (
        pa.types.is_integer(kind)
        and not pc.all(pc.is_in(array, pa.array([0, 1, None], kind))).as_py()
    )
    if pa.types.is_floating(kind) or is_other:
        raise TypeError(f"it gave numbers ({kind})")
    return array.cast(pa.bool_())
