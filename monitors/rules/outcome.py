"""The outcome of a rule, and the condition that finds its rows again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa


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
        """Return plain JSON values, from which `reading.read_condition` makes the condition."""
        found: dict[str, Any] = {"column": self.column, "op": self.op, "rule": dict(self.rule)}
        if self.compared:
            found["compared"] = list(self.compared)
        return found


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


class Counter(Protocol):
    """Counts for one rule; one for each part of the data, then merged."""

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the rows of one batch."""

    def merge(self, other: Any) -> None:  # noqa: ANN401 - Its own class; Protocol has no word for it.
        """Take over what another part has counted."""

    def result(self) -> Tally:
        """Return what it comes to."""


class Check(Protocol):
    """One rule, ready to be counted."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there."""

    def start(self) -> Counter:
        """Return a counter that has counted nothing."""
