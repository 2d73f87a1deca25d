"""What quality estimates without labels know of a reference's inputs: their cells, and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.answers import Numbers
from driftline.baseline.cells import Cells
from driftline.baseline.outcomes import Outcomes
from driftline.formats.coercion import is_missing
from driftline.signature import Signature

# Where fewer of the reference's rows lack a value, nothing is known of rows without one.
FEW_LACKING = 0.01
TYPES = ("int64", "double", "string", "bool")


@dataclass(frozen=True, slots=True, eq=False)
class EstimationRows:
    """The inputs' cells, and how often the reference lacks a value."""

    cells: Mapping[str, Cells]  # By feature.
    # Share of the reference's rows that have no value, or one that does not fit, shape (features,).
    lacking: Numbers

    def codes_of(self, batch: pa.RecordBatch | pa.Table) -> NDArray[np.uint16]:
        """Return the cells of other rows, (rows, features); a missing column is empty."""
        return _codes(self.cells, batch)

    def outside(self, codes: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Return which values lie outside the reference's range or levels: (rows, features)."""
        found = np.zeros(codes.shape, dtype=np.bool_)
        for place, cell in enumerate(self.cells.values()):
            own = codes[:, place]
            if cell.is_number and cell.edges:
                found[:, place] = (own == 0) | (own == len(cell.edges))
            elif cell.known is not None:
                found[:, place] = own == len(cell.levels) + 1
        return found

    def newly_lacking(self, codes: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Return which values are missing or unfit where the reference's fit: (rows, features)."""
        sizes = np.array([cell.size for cell in self.cells.values()], dtype=np.int64)
        return (codes >= sizes - 2) & (self.lacking < FEW_LACKING)

    @classmethod
    def of(
        cls, outcomes: Outcomes, signature: Signature, cells: Mapping[str, Cells]
    ) -> EstimationRows | None:
        """Read the reference; None where it lacks labels or predictions."""
        roles, table = outcomes.roles, outcomes.table
        if roles.label is None or roles.problem is None or not roles.has_predictions:
            return None
        features = {one.name for one in signature.features if one.role == "feature"}
        own = {
            name: one for name, one in cells.items()
            if name in features & {*table.column_names} and one.type in TYPES
            and one.size <= np.iinfo(np.uint16).max
        }  # fmt: skip
        values = (table[name].combine_chunks() for name in own)
        missing = [pc.sum(is_missing(one)).as_py() or 0 for one in values]
        return cls(own, np.array(missing, dtype=np.float64) / max(len(table), 1))


def _codes(cells: Mapping[str, Cells], rows: pa.RecordBatch | pa.Table) -> NDArray[np.uint16]:
    found = np.empty((rows.num_rows, len(cells)), np.uint16)
    for place, (name, cell) in enumerate(cells.items()):
        if name not in rows.schema.names:
            found[:, place] = cell.size - 2
            continue
        column = rows[name]
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        found[:, place] = cell.assign(array)
    return found
