"""What a rule's counting comes to, and the condition that finds its rows again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class RuleCondition:
    """Marks the rows that break a rule; what `Predicate` is to a single column.

    Parameters
    ----------
    column
        The column that is shown in front; "" when there is none.
    phrase
        What the rows are, in words, such as ``outside 0 to 120``.
    breaks
        Marks the rows of a batch, never null.
    rule
        The declaration, as plain JSON values.
    keys
        Of rules on repeated values: hashes of the first such values, in hexadecimal.
    columns
        The columns that `breaks` looks at.
    compared
        Of rules on repeated values: the columns whose values are compared.
    """

    column: str
    phrase: str
    breaks: Callable[[pa.RecordBatch], pa.BooleanArray] = field(compare=False, repr=False)
    rule: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    op: str = "rule"

    def __str__(self) -> str:
        return f"{self.column} {self.phrase}".strip()

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the rows that break the rule; never null."""
        if isinstance(batch, pa.Table):
            # A table without rows has no batch to give.
            whole = batch.combine_chunks().to_batches()
            batch = whole[0] if whole else pa.RecordBatch.from_pylist([], batch.schema)
        return self.breaks(batch)

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values, from which `reading.read_condition` makes the condition again."""
        found: dict[str, Any] = {"column": self.column, "op": self.op, "rule": dict(self.rule)}
        if self.keys:
            found |= {"keys": list(self.keys), "compared": list(self.compared)}
        return found


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted for one rule.

    Parameters
    ----------
    judged_count, broken_count
        Rows (or values) that were judged, and those of them that break the rule.
    is_broken
        Whether the rule is broken; a rule on rows is when too large a share breaks it.
    words
        What was found, without the column's name, such as ``2 % of values outside 0 to 120``.
    description
        The same as a full sentence with the exact counts and what was expected.
    condition
        Finds the rows; None when no row is behind it.
    concerns_rows
        Whether it is a matter of single rows, whose share tells how grave it is.
    """

    judged_count: int
    broken_count: int
    is_broken: bool
    words: str = ""
    description: str = ""
    condition: RuleCondition | None = None
    concerns_rows: bool = True


class Counter(Protocol):
    """Counts for one rule; one for each part of the data, then merged."""

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the rows of one batch."""

    def merge(self, other: Any) -> None:  # noqa: ANN401 - Its own class; Protocol has no word for it.
        """Take over what another part has counted."""

    def result(self) -> Tally:
        """Say what it comes to."""


class Check(Protocol):
    """One rule, ready to be counted."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there."""

    def start(self) -> Counter:
        """Give a counter that has counted nothing."""
