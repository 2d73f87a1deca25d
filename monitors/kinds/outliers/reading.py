"""What one reading of a window gathers: the number of outliers, their columns, the worst rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from driftline.monitors.kinds.outliers.reasons import reasons_of
from driftline.monitors.kinds.outliers.scorer import RowScorer
from driftline.monitors.kinds.outliers.unseen import UnseenValues
from driftline.monitors.results.row_references import Pointer, row_pointers

# Scores from which rows are counted.
LEVELS = (1.0, 2.0, 3.0)
# Rows that a violation points to, the worst first.
WORST_ROWS = 20
# Of so many outliers of a batch it is said why: when all are odd, some tell of all.
EXPLAINED_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class OddRow:
    """One outlier."""

    score: float
    pointer: Pointer
    reason: str


@dataclass(slots=True)
class OutlierReading:
    """Counts of outliers."""

    scorer: RowScorer
    row_count: int = 0
    # Rows with a score of each of `levels` or more, int64, shape (levels,).
    counts: np.ndarray = field(default_factory=lambda: np.zeros(len(LEVELS) + 1, np.int64))
    odd: list[np.ndarray] = field(default_factory=list)  # Of each batch, whether each row is odd.
    # Outliers by their oddest column, "" for none; of very many, of the first of each batch.
    columns: Counter[str] = field(default_factory=Counter)
    worst: list[OddRow] = field(default_factory=list)  # The oddest rows, the worst first.
    seen: set[str] = field(default_factory=set)  # Columns that came.
    unseen: UnseenValues = field(default_factory=UnseenValues)

    @property
    def levels(self) -> tuple[float, ...]:
        """Scores from which rows are counted, the outliers' last."""
        return (*LEVELS, self.scorer.threshold)

    @property
    def flags(self) -> np.ndarray:
        """Whether each row is an outlier, bool, shape (rows,)."""
        return np.concatenate([np.zeros(0, np.bool_), *self.odd])

    @property
    def outlier_count(self) -> int:
        """Number of outliers."""
        return int(self.counts[-1])

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self.seen.update(batch.schema.names)
        self.unseen.update(self.scorer, batch)
        scores = self.scorer.score(batch)
        self.counts += [np.count_nonzero(scores >= level) for level in self.levels]
        self.odd.append(scores >= self.scorer.threshold)
        odd = np.flatnonzero(self.odd[-1])
        if len(odd):
            explained = batch.take(pa.array(odd[:EXPLAINED_ROWS]))
            self.columns.update(reasons_of(self.scorer, explained).tally())
            self._keep(batch, scores, odd[np.argsort(-scores[odd], kind="stable")][:WORST_ROWS])
        self.row_count += batch.num_rows

    def _keep(self, batch: pa.RecordBatch, scores: np.ndarray, places: np.ndarray) -> None:
        """Keep some rows if they are worse than the kept ones."""
        rows = batch.take(pa.array(places))
        words = reasons_of(self.scorer, rows).words.to_pylist()
        pointers = row_pointers(batch, places, self.row_count)
        found = zip(scores[places].tolist(), pointers, words, strict=True)
        self.worst = _worst([*self.worst, *(OddRow(*one) for one in found)])

    def merge(self, other: OutlierReading) -> OutlierReading:
        """Return what is known of the rows of both; the other's rows are numbered after these."""
        moved = [
            OddRow(one.score, _after(one.pointer, self.row_count), one.reason)
            for one in other.worst
        ]
        return OutlierReading(
            self.scorer,
            self.row_count + other.row_count,
            self.counts + other.counts,
            self.odd + other.odd,
            self.columns + other.columns,
            _worst([*self.worst, *moved]),
            self.seen | other.seen,
            self.unseen.merge(other.unseen),
        )


def _worst(rows: list[OddRow]) -> list[OddRow]:
    return sorted(rows, key=lambda one: -one.score)[:WORST_ROWS]


def _after(pointer: Pointer, rows: int) -> Pointer:
    row = pointer.get("row")
    return {"row": int(row) + rows} if row is not None else pointer
