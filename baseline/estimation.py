"""The data behind quality estimates without labels: inputs by cell, and errors of a regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import LARGEST, Numbers, read_times
from driftline.baseline.cells import Cells
from driftline.baseline.outcomes import Outcomes
from driftline.formats.coercion import coerce
from driftline.signature import Signature
from driftline.stats.blocks import NO_TIME

# Where fewer of the reference's rows lack a value, nothing is known of rows without one.
FEW_LACKING = 0.01
# Evenly spaced rows of a regression: enough for a model of its losses.
MAX_ROWS = 20_000
TYPES = ("int64", "double", "string", "bool")


@dataclass(frozen=True, slots=True, eq=False)
class EstimationRows:
    """The inputs' cells, and of a regression n rows of them."""

    cells: Mapping[str, Cells]  # By feature.
    # Each row's cells, shape (n, features), in the order of the cells.
    codes: NDArray[np.uint16]
    errors: Numbers  # Label less prediction, shape (n,).
    predictions: Numbers
    time_us: NDArray[np.int64] | None  # NO_TIME of a row without one; None where no row has one.
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

    def within(self, limits: tuple[float, float]) -> EstimationRows:
        """Return only the rows whose label and prediction metrics can use."""
        low, high = limits
        label = self.predictions + self.errors
        fit = (self.predictions >= low) & (self.predictions <= high) & (np.abs(label) <= high)
        return replace(
            self,
            codes=self.codes[fit],
            errors=self.errors[fit],
            predictions=self.predictions[fit],
            time_us=None if self.time_us is None else self.time_us[fit],
        )

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
        codes = _codes(own, table)
        sizes = np.array([one.size for one in own.values()], dtype=np.int64)
        lacking = (codes >= sizes - 2).sum(axis=0) / max(len(table), 1)
        if roles.problem != "regression":
            return cls(own, codes[:0], np.zeros(0), np.zeros(0), None, lacking)
        assert roles.prediction is not None  # A regression has no other answer.
        label, said = (_numbers(table, one) for one in (roles.label, roles.prediction))
        with np.errstate(invalid="ignore"):
            error = label - said
        usable = np.isfinite(error) & (np.abs(label) <= LARGEST) & (np.abs(said) <= LARGEST)
        kept = np.flatnonzero(usable)
        kept = kept[:: -(-len(kept) // MAX_ROWS) or 1]
        times = read_times(table, roles)
        times = None if times is None or (times[kept] == NO_TIME).all() else times[kept]
        return cls(own, codes[kept], error[kept], said[kept], times, lacking)


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


def _numbers(rows: pa.Table, name: str) -> Numbers:
    found: Numbers = coerce(rows[name], "double")[0].to_numpy(zero_copy_only=False)
    return found.astype(np.float64)
