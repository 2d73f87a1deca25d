"""The outcome of a rule, its words, and the condition that finds its rows again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.row_hashes import hash_rows
from driftline.monitors.results.violation import Draft, Severity
from driftline.monitors.rules.checks import Check, Tally
from driftline.monitors.rules.rule import Rule

# As findings.PAGE_SHARE: fewer rows than this at fault are worth a ticket, but wake nobody.
PAGE_SHARE = 0.02
# What a window's violations are called when no column is.
WHOLE = {
    "row_count": "Row count",
    "duplicate_rows": "Duplicate rows",
    "columns_exist": "Columns",
    "column_order": "Column order",
}
QUERY_SHOWN = 80  # Characters of a query that name a rule without a name.


@dataclass(frozen=True, slots=True)
class RuleCondition:
    """Marks the rows that break a rule, as `Predicate` does for a column.

    It knows them by hashes of the columns that tell them apart: rows that are the same in these
    break a rule together. No document holds hashes, because integers can be read from theirs.
    """

    column: str
    phrase: str
    rule: Mapping[str, Any]
    columns: tuple[str, ...]
    keys: np.ndarray = field(  # Ascending, shape (keys,).
        default_factory=lambda: np.empty(0, np.uint64), compare=False, repr=False
    )
    op: str = "rule"

    def __str__(self) -> str:
        return f"{self.column} {self.phrase}".strip()

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the rows that break the rule; never null."""
        if isinstance(batch, pa.Table):
            # None of a table without rows; several beyond 2 GiB of text.
            parts = [self.mask(part) for part in batch.combine_chunks().to_batches()]
            return pa.concat_arrays(parts or [pa.array([], pa.bool_())])
        return pa.array(np.isin(self.hashes(batch), self.keys))

    def hashes(self, batch: pa.RecordBatch) -> np.ndarray:
        """Return the hash of each row, shape (rows,)."""
        return hash_rows(batch, [one for one in self.columns if one in batch.schema.names])[0]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, from which `read_condition` makes the condition."""
        columns = list(self.columns)
        return {"column": self.column, "op": self.op, "rule": dict(self.rule), "compared": columns}


@dataclass(slots=True)
class Outcome:
    """A rule, and what was counted for it."""

    rule: Rule
    check: Check
    tally: Tally = field(default_factory=Tally)
    absent: tuple[str, ...] = ()  # Columns without which it cannot be judged.
    is_open: bool = False  # Whether that is no violation: such columns are never captured.
    marks: np.ndarray | None = None  # The rows at fault, shape (rows,).
    condition: RuleCondition | None = None  # Finds them; None: no row is behind it.

    @property
    def passed(self) -> bool | None:
        """Whether the rule holds; None when it judged no row."""
        if self.is_open:
            return None
        if self.absent or self.tally.is_broken:
            return False
        return True if self.tally.judged_count or not self.tally.concerns_rows else None

    @property
    def feature(self) -> str:
        """What a violation of the rule is of."""
        name = self.rule.check
        if name in WHOLE:
            return WHOLE[name]
        if name == "sql" and not self.rule.name:  # What tells it from another one.
            query = " ".join(self.rule.text("query").split())
            half = QUERY_SHOWN // 2
            return query if len(query) <= QUERY_SHOWN else f"{query[:half]}…{query[1 - half :]}"
        return ", ".join(self.check.columns) or self.rule.name or name


def outcome_drafts(outcomes: Sequence[Outcome]) -> list[Draft]:
    """Word the rules that are broken as drafts of violations, in the order of the rules."""
    return [
        _draft(outcome)
        for outcome in outcomes
        if (outcome.tally.is_broken or outcome.absent) and not outcome.is_open
    ]


def _draft(outcome: Outcome) -> Draft:
    rule, tally = outcome.rule, outcome.tally
    own = f"{rule.name}: " if rule.name else ""
    words, description = tally.words, tally.description
    if outcome.absent:
        missing = ", ".join(outcome.absent)
        words = f"cannot be judged, the data have no column {missing}"
        description = f"The rule cannot be judged: there is no column {missing}."
    share = tally.broken_count / tally.judged_count if tally.judged_count else 1.0
    is_grave = outcome.absent or not tally.concerns_rows or share >= PAGE_SHARE
    severity: Severity = "page" if is_grave else "ticket"
    return Draft(
        feature=outcome.feature,
        check=f"{rule.check}_check",
        description=f"{own}{description}",
        what=f"{own}{words}",
        predicate=outcome.condition,
        share=share,
        severity=rule.severity or severity,
    )
