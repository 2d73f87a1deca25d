"""Finds faults that no share of a column shows: lost hours, exchanged codes, converted numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from driftline.baseline.blocks import HOUR_US
from driftline.baseline.column import ColumnProfile
from driftline.baseline.lengths import no_counts
from driftline.baseline.times import run_starts
from driftline.baseline.value_runs import TimeOrder
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.data_quality.codes_check import exchanged_codes_drafts
from driftline.monitors.kinds.data_quality.converted_numbers_check import converted_numbers_drafts
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.kinds.data_quality.lost_hours_check import lost_rows_draft
from driftline.monitors.results.violation import Draft
from driftline.monitors.root_cause.faults.context import FaultContext
from driftline.monitors.root_cause.faults.conversion import KIND as UNIT_KIND
from driftline.monitors.root_cause.faults.exchanged import KIND as EXCHANGED

# Checks that tell that a column's values are others altogether.
OTHER_VALUES = frozenset({"constant_check", "data_type_check", "unit_change_check"})


@dataclass(slots=True, eq=False)
class HourCounter:
    """Counts a window's rows by the hour; parts add up exactly."""

    # int64: hours since 1970-01-01T00:00Z that have rows, ascending, and the rows of each.
    hours: np.ndarray = field(default_factory=no_counts)
    rows: np.ndarray = field(default_factory=no_counts)

    def update(self, order: TimeOrder) -> None:
        """Add rows, given their order in time."""
        if len(order.times_us):
            hours = order.times_us // HOUR_US
            starts = run_starts(hours)
            rows = np.diff(starts, append=len(hours))
            self.hours, self.rows = self._with(hours[starts], rows)

    def merge(self, other: HourCounter) -> HourCounter:
        """Return the counter of the rows of both; neither input changes."""
        return HourCounter(*self._with(other.hours, other.rows))

    def _with(self, hours: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, index = np.unique(np.concatenate([self.hours, hours]), return_inverse=True)
        return found, np.bincount(index, np.concatenate([self.rows, rows])).astype(np.int64)

    def span_hours(self, window: Window | None) -> float | None:
        """Return the hours of a window; None where unknown."""
        if window is not None:
            return window.length.total_seconds() / 3600
        return float(self.hours[-1] - self.hours[0] + 1) if len(self.hours) else None


def find_row_faults(
    found: HourCounter,
    columns: Mapping[str, ColumnProfile],
    context: CheckContext,
    judgement: Judgement,
    shown: Callable[[Sequence[str]], FaultContext],
) -> list[Draft]:
    """Return a draft for each fault of a window's rows.

    ``shown`` returns the context that recognises a fault's kind, for some columns.
    """
    baseline, facts = context.baseline, context.rows.facts
    constraints = baseline.constraints
    if not constraints.monitoring_config.evaluate_constraints:
        return []
    window = facts.window if facts else None
    lost = lost_rows_draft(found.hours, found.rows, baseline.blocks, window, context.budget)
    explained = {one.feature for one in judgement.drafts if _has_other_values(one)}
    explained |= {
        one.name
        for one in baseline.signature.columns
        if not constraints.config(one.name).evaluate_constraints
    }
    codes = exchanged_codes_drafts(shown([one.feature for one in judgement.drafts]), explained)
    converted = converted_numbers_drafts(columns, context, explained | _converted(judgement))
    return [*([] if lost is None else [lost]), *codes, *converted]


def _has_other_values(draft: Draft) -> bool:
    """Whether a column's whole distribution has changed."""
    is_exchanged = draft.fault is not None and draft.fault.kind == EXCHANGED
    return draft.check in OTHER_VALUES or is_exchanged


def _converted(judgement: Judgement) -> set[str]:
    """Return the columns with a reported change of unit."""
    return {
        one.feature
        for one in judgement.drafts
        if one.unit is not None or (one.fault is not None and one.fault.kind == UNIT_KIND)
    }
