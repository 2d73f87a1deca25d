"""Derived columns (embeddings, free text) of the sampled rows, as cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.cells import Cells, number_cells
from driftline.baseline.derived import Projection, Traits, learn_words, unknown_words

# The hour of a row whose time is missing.
UNKNOWN_HOUR = np.iinfo(np.int64).min
DAY_H = 24
# With fewer days than this a row's own day is not left out of what knows its words, but the row.
FEWEST_DAYS = 3


@dataclass(frozen=True, eq=False)
class DerivedRows:
    """Derived columns of n sampled rows."""

    # By derived column, such as review·words: the column that it is derived of.
    sources: Mapping[str, str]
    cells: Mapping[str, Cells]  # By derived column: what it is counted on.
    # By derived column: uint8, shape (n,), each row's cell.
    codes: Mapping[str, NDArray[np.unsignedinteger]]
    # By column of free text: the hashes of the reference's words, uint64, ascending.
    vocabularies: Mapping[str, NDArray[np.uint64]] = field(default_factory=dict)

    def without(self, sources: Collection[str]) -> DerivedRows | None:
        """Leave out columns derived from some columns; None when nothing is left."""
        kept = [name for name, source in self.sources.items() if source not in sources]
        if not kept:
            return None
        return DerivedRows(
            {name: self.sources[name] for name in kept},
            {name: self.cells[name] for name in kept},
            {name: self.codes[name] for name in kept},
            {name: one for name, one in self.vocabularies.items() if name not in sources},
        )


def derive(
    kept: Mapping[Traits, pa.Array], hours: NDArray[np.int64] | None, known: DerivedRows | None
) -> DerivedRows:
    """Turn values of sampled rows into codes; without `known`, learn cells and words first."""
    sources: dict[str, str] = {}
    cells: dict[str, Cells] = {}
    codes: dict[str, NDArray[np.unsignedinteger]] = {}
    words: dict[str, NDArray[np.uint64]] = {}
    for one, array in kept.items():
        if known is not None and any(name not in known.cells for name in one.names):
            continue
        if isinstance(one, Projection):
            flat = array.flatten().to_numpy(zero_copy_only=False)
            values = flat.reshape(len(array), -1)
        elif known is None:
            words[one.column], shares = learn_words(array, _blocks(len(array), hours))
            values = np.column_stack([one.values(array), shares])
        else:
            words[one.column] = known.vocabularies[one.column]
            shares = unknown_words(array, words[one.column])
            values = np.column_stack([one.values(array), shares])
        for name, column in zip(one.names, values.T, strict=True):
            cell = _cells(name, column) if known is None else known.cells[name]
            sources[name], cells[name] = one.column, cell
            # Cells look at NaN as at a gap.
            codes[name] = cell.assign(pa.array(column.astype(np.float64))).astype(np.uint8)
    return DerivedRows(sources, cells, codes, words)


def _cells(name: str, values: NDArray[np.float32]) -> Cells:
    found, counts = np.unique(values[~np.isnan(values)].astype(np.float64), return_counts=True)
    return number_cells(name, "double", found, counts, few=True)


def _blocks(rows: int, hours: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return each row's block for `learn_words`: its day, or the row alone."""
    if hours is not None:
        days = np.where(hours == UNKNOWN_HOUR, -1, hours // DAY_H)
        found, numbers = np.unique(days, return_inverse=True)
        if len(found) >= FEWEST_DAYS:
            return np.asarray(numbers, np.int64)
    return np.arange(rows)
