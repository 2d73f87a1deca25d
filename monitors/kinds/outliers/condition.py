"""The condition of outliers, by which a violation finds its rows again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT
from driftline.capture.windows.window import ROW_IDS
from driftline.errors import UndecidedError
from driftline.monitors.kinds.outliers.scorer import RowScorer

OUTLIER = "outlier"
# The column that scores stand in beside a row's own.
SCORE = "outlier_score"


@dataclass(frozen=True, slots=True)
class OutlierCondition:
    """Marks the outliers, as `Predicate` does values of a column."""

    # None where only the words of a report were read.
    scorer: RowScorer | None = field(default=None, compare=False, repr=False)
    column: str = SCORE
    op: str = OUTLIER

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `mask` needs."""
        return () if self.scorer is None else self.scorer.columns

    @property
    def phrase(self) -> str:
        """The rows in words."""
        return "that few rows of the reference have"

    def __str__(self) -> str:
        return f"{self.column} {self.phrase}"

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the outliers; never null."""
        batches = batch.to_batches() if isinstance(batch, pa.Table) else [batch]
        found = [self._known.score(one).is_odd for one in batches]
        return pa.array(np.concatenate([np.zeros(0, bool), *found]))

    def worst(
        self, batches: Iterable[pa.RecordBatch], *, limit: int, position: str | None = None
    ) -> pa.Table:
        """Return the rows with the highest scores, highest first; see `Ranked`."""
        kept, first = pa.table({}), 0
        for batch in batches:
            found = self._known.score(batch)
            odd = pa.array(np.flatnonzero(found.is_odd))
            rows = pa.Table.from_batches([batch]).take(odd)
            rows = rows.append_column(SCORE, pa.array(found.scores).take(odd))
            if position is not None and "event_id" not in batch.schema.names:
                rows = rows.append_column(position, pc.add(odd, first))
            if rows.num_rows:
                kept = pa.concat_tables([kept, rows], promote_options="permissive")
                order = np.argsort(-kept.column(SCORE).to_numpy(), kind="stable")[:limit]
                kept = kept.take(pa.array(order))
            first += batch.num_rows
        front = [name for name in (*ROW_IDS, SCORE) if name in kept.column_names]
        rest = [name for name in kept.column_names if name not in {*front, UNFIT}]
        return kept.select([*front, *rest])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; what is odd is told by the report's baseline."""
        value = None if self.scorer is None else self.scorer.threshold
        return {"column": self.column, "op": self.op, "value": value}

    @property
    def _known(self) -> RowScorer:
        if self.scorer is None:
            raise UndecidedError("outliers are found again by their baseline, and none is given")
        return self.scorer
