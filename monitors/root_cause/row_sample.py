"""Some rows of a window with what is needed to cut them in slices, and which of them match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.condition import Condition
from driftline.baseline.spacing import SpacedRows
from driftline.formats.coercion import coerce
from driftline.monitors.root_cause.slices import Slice, best_slice, slice_columns

# Rows that are kept, all of them in most windows, and fewer where they are wide.
ROWS_MAX, ROWS_FEWEST = 100_000, 2_000
CELLS_MAX = 4_000_000
# Those of the largest contribution; of more nobody asks for the slice of each.
TARGETS_MAX = 50
_MATCHING = "\0matching"


class _Target(Protocol):
    @property
    def predicate(self) -> Condition: ...

    @property
    def share_reference(self) -> float: ...


@dataclass(slots=True)
class RowSample:
    """Rows that are evenly spread over what comes; adds up."""

    texts: Sequence[str]
    numbers: Sequence[str]
    rows: SpacedRows  # With a truth value for each target.

    @classmethod
    def start(cls, texts: Sequence[str], numbers: Sequence[str]) -> RowSample:
        """Begin without rows."""
        wide = CELLS_MAX // max(len(texts) + len(numbers), 1)
        return cls(texts, numbers, SpacedRows(min(ROWS_MAX, max(wide, ROWS_FEWEST))))

    def update(self, batch: pa.RecordBatch, matching: Sequence[NDArray[np.bool_] | None]) -> None:
        """Keep every so-many-th row; of the first targets, which match (None: none)."""
        places = self.rows.turn(batch.num_rows)
        chosen = pa.array(places)
        columns: dict[str, pa.Array] = {}
        names = set(batch.schema.names)
        for name in self.texts:
            if name in names:
                columns[name] = coerce(batch.column(name).take(chosen), "string")[0]
        for name in self.numbers:
            if name in names:
                columns[name] = coerce(batch.column(name).take(chosen), "double")[0]
        for index, mask in enumerate(matching):
            held = np.zeros(places.size, np.bool_) if mask is None else mask[places]
            columns[f"{_MATCHING}{index}"] = pa.array(held)
        self.rows.add(pa.table(columns), batch.num_rows)

    def merge(self, other: RowSample) -> RowSample:
        """Return the rows of both, the other's after these."""
        return RowSample(self.texts, self.numbers, self.rows.merge(other.rows))

    @property
    def is_whole(self) -> bool:
        """Whether all rows were kept."""
        return self.rows.stride == 1

    def slices(self, targets: Sequence[_Target]) -> dict[int, Slice]:
        """Find, by place of the target, the slices that say more than one level of a text does."""
        table = self.rows.table()
        if not table.num_rows:
            return {}
        columns = slice_columns(table, self.texts, self.numbers)
        found = {}
        for index, target in enumerate(targets[:TARGETS_MAX]):
            held = table.column(f"{_MATCHING}{index}").to_numpy()
            own = target.predicate.columns
            best = best_slice(columns, held, target.share_reference, leave_out=own)
            # One level of a text is counted on all rows, in the level_counts.
            if best is not None and (len(best.conditions) > 1 or best.has_number):
                found[index] = best
        return found
