"""The decision of a monitor: which columns have drifted, judged over spans of 1, 2, 4 ... windows.

Pure: counts in, verdicts out. What it needs of the past is given to it, so that the same history
always gives the same verdicts, whether a monitor runs, a backtest replays or a bench simulates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import pairwise

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.errors import InputError
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.detectability import UNDECIDABLE, undecidable
from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.drift_test.expiry import without_what_is_over
from driftline.monitors.drift_test.mixture import Mixture
from driftline.monitors.drift_test.reference_model import Knowledge
from driftline.monitors.drift_test.scan import Merged, SpanScan, merge_spans, scan_span
from driftline.monitors.drift_test.significance import Numbers, alpha_per_column
from driftline.monitors.drift_test.spans import Span, part_before, spans_ending_with
from driftline.monitors.drift_test.verdicts import strongest_verdicts
from driftline.monitors.drift_test.window_counts import WindowCounts

INSUFFICIENT = "insufficient_data"
# Windows that are judged together: the longer, the smaller the change that is found.
SCALES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdicts on one window.

    Parameters
    ----------
    drifts
        By column: of the spans that end with this window the verdict of the shortest that is a
        violation, else of that with the most evidence over what it needs.
    notes
        By column: why there is no verdict, such as ``INSUFFICIENT``, or what it is worth:
        ``UNDECIDABLE`` where no window of so many rows could be a violation.
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
        By column, the budget's where missing: a share p may move by
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

    def __post_init__(self) -> None:
        """Check the scales."""
        pairs = pairwise(self.scales)
        if self.scales[:1] != (1,) or any(b <= a or b % a for a, b in pairs):
            raise InputError(
                f"scales {self.scales}: expected ascending numbers of windows from 1, each a "
                "multiple of the one before, such as (1, 2, 4, 8)"
            )

    @property
    def memory(self) -> int:
        """How many windows before the judged one are needed."""
        return self.scales[-1] - 1

    @cached_property
    def knowledge(self) -> Knowledge | Mixture:
        """What is learnt of the reference, once; the most costly part is learnt at first use."""
        if self.blocks is not None and self.blocks.apart:
            return Mixture.of(self.references, self.blocks, self.length)
        return Knowledge.of(self.references, self.blocks, self.length)

    @cached_property
    def _tolerances(self) -> Numbers:
        usual = self.budget.tolerance
        return np.array([self.tolerances.get(name, usual) for name in self.references])

    def alpha(self, scale: int = 1) -> float:
        """Give the p-value below which one column is a violation in a span of so many windows."""
        return alpha_per_column(
            self.budget.false_alarms_per_year,
            self.budget.windows_per_year,
            len(self.references),
            scale=scale,
            scale_count=len(self.scales),
        )

    def judge(self, window: WindowCounts, past: Sequence[WindowCounts] = ()) -> Decision:
        """Judge one window, and the longer spans that end with it.

        Parameters
        ----------
        window
            Counted on the references' cells.
        past
            The windows before it, at least the last ``memory`` of them where there are so many,
            in order of time; some may be missing.

        Raises
        ------
        InputError
            When a column was counted on other cells than the reference's.
        """
        layout = self.knowledge.layout
        spans = spans_ending_with(window, past, self.scales, self.length)
        merged = merge_spans(layout, spans)
        scans = [self._scan(span, counts) for span, counts in zip(spans, merged, strict=True)]

        def older(place: int) -> SpanScan | None:
            span = part_before(spans[place], spans[place - 1])
            return self._scan(span, *merge_spans(layout, [span])) if span.windows else None

        drifts = strongest_verdicts(layout, without_what_is_over(layout, scans, older))
        notes = {name: INSUFFICIENT for name in self.references if name not in drifts}
        # What a single window cannot show longer spans may: the longest has the last word.
        if spans and spans[-1].scale == self.scales[-1]:
            notes |= dict.fromkeys(undecidable(layout, scans, drifts), UNDECIDABLE)
        return Decision(drifts, notes, self.alpha())

    def _scan(self, span: Span, merged: Merged) -> SpanScan:
        return scan_span(
            self.knowledge.layout,
            span,
            merged,
            self.knowledge.expect(span),
            tolerance=self._tolerances,
            alpha=self.alpha(span.scale),
        )
