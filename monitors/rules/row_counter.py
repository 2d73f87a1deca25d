"""Counts the rows that break a condition on single rows; parts of the data are merged exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import number_text
from driftline.monitors.results.violation import percent
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.outcome import RuleCondition, Tally
from driftline.monitors.rules.row_checks import Bounds, RowCheck


@dataclass(frozen=True, slots=True)
class RowRule:
    """A condition on rows, with how strictly it is meant.

    Parameters
    ----------
    check
        The condition.
    mostly
        Smallest share of the judged rows that must meet it, 0-1.
    nulls_fail
        Whether a row breaks the rule where a missing value leaves it open; otherwise it is left
        out.
    where
        Only rows for which this holds are judged.
    declaration
        The rule as it was declared.
    """

    check: RowCheck
    mostly: float = 1.0
    nulls_fail: bool = False
    where: Expression | None = None
    declaration: Mapping[str, Any] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there."""
        more = () if self.where is None else self.where.columns
        return tuple(dict.fromkeys((*self.check.columns, *more)))

    def start(self) -> RowCounter:
        """Give a counter that has counted nothing."""
        return RowCounter(self)

    def judge(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Say of each row whether it keeps the rule; null where it is not judged."""
        verdict = self.check.holds(batch)
        if self.nulls_fail:
            verdict = pc.fill_null(verdict, fill_value=False)
        if self.where is None:
            return verdict
        return pc.if_else(self.where.evaluate(batch), verdict, pa.scalar(None, pa.bool_()))

    def breaks(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Mark the rows that break the rule; never null."""
        return pc.invert(pc.fill_null(self.judge(batch), fill_value=True))


class RowCounter:
    """Rows judged, rows broken, and the smallest and largest broken value."""

    def __init__(self, rule: RowRule) -> None:
        self.rule = rule
        self.judged_count = self.broken_count = 0
        self.lowest, self.highest = np.inf, -np.inf
        self.columns = rule.columns

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the rows of one batch."""
        rule = self.rule
        if isinstance(rule.check, Bounds) and rule.where is None and not rule.nulls_fail:
            # Nearly always all is well, and that is seen in a fraction of the time.
            known = rule.check.held_by_all(batch)
            if known is not None:
                self.judged_count += known
                return
        verdict = rule.judge(batch)
        judged = len(verdict) - verdict.null_count
        good = int(pc.sum(verdict).as_py() or 0)
        self.judged_count += judged
        if good == judged:
            return
        self.broken_count += judged - good
        # A function of somebody else's may look at any column.
        self.columns = self.columns or tuple(batch.schema.names)
        mask = pc.invert(pc.fill_null(verdict, fill_value=True))
        values = self.rule.check.measure(batch, mask)
        if len(values):
            self.lowest = min(self.lowest, float(values.min()))
            self.highest = max(self.highest, float(values.max()))

    def merge(self, other: RowCounter) -> None:
        """Take over what another part has counted."""
        self.judged_count += other.judged_count
        self.broken_count += other.broken_count
        self.columns = self.columns or other.columns
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)

    def result(self) -> Tally:
        """Say what it comes to; nothing judged is nothing broken."""
        check, mostly = self.rule.check, self.rule.mostly
        judged, broken = self.judged_count, self.broken_count
        if judged == 0 or (judged - broken) / judged >= mostly:
            return Tally(judged, broken, is_broken=False)
        noun = "values" if len(check.columns) == 1 and check.broken != "empty" else "rows"
        words = f"{percent(broken / judged)} of {noun} {check.broken}"
        if np.isfinite(self.lowest):
            words += f" ({self._extremes()})"
        if mostly < 1:
            words += f"; {percent(1 - mostly)} accepted"
        share = "all" if mostly == 1 else f"at least {percent(mostly)}"
        return Tally(
            judged,
            broken,
            is_broken=True,
            words=words,
            description=(
                f"{broken:,} of {judged:,} {noun} {check.broken}. Expected: {share} {check.wanted}."
            ),
            condition=RuleCondition(
                column=check.columns[0] if check.columns else "",
                phrase=check.broken,
                breaks=partial(_breaks, self.rule),
                rule=dict(self.rule.declaration or {}),
                columns=self.columns,
            ),
        )

    def _extremes(self) -> str:
        low, high = number_text(self.lowest), number_text(self.highest)
        return low if low == high else f"{low} to {high}"


def _breaks(rule: RowRule, batch: pa.RecordBatch) -> pa.BooleanArray:
    """Mark broken rows; a plain function, so that conditions travel between processes."""
    return rule.breaks(batch)
