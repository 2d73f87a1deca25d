"""The condition of outliers, by which a violation finds its rows again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

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
        found = [self._marks(one) for one in batches]
        return pa.array(np.concatenate(found) if found else np.zeros(0, bool))

    def worst(
        self, batches: Iterable[pa.RecordBatch], *, limit: int, position: str | None = None
    ) -> pa.Table:
        """Return the rows with the highest scores, highest first; see `Ranked`."""
        kept: pa.Table | None = None
        first = 0
        for batch in batches:
            scores = self._known.score(batch)
            odd = np.flatnonzero(scores >= self._known.threshold)
            if len(odd):
                table = pa.Table.from_batches([batch]).take(pa.array(odd))
                table = table.append_column(SCORE, pa.array(scores[odd]))
                if position is not None and "event_id" not in batch.schema.names:
                    table = table.append_column(position, pa.array(first + odd, pa.int64()))
                known = [table] if kept is None else [kept, table]
                whole = pa.concat_tables(known, promote_options="permissive")
                order = np.argsort(-whole.column(SCORE).to_numpy(), kind="stable")[:limit]
                kept = whole.take(pa.array(order))
            first += batch.num_rows
        if kept is None:
            return pa.table({})
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

    def _marks(self, batch: pa.RecordBatch) -> np.ndarray:
        return np.asarray(self._known.score(batch) >= self._known.threshold)
