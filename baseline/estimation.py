"""The data behind quality estimates without labels: inputs by cell, and errors of a regression.

Of a regression some rows are kept: the cells of their inputs, the prediction and its error. A
baseline holds no feature value that was not in its cells before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import LARGEST, Numbers, read_times
from driftline.baseline.cells import Cells
from driftline.baseline.outcomes import Outcomes
from driftline.baseline.profile import Profile
from driftline.baseline.spacing import SpacedRows
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.roles import Roles
from driftline.signature import Signature
from driftline.stats.blocks import NO_TIME

KEY = b"driftline.estimation"
ESTIMATION_FORMAT = 3
# Where fewer of the reference's rows lack a value, nothing is known of rows without one.
FEW_LACKING = 0.01
# Evenly spaced rows of a regression: enough for a model of its losses.
MAX_ROWS = 20_000
TYPES = ("int64", "double", "string", "bool")
ERROR, PREDICTION, TIME = "error", "prediction", "time"


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

    def to_arrow(self) -> pa.Table:
        """Write everything as one table; the same input gives the same bytes."""
        cells = [cell.to_dict() for cell in self.cells.values()]
        notes = {"format": ESTIMATION_FORMAT, "cells": cells, "lacking": self.lacking.tolist()}
        columns: dict[str, np.ndarray] = {ERROR: self.errors, PREDICTION: self.predictions}
        if self.time_us is not None:
            columns[TIME] = self.time_us
        columns |= {str(place): column for place, column in enumerate(self.codes.T)}
        return pa.table(columns, metadata={KEY: json.dumps(notes, ensure_ascii=False)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> EstimationRows:
        """Read what to_arrow wrote."""
        notes = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
        if notes.get("format") != ESTIMATION_FORMAT:
            raise InputError(
                f"format {notes.get('format')!r}; this driftline reads {ESTIMATION_FORMAT}: "
                "make the baseline again"
            )
        try:
            cells = [Cells.from_dict(one) for one in notes["cells"]]
            codes = _read_codes(table, cells)
            time_us = table[TIME].to_numpy() if TIME in table.column_names else None
            errors, predictions = (table[one].to_numpy() for one in (ERROR, PREDICTION))
            lacking = np.array(notes["lacking"], dtype=np.float64)
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise InputError(f"the file is damaged ({error}); make the baseline again") from error
        named = {one.column: one for one in cells}
        return cls(named, codes, errors, predictions, time_us, lacking)


class EstimationCollector:
    """Keeps rows of a regression while the reference streams by."""

    def __init__(self, roles: Roles, cells: Mapping[str, Cells]) -> None:
        self.roles, self.cells = roles, cells
        self._rows = SpacedRows(MAX_ROWS)

    @classmethod
    def of(
        cls, outcomes: Outcomes | None, signature: Signature, cells: Mapping[str, Cells]
    ) -> EstimationCollector | None:
        """Return None where the reference lacks labels, predictions or features."""
        if outcomes is None or outcomes.roles.label is None or outcomes.roles.problem is None:
            return None
        if not outcomes.roles.has_predictions:
            return None
        features = {one.name for one in signature.features if one.role == "feature"}
        own = {
            name: one for name, one in cells.items()
            if name in features and one.type in TYPES and one.size <= np.iinfo(np.uint16).max
        }  # fmt: skip
        return cls(outcomes.roles, own)

    def anew(self) -> EstimationCollector:
        """Return a collector without rows."""
        return EstimationCollector(self.roles, self.cells)

    def update(self, batch: pa.RecordBatch) -> None:
        """Take every n-th row; none where predictions are classes."""
        if self.roles.problem != "regression":
            return
        assert self.roles.label is not None  # Else there is no collector.
        assert self.roles.prediction is not None  # A regression has no other answer.
        rows = batch.take(pa.array(self._rows.turn(batch.num_rows)))
        label, said = (_numbers(rows, one) for one in (self.roles.label, self.roles.prediction))
        with np.errstate(invalid="ignore"):
            error = label - said
        found: dict[str, np.ndarray] = {ERROR: error, PREDICTION: said}
        times = read_times(pa.Table.from_batches([rows]), self.roles)
        found[TIME] = np.full(len(error), NO_TIME) if times is None else times
        codes = _codes(self.cells, rows)
        found |= {str(place): column for place, column in enumerate(codes.T)}
        usable = np.isfinite(error) & (np.abs(label) <= LARGEST) & (np.abs(said) <= LARGEST)
        self._rows.add(pa.table(found).filter(pa.array(usable)), batch.num_rows)

    def merge(self, other: EstimationCollector) -> EstimationCollector:
        """Return the kept rows of both, the other's after these."""
        merged = self.anew()
        merged._rows = self._rows.merge(other._rows)
        return merged

    def result(self, profile: Profile) -> EstimationRows:
        """Return the kept rows, and the profile's shares of missing values."""
        columns = [profile.columns[name] for name in self.cells]
        counts = [one.missing_count + one.unfit_count for one in columns]
        lacking = np.array(counts, dtype=np.float64) / max(profile.row_count, 1)
        table = self._rows.table()
        if not len(table):
            nothing = np.zeros(0)
            codes = np.zeros((0, len(self.cells)), np.uint16)
            return EstimationRows(self.cells, codes, nothing, nothing, None, lacking)
        times = table[TIME].to_numpy()
        return EstimationRows(
            self.cells,
            np.column_stack(
                [np.zeros((len(table), 0), np.uint16)]
                + [table[str(place)].to_numpy()[:, None] for place in range(len(self.cells))]
            ),
            table[ERROR].to_numpy(),
            table[PREDICTION].to_numpy(),
            None if (times == NO_TIME).all() else times,
            lacking,
        )


def _read_codes(table: pa.Table, cells: Sequence[Cells]) -> NDArray[np.uint16]:
    codes = np.empty((len(table), len(cells)), np.uint16)
    for place, cell in enumerate(cells):
        codes[:, place] = table[str(place)].to_numpy()
        if len(codes) and codes[:, place].max() >= cell.size:
            raise ValueError(f'"{cell.column}" has cells that there are not')
    return codes


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


def _numbers(rows: pa.RecordBatch, name: str) -> Numbers:
    found: Numbers = coerce(rows[name], "double")[0].to_numpy(zero_copy_only=False)
    return found.astype(np.float64)
