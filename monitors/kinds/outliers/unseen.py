"""Columns without any value in a window, reported once for all rows.

A missing value is unusual but, with a small reference, makes no outlier by itself: the share of
outliers would not show an empty column.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT, Predicate
from driftline.formats.coercion import coerce, is_missing
from driftline.monitors.kinds.outliers.levels import LevelTerms
from driftline.monitors.kinds.outliers.scorer import RowScorer
from driftline.monitors.kinds.outliers.terms import NumberTerms
from driftline.monitors.results.violation import plural


@dataclass(slots=True)
class UnseenValues:
    """Counts over some rows; grows by `update`, adds up by `merge`."""

    rows: Counter[str] = field(default_factory=Counter)  # By column, where it came.
    empty: Counter[str] = field(default_factory=Counter)  # Of them, without a value.
    unfit: Counter[str] = field(default_factory=Counter)  # Of another type.

    def update(self, scorer: RowScorer, batch: pa.RecordBatch) -> None:
        """Look at rows."""
        terms: list[NumberTerms | LevelTerms] = [*scorer.numbers, *scorer.levels]
        for one in terms:
            name = one.column
            if name not in batch.schema.names:
                continue
            plain, lost = coerce(batch.column(name), one.cells.type)
            if lost or UNFIT in batch.schema.names:
                lost = int(
                    pc.sum(Predicate(name, "unfit", one.cells.type).mask(batch)).as_py() or 0
                )
            self.rows[name] += len(plain)
            self.unfit[name] += lost
            self.empty[name] += int(pc.sum(is_missing(plain)).as_py() or 0) - lost

    def merge(self, other: UnseenValues) -> UnseenValues:
        """Return what is known of the rows of both."""
        return UnseenValues(
            self.rows + other.rows, self.empty + other.empty, self.unfit + other.unfit
        )

    def without_values(self) -> dict[str, str]:
        """Return the columns without a value in any row, each with what it has instead."""
        found = {}
        for name, rows in self.rows.items():
            if rows and self.empty[name] + self.unfit[name] == rows:
                found[name] = "no row has a value" if not self.unfit[name] else (
                    f"{plural(self.unfit[name], 'value')} of another type"
                )  # fmt: skip
        return found
