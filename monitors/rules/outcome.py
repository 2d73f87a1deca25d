"""The outcome of a rule, its words, and the condition that finds its rows again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.row_hashes import hash_rows
from driftline.monitors.results.violation import Draft, Severity
from driftline.monitors.rules.ruleset import Rule

# As findings.PAGE_SHARE: fewer rows than this at fault are worth a ticket, but wake nobody.
PAGE_SHARE = 0.02
NO_KEYS = np.empty(0, np.uint64)


@dataclass(frozen=True, slots=True)
class RuleCondition:
    """Marks the rows that break a rule, as `Predicate` does for a column."""

    column: str
    phrase: str
    # Marks rows, never null.
    breaks: Callable[[pa.RecordBatch], pa.BooleanArray] = field(compare=False, repr=False)
    rule: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()  # The columns that `breaks` reads.
    compared: tuple[str, ...] = ()  # The columns that tell its rows apart.
    op: str = "rule"

    def __str__(self) -> str:
        return f"{self.column} {self.phrase}".strip()

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the rows that break the rule; never null."""
        if isinstance(batch, pa.Table):
            # None of a table without rows; several beyond 2 GiB of text.
            parts = [self.breaks(part) for part in batch.combine_chunks().to_batches()]
            return pa.concat_arrays(parts or [pa.array([], pa.bool_())])
        return self.breaks(batch)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, from which `read_condition` makes the condition."""
        found: dict[str, Any] = {"column": self.column, "op": self.op, "rule": dict(self.rule)}
        if self.compared:
            found["compared"] = list(self.compared)
        return found


@dataclass(frozen=True, slots=True)
class RowKeys:
    """Marks rows by hashes of the columns that tell them apart; ascending, shape (keys,).

    Rows that are the same in these columns break a rule together. No document holds hashes, because
    integers can be read from theirs.
    """

    columns: tuple[str, ...]
    keys: np.ndarray = field(default_factory=NO_KEYS.copy)

    def of(self, batch: pa.RecordBatch) -> np.ndarray:
        """Return the hash of each row, shape (rows,)."""
        return hash_rows(batch, [one for one in self.columns if one in batch.schema.names])[0]

    def __call__(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Mark the rows of one batch."""
        return pa.array(np.isin(self.of(batch), self.keys))


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted for one rule."""

    judged_count: int
    broken_count: int
    is_broken: bool
    words: str = ""  # Without the column, such as "2% of values outside 0 to 120".
    description: str = ""  # A sentence with exact counts and what was expected.
    condition: RuleCondition | None = None  # None: no row is behind it.
    concerns_rows: bool = True  # Whether the share of rows tells how grave it is.


@dataclass(frozen=True, slots=True)
class Outcome:
    """A rule, and what was counted for it."""

    rule: Rule
    tally: Tally
    feature: str  # What a violation is of.
    absent: tuple[str, ...] = ()  # Columns without which it cannot be judged.
    is_open: bool = False  # Whether that is no violation: such columns are never captured.

    @property
    def passed(self) -> bool | None:
        """Whether the rule holds; None when it judged no row."""
        if self.is_open:
            return None
        if self.absent or self.tally.is_broken:
            return False
        return True if self.tally.judged_count or not self.tally.concerns_rows else None


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
    if outcome.absent:
        missing = ", ".join(outcome.absent)
        words = f"cannot be judged, the data have no column {missing}"
        description = f"The rule cannot be judged: there is no column {missing}."
    else:
        words, description = tally.words, tally.description
    share = tally.broken_count / tally.judged_count if tally.judged_count else 1.0
    return Draft(
        feature=outcome.feature,
        check=f"{rule.declaration.check}_check",
        description=f"{own}{description}",
        what=f"{own}{words}",
        predicate=tally.condition,
        share=share,
        severity=_severity(outcome, share),
    )


def _severity(outcome: Outcome, share: float) -> Severity:
    chosen = outcome.rule.declaration.severity()
    if chosen is not None:
        return chosen
    is_grave = outcome.absent or not outcome.tally.concerns_rows or share >= PAGE_SHARE
    return "page" if is_grave else "ticket"
