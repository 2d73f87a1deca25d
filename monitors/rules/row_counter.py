"""Counts the rows that break a condition on single rows; parts of the data are merged exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import number_text
from driftline.monitors.results.violation import percent
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.outcome import RuleCondition, Tally
from driftline.monitors.rules.row_checks import Bounds, Formula, RowCheck


@dataclass(slots=True)
class RowRule:
    """A condition on rows with how strictly it is meant, and what was counted for it."""

    check: RowCheck
    mostly: float = 1.0  # Smallest share of the judged rows that must meet it, 0-1.
    nulls_fail: bool = False  # Else rows that a missing value leaves open are left out.
    where: Expression | None = None  # Only these rows are judged.
    declaration: Mapping[str, Any] = field(default_factory=dict)
    judged_count: int = field(default=0, init=False)
    broken_count: int = field(default=0, init=False)
    lowest: float = field(default=np.inf, init=False)
    highest: float = field(default=-np.inf, init=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there."""
        more = () if self.where is None else self.where.columns
        return tuple(dict.fromkeys((*self.check.columns, *more)))

    def start(self) -> RowRule:
        """Return the rule with nothing counted."""
        return replace(self)

    def judge(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Return whether each row keeps the rule; null where it is not judged."""
        verdict = self.check.holds(batch)
        if self.nulls_fail:
            verdict = pc.fill_null(verdict, fill_value=False)
        if self.where is None:
            return verdict
        return pc.if_else(self.where.evaluate(batch), verdict, pa.scalar(None, pa.bool_()))

    def breaks(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Mark the rows that break the rule; never null."""
        return pc.invert(pc.fill_null(self.judge(batch), fill_value=True))

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the rows of one batch."""
        if isinstance(self.check, Bounds) and self.where is None and not self.nulls_fail:
            # Nearly always all is well, and that is seen in a fraction of the time.
            known = self.check.held_by_all(batch)
            if known is not None:
                self.judged_count += known
                return
        verdict = self.judge(batch)
        judged = len(verdict) - verdict.null_count
        good = int(pc.sum(verdict).as_py() or 0)
        self.judged_count += judged
        if good == judged:
            return
        self.broken_count += judged - good
        if isinstance(self.check, Bounds | Formula):
            mask = pc.invert(pc.fill_null(verdict, fill_value=True))
            values = self.check.measure(batch, mask)
            if len(values):
                self.lowest = min(self.lowest, float(values.min()))
                self.highest = max(self.highest, float(values.max()))

    def merge(self, other: RowRule) -> None:
        """Add what another part has counted."""
        self.judged_count += other.judged_count
        self.broken_count += other.broken_count
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)

    def result(self) -> Tally:
        """Return the result; nothing judged is nothing broken."""
        check, mostly = self.check, self.mostly
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
                column=check.columns[0],
                phrase=check.broken,
                breaks=replace(self).breaks,
                rule=dict(self.declaration),
                columns=self.columns,
            ),
        )

    def _extremes(self) -> str:
        low, high = number_text(self.lowest), number_text(self.highest)
        return low if low == high else f"{low} to {high}"
