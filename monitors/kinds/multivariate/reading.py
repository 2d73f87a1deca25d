"""What one reading of a window gathers for multivariate tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.derived import Traits, derivations
from driftline.baseline.derived_rows import DerivedRows
from driftline.baseline.sample import RowSampler
from driftline.baseline.store import Baseline


@dataclass(slots=True)
class JointReading:
    """A sample of the rows, and the predictions' cells."""

    sampler: RowSampler
    outputs: Mapping[str, Cells]  # The model's answers, by column: their cells.
    # Rows in these cells, all of them; columns that never came are missing.
    counts: dict[str, NDArray[np.int64]]
    seen: set[str]  # Judged columns that came.

    @classmethod
    def start(
        cls,
        cells: Mapping[str, Cells],
        outputs: Sequence[str],
        traits: Sequence[Traits],
        known: DerivedRows | None,
        row_count: int | None,
    ) -> JointReading:
        """Begin without rows."""
        sampler = RowSampler(cells, row_count=row_count, traits=traits, known=known)
        return cls(sampler, {name: cells[name] for name in outputs}, {}, set())

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self.sampler.update(batch)
        self.seen |= self.sampler.cells.keys() & set(batch.schema.names)
        for name, cell in self.outputs.items():
            if name in batch.schema.names:
                self._add(name, cell.count(batch.column(name)))

    def merge(self, other: JointReading) -> JointReading:
        """Return what is known of the rows of both, the other's after these."""
        sampler, seen = self.sampler.merge(other.sampler), self.seen | other.seen
        merged = JointReading(sampler, self.outputs, dict(self.counts), seen)
        for name, counts in other.counts.items():
            merged._add(name, counts)
        return merged

    def _add(self, name: str, counts: NDArray[np.int64]) -> None:
        self.counts[name] = self.counts[name] + counts if name in self.counts else counts


def traits_of(baseline: Baseline) -> tuple[Traits, ...]:
    """Return what was derived of the reference's embeddings and free text."""
    sample, profile = baseline.sample, baseline.profile
    if sample is None or sample.derived is None or profile is None:
        return ()
    wanted = set(sample.derived.sources.values())
    found = derivations(profile, baseline.cells)
    return tuple(one for one in found if one.column in wanted)
