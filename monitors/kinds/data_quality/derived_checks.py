"""Judges derived columns by the share test, and words what changed: one table, `WORDS`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.derived_columns import (
    DAY_ENDS,
    DAY_OLD,
    DECIMAL_LEVELS,
    DECIMALS,
    DERIVATIONS,
    IDS,
    ORDER,
    ROWS,
    ROWS_IN_HOUR,
    SAME,
    DerivedColumn,
    DerivedCounter,
    DerivedCounts,
    OrderedRows,
    derived_codes,
)
from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.drift_test.drift_test import SCALES, DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.results.violation import DAY_CHECK, DRIFT_CHECK, Draft, Severity, percent

# Derived columns together cost this part of a monitor's false alarms.
PART = 0.3
DERIVED = "derived"
FEW_VALUES = 100
# Stands in the place of a feature's name.
DECIMALS_CHECK, ORDER_CHECK = "decimals_check", "order_check"
REPEATED_ROWS, REPEATED_ROWS_CHECK = "Repeated rows", "repeated_rows_check"


@dataclass(frozen=True, slots=True)
class Words:
    """How a kind of derived column is reported, once some of `levels` have become more frequent."""

    check: str
    levels: tuple[str, ...]
    phrase: Callable[[DerivedColumn, tuple[str, ...]], str]  # Which rows: of a column and levels.
    severity: Severity = "ticket"
    is_ordered: bool = False  # Whether rows move from levels to all of those above or below.


def _decimals(_: DerivedColumn, levels: tuple[str, ...]) -> str:
    if len(levels) == 1:
        return f"with {levels[0]}"
    if levels[0] == DECIMAL_LEVELS[0]:
        return f"with {levels[-1]} or fewer"
    return f"with {levels[0]} or more"


WORDS: Mapping[str, Words] = {
    SAME: Words("repeated_value_check", ("same",), lambda *_: "equal to the row before"),
    DAY_OLD: Words(
        "copied_day_check", ("same",), lambda *_: "with the values of the hour a day before"
    ),
    DAY_ENDS: Words(
        "saturation_check",
        ("largest", "smallest"),
        lambda _, levels: f"that repeat the {levels[0]} value of their day",
    ),
    DECIMALS: Words(DECIMALS_CHECK, DECIMAL_LEVELS, _decimals, is_ordered=True),
    ORDER: Words(
        ORDER_CHECK,
        ("reversed",),
        lambda one, _: f"with {one.columns[0]} below {one.columns[1]}",
        "page",
    ),
    ROWS_IN_HOUR: Words(REPEATED_ROWS_CHECK, ("again",), lambda *_: "equal to an earlier one"),
    ROWS: Words(REPEATED_ROWS_CHECK, ("again",), lambda *_: "equal to an earlier one"),
    IDS: Words("repeated_id_check", ("again",), lambda *_: "with the id of an earlier one"),
}


@dataclass(frozen=True, slots=True)
class DerivedCondition:
    """Marks the rows that have levels of a derived column, as `Predicate` does for values."""

    derived: DerivedColumn
    levels: tuple[str, ...]
    time: str | None
    op: str = DERIVED

    @property
    def column(self) -> str:
        """The column shown first; "" where no column says more than others."""
        is_of_rows = WORDS[self.derived.kind].check == REPEATED_ROWS_CHECK
        return "" if is_of_rows else self.derived.columns[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `mask` needs."""
        times = () if self.time is None else (self.time,)
        return (*self.derived.columns, *times)

    @property
    def phrase(self) -> str:
        """The condition in words, without the column's name."""
        return WORDS[self.derived.kind].phrase(self.derived, self.levels)

    def __str__(self) -> str:
        return f"{self.column} {self.phrase}".strip()

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the rows that have a level, beside the other rows of the batch; never null."""
        if isinstance(batch, pa.Table):
            parts = [self.mask(part) for part in batch.combine_chunks().to_batches()]
            return pa.concat_arrays(parts or [pa.array([], pa.bool_())])
        found = np.zeros(batch.num_rows, bool)
        if {*batch.schema.names}.issuperset(self.columns):
            rows = OrderedRows.of(batch, self.time)
            codes = derived_codes(rows, self.derived, whole=True)
            found[rows.index] = np.isin(codes, [*map(self.derived.levels.index, self.levels)])
        return pa.array(found)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, from which `from_dict` makes the condition."""
        return {
            "column": self.column,
            "op": self.op,
            "kind": self.derived.kind,
            "columns": list(self.derived.columns),
            "within": list(self.derived.within),
            "levels": list(self.levels),
            "time": self.time,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> DerivedCondition:
        """Read what `to_dict` returned."""
        column = DerivedColumn(found["kind"], tuple(found["columns"]), tuple(found["within"]))
        return cls(column, tuple(found["levels"]), found["time"])


def derived_references(known: DerivedCounts) -> dict[str, ReferenceColumn]:
    """Return the reference's counts by derived column."""
    return {
        one.name: ReferenceColumn(one.cells, known.counts[one.name].astype(np.float64))
        for one in known.columns
    }


def window_cells(found: DerivedCounter, known: DerivedCounts | None) -> dict[str, np.ndarray]:
    """Return a window's counts, its unknown rows as frequent as the reference's.

    How many rows have a neighbour depends on how they are read, which is no drift.
    """
    cells = {}
    for name, own in found.result().items():
        usual = np.zeros_like(own) if known is None else known.counts[name]
        rows = int(own[:-2].sum())
        unknown = round(rows * int(usual[-2]) / max(int(usual[:-2].sum()), 1))
        cells[name] = np.concatenate([own[:-2], [unknown, 0]])
    return cells


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts[:-2] / max(counts[:-2].sum(), 1.0))


