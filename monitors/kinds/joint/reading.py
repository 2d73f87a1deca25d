"""What one reading of a window gathers for joint tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from driftline.baseline.cells import Cells
from driftline.baseline.derived import Traits, derivations
from driftline.baseline.derived_rows import DerivedRows
from driftline.baseline.sample import RowSampler
from driftline.baseline.store import Baseline


@dataclass(slots=True)
class JointReading:
    """A sample of the rows."""

    sampler: RowSampler
    seen: set[str]  # Judged columns that came.

    @classmethod
    def start(
        cls,
        cells: Mapping[str, Cells],
        traits: Sequence[Traits],
        known: DerivedRows | None,
        row_count: int | None,
    ) -> JointReading:
        """Begin without rows."""
        return cls(RowSampler(cells, row_count=row_count, traits=traits, known=known), set())

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self.sampler.update(batch)
        self.seen |= self.sampler.cells.keys() & set(batch.schema.names)

    def merge(self, other: JointReading) -> JointReading:
        """Return what is known of the rows of both, the other's after these."""
        return JointReading(self.sampler.merge(other.sampler), self.seen | other.seen)


def traits_of(baseline: Baseline) -> tuple[Traits, ...]:
    """Return what was derived of the reference's embeddings and free text."""
    sample, profile = baseline.sample, baseline.profile
    if sample is None or sample.derived is None or profile is None:
        return ()
    wanted = set(sample.derived.sources.values())
    found = derivations(profile, baseline.cells)
    return tuple(one for one in found if one.column in wanted)
