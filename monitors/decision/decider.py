"""The decision of a monitor: which columns have drifted, judged over spans of 1, 2, 4 ... windows.

Pure: counts in, verdicts out. What it needs of the past is given to it, so that the same history
always gives the same verdicts, whether a monitor runs, a backtest replays or a bench simulates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.decision.budget import Budget
from driftline.monitors.decision.drift import (
    ColumnDrift,
    ReferenceColumn,
    block_tables,
    design_effects,
    judge_counts,
)
from driftline.monitors.decision.significance import MIN_ROWS, alpha_per_column
from driftline.monitors.decision.window_counts import WindowCounts

__all__ = ["INSUFFICIENT", "SCALES", "TOLERANCE", "Decider", "Decision"]

INSUFFICIENT = "insufficient_data"
# Windows that are judged together: the longer, the smaller the change that is found.
SCALES = (1, 2, 4, 8, 16, 32, 64)
# A change of so much of the share at the median is none worth an alarm.
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdicts on one window.

    Parameters
    ----------
    drifts
        By column: of the spans that end with this window the verdict with the most evidence over
        what it needs.
    notes
        By column: why there is no verdict, such as ``INSUFFICIENT``.
    alpha
        The p-value below which one column of a single window is a violation.
    """

    drifts: Mapping[str, ColumnDrift]
    notes: Mapping[str, str]
    alpha: float

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that have drifted."""
        return tuple(name for name, one in self.drifts.items() if one.drifted)


@dataclass(frozen=True)
class Decider:
    """The rule of one monitor, with what it knows of the reference.

    Parameters
    ----------
    references
        The judged columns.
    blocks
        The reference by the hour; None when it has no times: then nothing is known of its season
        and of how its rows hang together.
    length
        The windows' length; None for rows of no known span.
    budget
        Accepted false alarms, shared among columns, windows and scales.
    tolerances
        By column, ``TOLERANCE`` where missing: a share p may move by
        ``2 tolerance sqrt(p (1 - p))``.
    scales
        Ascending numbers of windows, from 1, each a multiple of the one before; (1,) for a check
        that has no past.
    """

    references: Mapping[str, ReferenceColumn]
    blocks: BlockCounts | None = None
    length: timedelta | None = None
    budget: Budget = field(default_factory=Budget)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    scales: tuple[int, ...] = (1,)

    @property
    def memory(self) -> int:
        """How many windows before the judged one are needed."""
        return self.scales[-1] - 1

    def judge(self, window: WindowCounts, past: Sequence[WindowCounts] = ()) -> Decision:
        """Judge one window, and the longer spans that end with it.

        Parameters
        ----------
        window
            Counted on the references' cells.
        past
            The windows before it, at least the last ``memory`` of them where there are so many,
            in order of time; some may be missing.
        """
        alpha = alpha_per_column(
            self.budget.false_alarms_per_year, self.budget.windows_per_year, len(self.references)
        )
        rows = max((one.row_count for one in self.references.values()), default=0.0)
        enough = window.row_count >= MIN_ROWS
        share = window.row_count / rows if rows else 1.0
        tables = block_tables(self.blocks, self.length, row_share=share) if enough else {}
        effects = design_effects(self.references, tables, window_rows=window.row_count)
        drifts, notes = {}, {}
        for name, reference in self.references.items():
            verdict = judge_counts(
                reference,
                window.cells.get(name),
                effects[name],
                alpha=alpha,
                tolerance=self.tolerances.get(name, TOLERANCE),
            )
            if verdict is None:
                notes[name] = INSUFFICIENT
            else:
                drifts[name] = verdict
        return Decision(drifts, notes, alpha)