def derived_drafts(
    context: CheckContext,
    counts: WindowCounts,
    judgement: Judgement,
    budget: Budget,
    time: str | None,
) -> list[Draft]:
    """Judge derived columns; of each column only the finding with most evidence speaks.

    ``counts`` are the window's, ``time`` the column with its rows' times.
    """
    baseline, past = context.baseline, context.past
    known, length = baseline.derived, context.rows.length
    if known is None:
        return []
    references, first = derived_references(known), past.first_windows
    scales = (1,) if past.counts is None else SCALES
    part = replace(budget, false_alarms_per_year=PART * budget.false_alarms_per_year)

    def share_test() -> DriftTest:
        blocks = known.blocks if first is None else first.blocks(references)
        return DriftTest(references, blocks, length, part, scales=scales)

    test = context.kept((DERIVED, length, budget, scales), share_test)
    drifts = test.judge(counts, past.counts or (), all_bounds=False).drifts
    spoken = _evidence_by_feature(judgement)
    drafts = []
    for column in sorted(known.columns, key=lambda one: -_evidence(drifts.get(one.name))):
        drift, names = drifts.get(column.name), column.columns
        if drift is None or not drift.drifted:
            continue
        if any(spoken.get(name, -math.inf) >= drift.evidence for name in names):
            continue
        draft = _draft(column, drift, time)
        if draft and column.kind == DECIMALS and _is_of_few_values(draft, baseline):
            continue
        if draft and all(baseline.constraints.config(one).evaluate_constraints for one in names):
            spoken |= dict.fromkeys(names, math.inf)
            drafts.append(draft)
    return drafts


def _is_of_few_values(draft: Draft, baseline: Baseline) -> bool:
    """Whether decimals only tell which of a column's few values came: its drift tells that."""
    few = baseline.profile and baseline.profile.columns[draft.feature].distinct_count <= FEW_VALUES
    return bool(few and draft.share_reference >= 1 / FEW_VALUES)


def _evidence(drift: ColumnDrift | None) -> float:
    return -math.inf if drift is None else drift.evidence


def _evidence_by_feature(judgement: Judgement) -> dict[str, float]:
    """Return how surely something else is reported of each column, in nats.

    Findings on days are of no rows, and other checks than those of shares need no evidence.
    """
    found: dict[str, float] = {}
    for draft in judgement.drafts:
        own, drift = math.inf, judgement.drifts.get(draft.feature)
        if draft.check == DRIFT_CHECK and drift is not None:
            own = drift.evidence
        if draft.check != DAY_CHECK:
            found[draft.feature] = max(own, found.get(draft.feature, -math.inf))
    return found


def _draft(column: DerivedColumn, drift: ColumnDrift, time: str | None) -> Draft | None:
    """Report the levels that have become more frequent by most; None where one is no fault."""
    words, feature = WORDS[column.kind], column.columns[0]
    before, now = (_shares(one) for one in (drift.reference_counts, drift.window_counts))
    levels = _grown(column.levels, now - before, is_ordered=words.is_ordered)
    if not {*levels} <= {*words.levels}:
        return None
    index = [*map(column.levels.index, levels)]
    share, share_reference = float(now[index].sum()), float(before[index].sum())
    if words.check == REPEATED_ROWS_CHECK:
        feature = REPEATED_ROWS
    needs_times = DERIVATIONS[column.kind].needs_times
    condition = DerivedCondition(column, levels, time if needs_times else None)
    what = (
        f"{percent(share)} of rows {condition.phrase} "
        f"(reference {percent(share_reference)}){drift.over_windows}"
    )
    return Draft(
        feature=feature,
        check=words.check,
        description=f"Rows differ from the reference's: {what}.",
        what=what,
        predicate=condition,
        share_reference=share_reference,
        share=share - share_reference,
        severity=words.severity,
        since=drift.since if drift.window_count > 1 else None,
    )


def _grown(levels: tuple[str, ...], gain: np.ndarray, *, is_ordered: bool) -> tuple[str, ...]:
    """Return the level that has gained most rows; of ordered ones, all on the side that has."""
    if not is_ordered:
        return (levels[int(np.argmax(gain))],)
    below = np.cumsum(gain)[:-1]  # The gain of each level and those before it.
    at = int(np.argmax(np.abs(below)))
    return levels[: at + 1] if below[at] > 0 else levels[at + 1 :]
