"""Judges derived columns by the share test, and words what changed: one table, `WORDS`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.constraints import Constraints
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
# Stands in the place of a feature's name.
DECIMALS_CHECK, ORDER_CHECK = "decimals_check", "order_check"
REPEATED_ROWS, REPEATED_ROWS_CHECK = "Repeated rows", "repeated_rows_check"


@dataclass(frozen=True, slots=True)
class Words:
    """How a kind of derived column is reported, once one of `levels` has become more frequent."""

    check: str
    levels: tuple[str, ...]
    phrase: Callable[[DerivedColumn, str], str]  # Which rows: of a column and its level.
    severity: Severity = "ticket"


WORDS: Mapping[str, Words] = {
    SAME: Words("repeated_value_check", ("same",), lambda *_: "equal to the row before"),
    DAY_OLD: Words(
        "copied_day_check", ("same",), lambda *_: "with the values of the hour a day before"
    ),
    DAY_ENDS: Words(
        "saturation_check",
        ("largest", "smallest"),
        lambda _, level: f"that repeat the {level} value of their day",
    ),
    DECIMALS: Words(DECIMALS_CHECK, DECIMAL_LEVELS, lambda _, level: f"with {level}"),
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
    """Marks the rows that have a level of a derived column, as `Predicate` does for values."""

    derived: DerivedColumn
    level: str
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
        return WORDS[self.derived.kind].phrase(self.derived, self.level)

    def __str__(self) -> str:
        return f"{self.column} {self.phrase}".strip()

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the rows that have the level, beside the other rows of the batch; never null."""
        if isinstance(batch, pa.Table):
            parts = [self.mask(part) for part in batch.combine_chunks().to_batches()]
            return pa.concat_arrays(parts or [pa.array([], pa.bool_())])
        found = np.zeros(batch.num_rows, bool)
        if {*batch.schema.names}.issuperset(self.columns):
            rows = OrderedRows.of(batch, self.time)
            codes = derived_codes(rows, self.derived, whole=True)
            found[rows.index] = codes == self.derived.levels.index(self.level)
        return pa.array(found)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, from which `from_dict` makes the condition."""
        return {
            "column": self.column,
            "op": self.op,
            "kind": self.derived.kind,
            "columns": list(self.derived.columns),
            "within": list(self.derived.within),
            "level": self.level,
            "time": self.time,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> DerivedCondition:
        """Read what `to_dict` returned."""
        column = DerivedColumn(found["kind"], tuple(found["columns"]), tuple(found["within"]))
        return cls(column, found["level"], found["time"])


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


@dataclass(frozen=True, slots=True)
class DerivedFinding:
    """A derived column of which a level has become more frequent than chance brings."""

    column: DerivedColumn
    level: str
    drift: ColumnDrift
    share: float  # Of the window's known rows, 0-1.
    share_reference: float

    @property
    def evidence(self) -> float:
        """Evidence beyond the critical value, in nats."""
        return self.drift.likelihood_ratio - self.drift.critical_value


def find_derived(known: DerivedCounts, drifts: Mapping[str, ColumnDrift]) -> list[DerivedFinding]:
    """Return the derived columns that drifted to a level that is a fault, strongest first."""
    found = []
    for column in known.columns:
        drift = drifts.get(column.name)
        if drift is None or not drift.drifted:
            continue
        before, now = (_shares(one) for one in (drift.reference_counts, drift.window_counts))
        grown = int(np.argmax(now - before))
        level = column.levels[grown]
        if level in WORDS[column.kind].levels:
            shares = float(now[grown]), float(before[grown])
            found.append(DerivedFinding(column, level, drift, *shares))
    return sorted(found, key=lambda one: -one.evidence)


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts[:-2] / max(counts[:-2].sum(), 1.0))


def derived_drafts(
    context: CheckContext,
    counts: WindowCounts,
    judgement: Judgement,
    budget: Budget,
    time: str | None,
) -> list[Draft]:
    """Judge derived columns; the judgement tells which columns have stronger findings.

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
    return _strongest(find_derived(known, drifts), judgement, baseline.constraints, time)


def _strongest(
    found: Iterable[DerivedFinding],
    judgement: Judgement,
    constraints: Constraints,
    time: str | None,
) -> list[Draft]:
    """Return the drafts of findings; of each column, only the one with most evidence speaks.

    Findings on days are of no rows, and other checks than those of shares need no evidence.
    """
    spoken: dict[str, float] = {}
    for draft in judgement.drafts:
        own, drift = math.inf, judgement.drifts.get(draft.feature)
        if draft.check == DRIFT_CHECK and drift is not None:
            own = drift.likelihood_ratio - drift.critical_value
        if draft.check != DAY_CHECK:
            spoken[draft.feature] = max(own, spoken.get(draft.feature, -math.inf))
    drafts = []
    for one in found:
        columns = one.column.columns
        if any(spoken.get(name, -math.inf) >= one.evidence for name in columns):
            continue
        if all(constraints.config(name).evaluate_constraints for name in columns):
            spoken |= dict.fromkeys(columns, math.inf)
            drafts.append(_draft(one, time))
    return drafts


def _draft(found: DerivedFinding, time: str | None) -> Draft:
    words, feature = WORDS[found.column.kind], found.column.columns[0]
    if words.check == REPEATED_ROWS_CHECK:
        feature = REPEATED_ROWS
    needs_times = DERIVATIONS[found.column.kind].needs_times
    condition = DerivedCondition(found.column, found.level, time if needs_times else None)
    what = (
        f"{percent(found.share)} of rows {condition.phrase} "
        f"(reference {percent(found.share_reference)}){found.drift.over_windows}"
    )
    return Draft(
        feature=feature,
        check=words.check,
        description=f"Rows differ from the reference's: {what}.",
        what=what,
        predicate=condition,
        share_reference=found.share_reference,
        share=found.share - found.share_reference,
        severity=words.severity,
        since=found.drift.since if found.drift.window_count > 1 else None,
    )
