"""The drift test of all columns, over spans of 1, 4, 16 and 64 windows.

Pure: past windows are an argument, so the same history always gives the same verdicts, in a
monitor, a backtest or a bench.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.times import EPOCH
from driftline.errors import InputError
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.detectability import REMEDY, testable, testable_gaps, too_few
from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.drift_test.reference_model import PartedReferenceModel, ReferenceModel
from driftline.monitors.drift_test.scan import Merged, SpanScan, merge_spans, scan_span
from driftline.monitors.drift_test.significance import Numbers
from driftline.monitors.drift_test.spans import Span, spans_ending_with
from driftline.monitors.drift_test.verdicts import strongest_verdicts, without_expired
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.state import State
from driftline.stats.multiple_testing import alpha_per_test

# Windows that are judged together: the longer, the smaller the change that is found.
SCALES = (1, 4, 16, 64)
FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DriftTestResult:
    """The verdicts on one window."""

    # The shortest span that is a violation, else that with the largest ratio.
    drifts: Mapping[str, ColumnDrift]
    notes: Mapping[str, State]  # Why there is no verdict.
    alpha: float  # The p-value below which one column of a single window is a violation.
    # By column that could not be judged, what would help.
    remedies: Mapping[str, str] = field(default_factory=dict)
    # Columns of which no share of empty values could be a violation.
    gaps: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DriftTest:
    """The drift test of one monitor, with its reference."""

    references: Mapping[str, ReferenceColumn]
    blocks: BlockCounts | None = None  # The reference by the hour; None: it has no times.
    length: timedelta | None = None  # Of a window; None: rows of no known span.
    budget: Budget = field(default_factory=Budget)
    # By column, the budget's where missing: p may move by 2 tolerance sqrt(p (1 - p)).
    tolerances: Mapping[str, float] = field(default_factory=dict)
    # Ascending numbers of windows, from 1, each a multiple of the one before.
    scales: tuple[int, ...] = (1,)
    _known_testable: dict[int, tuple[frozenset[str], frozenset[str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check the scales."""
        pairs = pairwise(self.scales)
        if self.scales[:1] != (1,) or any(b <= a or b % a for a, b in pairs):
            raise InputError(
                f"scales {self.scales}: expected ascending numbers of windows from 1, each a "
                "multiple of the one before, such as (1, 4, 16)"
            )

    @cached_property
    def reference_model(self) -> ReferenceModel | PartedReferenceModel:
        """The reference model, learnt once; its most costly part at first use."""
        if self.blocks is not None and self.blocks.apart:
            return PartedReferenceModel.of(self.references, self.blocks, self.length)
        return ReferenceModel.of(self.references, self.blocks, self.length)

    @cached_property
    def _tolerances(self) -> Numbers:
        usual = self.budget.tolerance
        return np.array([self.tolerances.get(name, usual) for name in self.references])

    def alpha(self, scale: int = 1) -> float:
        """Return the p-value below which one column is a violation in a span of this scale."""
        return alpha_per_test(
            self.budget.false_alarms_per_year,
            self.budget.windows_per_year,
            len(self.references),
            scale=scale,
            scale_count=len(self.scales),
        )

    def judge(
        self,
        window: WindowCounts,
        past: Sequence[WindowCounts] = (),
        *,
        all_bounds: bool = True,
    ) -> DriftTestResult:
        """Judge one window, and the longer spans that end with it.

        Parameters
        ----------
        past
            The windows before it, as many as the longest span has, in order of time; some may be
            missing.
        all_bounds
            Whether the bounds of columns without a violation are asked for, too: else they are
            their distances, which is faster.

        Raises
        ------
        InputError
            When a column was counted on other cells.
        """
        layout = self.reference_model.layout
        spans = spans_ending_with(window, past, self.scales, self.length)
        merged = merge_spans(layout, spans)
        scans = [self._scan(span, counts) for span, counts in zip(spans, merged, strict=True)]
        standing = without_expired(layout, scans)
        drifts = strongest_verdicts(layout, standing, all_bounds=all_bounds)
        few = [name for name in self.references if name not in drifts]
        notes = dict.fromkeys(few, State.INSUFFICIENT)
        remedies = {name: too_few(self.references[name].row_count) for name in few}
        quiet = {name for name, one in drifts.items() if not one.drifted}
        values, gaps = self._testable(round(math.log2(max(window.row_count, 1))))
        beyond = [name for name in drifts if name in quiet - values]
        notes |= dict.fromkeys(beyond, State.TOO_VARIABLE)
        remedies |= dict.fromkeys(beyond, REMEDY)
        return DriftTestResult(drifts, notes, self.alpha(), remedies, frozenset(quiet - gaps))

    def _testable(self, octave: int) -> tuple[frozenset[str], frozenset[str]]:
        """Return the columns that could be a violation in some span of windows of 2^octave rows.

        Also those whose empty values could. The span is taken at the reference's end, as full as
        the reference, so that every window gets the same answer.
        """
        if octave in self._known_testable:
            return self._known_testable[octave]
        layout = self.reference_model.layout
        values, gaps = np.zeros((2, len(layout)), np.bool_)
        end = None
        if self.blocks is not None and self.blocks.hours.size and self.length is not None:
            end = EPOCH + timedelta(hours=int(self.blocks.hours[-1]) + 1)
        for scale in self.scales:
            if end is not None and self.length is not None and scale * self.length > end - FIRST:
                break  # No calendar holds such a span, as of a window that somebody left open.
            rows = scale * 2**octave
            cells = {
                name: np.rint(one.counts * (rows / max(one.row_count, 1.0))).astype(np.int64)
                for name, one in self.references.items()
            }
            start = None if end is None or self.length is None else end - scale * self.length
            span = Span((WindowCounts(start, end, rows, cells),), scale, scale)
            scan = self._scan(span, *merge_spans(layout, [span]))
            values |= testable(layout, scan)
            gaps |= testable_gaps(layout, scan)
        names = np.array(layout.names, dtype=object)
        self._known_testable[octave] = frozenset(names[values]), frozenset(names[gaps])
        return self._known_testable[octave]

    def _scan(self, span: Span, merged: Merged) -> SpanScan:
        layout, expectation = self.reference_model.layout, self.reference_model.expect(span)
        return scan_span(
            layout,
            span,
            merged,
            expectation,
            tolerance=self._tolerances,
            alpha=self.alpha(span.scale),
        )
