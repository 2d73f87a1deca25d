"""One column's counts in the reference, and the result of its drift test."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.significance import Numbers
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.divergences import (
    jensen_shannon_distance,
    population_stability,
)


@dataclass(frozen=True, slots=True)
class ReferenceColumn:
    """One column of the baseline."""

    cells: Cells
    counts: Numbers  # Rows by cell, shape (cells,).
    # Values that occur once, by which unseen ones are expected (Good-Turing); 0 for numbers.
    once_count: int = 0

    @property
    def row_count(self) -> float:
        """Rows of the reference."""
        return float(self.counts.sum())


@dataclass(frozen=True, slots=True)
class LevelChange:
    """One level of a column whose share changed."""

    phrase: str  # As a condition's: ``= "UA"``.
    # Of all rows, 0-1.
    share_reference: float
    share_window: float


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """The verdict on one column of one window."""

    column: str
    distance: float
    bound: float  # 1 where nothing could break it.
    p_value: float
    likelihood_ratio: float  # Of the strongest set, in nats.
    cell_index: int
    # The condition of the set; of a cut that lost rows, of its other side.
    predicate: Predicate
    # Of the rows that meet the predicate, 0-1, at the same time of the week.
    share_reference: float
    share_window: float
    share_interval: tuple[float, float]  # 95%.
    critical_value: float  # Of the ratio, where a violation begins.
    design_effect: float  # How many times more the set varies than independent rows.
    unseen_likelihood_ratio: float
    null_likelihood_ratio: float
    unfit_likelihood_ratio: float
    window_count: int  # Windows in the strongest span.
    since: datetime | None  # Start of that span; None: not known.
    reference_counts: Numbers = field(repr=False, compare=False)  # Rows by cell, shape (cells,).
    window_counts: Numbers = field(repr=False, compare=False)
    # Of the column whose constraints name a distance: it decided in place of the test.
    measured: Distance | None = None
    # Of a column of texts: which levels changed, that of the predicate first.
    levels: tuple[LevelChange, ...] = ()
    others_kept: bool = False  # Whether all other levels keep their proportions.

    @property
    def evidence(self) -> float:
        """Evidence beyond the critical value, in nats."""
        return self.likelihood_ratio - self.critical_value

    @property
    def over_windows(self) -> str:
        """The windows behind its shares, in words; "" for the judged one alone."""
        return f" over the last {self.window_count} windows" if self.window_count > 1 else ""

    @property
    def drifted(self) -> bool:
        """Whether the distance exceeds its bound.

        The drift test sets the bound (`Cases.limits` in `scan.py`); constraints that name a
        distance replace it (`ProfileChecks` in `kinds/data_quality/judgement.py`), ``compat`` in
        `sagemaker/judgement.py`.
        """
        return self.distance > self.bound

    @property
    def stability(self) -> float:
        """Population stability index over all cells, corrected for sample size; for display."""
        return population_stability(self.reference_counts, self.window_counts, corrected=True)

    @property
    def jensen_shannon(self) -> float:
        """Jensen-Shannon distance over all cells, corrected for sample size; for display."""
        return jensen_shannon_distance(self.reference_counts, self.window_counts, corrected=True)


def reference_columns(baseline: Baseline) -> dict[str, ReferenceColumn]:
    """Return, by column, the cells and the reference's counts."""
    found = {}
    for name, cells in baseline.cells.items():
        column = baseline.profile.columns.get(name) if baseline.profile else None
        if column is None or column.cell_counts is None:
            continue
        found[name] = ReferenceColumn(
            cells, column.cell_counts.astype(np.float64), _seen_once(column)
        )
    return found


def _seen_once(column: ColumnProfile) -> int:
    """Count the texts that occur once: the expected number of new ones."""
    if column.is_number or not column.levels.is_exact:
        return 0
    return int(np.sum(column.levels.counts == 1))
