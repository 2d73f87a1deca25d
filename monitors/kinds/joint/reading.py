"""What one reading of a window gathers for joint tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from driftline.baseline.cells import Cells
from driftline.baseline.derived import Traits, derivations
from driftline.baseline.sample import RowKeeper, keeper_of
from driftline.baseline.store import Baseline


@dataclass(slots=True)
class JointReading:
    """A sample of the rows."""

    rows: RowKeeper
    seen: set[str]  # Judged columns that came.

    @classmethod
    def start(cls, cells: Mapping[str, Cells], row_count: int | None) -> JointReading:
        """Begin without rows."""
        return cls(keeper_of(cells, row_count=row_count), set())

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self.rows.update(batch)
        self.seen |= self.rows.types.keys() & set(batch.schema.names)

    def merge(self, other: JointReading) -> JointReading:
        """Return what is known of the rows of both, the other's after these."""
        return JointReading(self.rows.merge(other.rows), self.seen | other.seen)


def traits_of(baseline: Baseline) -> tuple[Traits, ...]:
    """Return what was derived of the reference's embeddings and free text."""
    sample, profile = baseline.sample, baseline.profile
    if sample is None or sample.derived is None or profile is None:
        return ()
    wanted = set(sample.derived.sources.values())
    found = derivations(profile, baseline.cells)
    return tuple(one for one in found if one.column in wanted)
