"""What a decision knows and says of one column: the reference's side, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from driftline.baseline.cells import Cells
from driftline.baseline.predicate import Predicate
from driftline.monitors.distances.divergences import (
    jensen_shannon_distance,
    population_stability,
)
from driftline.monitors.drift_test.significance import Numbers


@dataclass(frozen=True, slots=True)
class ReferenceColumn:
    """What the baseline knows of one column.

    Parameters
    ----------
    cells
        How its rows are counted.
    counts
        The reference's rows per cell, shape (cells,).
    once_count
        Values that occur once in the reference, by which unseen ones are expected (Good-Turing);
        0 for numbers.
    """

    cells: Cells
    counts: Numbers
    once_count: int = 0

    @property
    def row_count(self) -> float:
        """Rows of the reference."""
        return float(self.counts.sum())


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """The verdict on one column of one window.

    Parameters
    ----------
    column
        The user's name.
    distance, bound, p_value, evidence
        Of the strongest set; a violation iff ``distance > bound``.
    cell_index, cell
        The strongest set and its words.
    predicate
        The condition that the rows behind it meet: the set itself, or what gained the rows that
        it lost.
    share_reference, share_window, share_interval
        Shares of the rows that meet the predicate, 0-1, and the window's 95 % interval. The
        reference's are those at the same time of the week, where the column has a season.
    needed
        The evidence at which a violation begins.
    design_effect
        How many times more the set varies than independent rows would.
    unseen_evidence, null_evidence
        Evidence of more unseen values, of more gaps.
    window_count, since
        Windows in the strongest span that ends with the judged one, and when the first of them
        began; None when that is not known.
    alpha
        The p-value below which the column is a violation in a span of that length.
    reference_counts, window_counts
        Rows per cell, shape (cells,), of what was compared.
    """

    column: str
    distance: float
    bound: float
    p_value: float
    evidence: float
    cell_index: int
    cell: str
    predicate: Predicate
    share_reference: float
    share_window: float
    share_interval: tuple[float, float]
    needed: float
    design_effect: float
    unseen_evidence: float
    null_evidence: float
    window_count: int
    since: datetime | None
    alpha: float
    reference_counts: Numbers = field(repr=False, compare=False)
    window_counts: Numbers = field(repr=False, compare=False)

    @property
    def drifted(self) -> bool:
        """Whether the distance exceeds its bound."""
        return self.distance > self.bound

    @property
    def stability(self) -> float:
        """Population stability index over all cells, corrected for sample size; for show."""
        return population_stability(self.reference_counts, self.window_counts, corrected=True)

    @property
    def jensen_shannon(self) -> float:
        """Jensen-Shannon distance over all cells, corrected for sample size; for show."""
        return jensen_shannon_distance(self.reference_counts, self.window_counts, corrected=True)
