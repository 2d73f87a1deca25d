"""What every condition on rows can do, whether on one column's values or declared as a rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa


class Condition(Protocol):
    """Marks rows, says in words which, and names the columns that it looks at."""

    @property
    def column(self) -> str:
        """The column that is shown in front; "" when there is none."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `mask` looks at."""

    @property
    def op(self) -> str:
        """How it compares: an operator of `Predicate`, or "rule"."""

    @property
    def phrase(self) -> str:
        """The condition in words, without the column's name."""

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the rows that meet the condition; never null."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""


@runtime_checkable
class Ranked(Protocol):
    """What a condition can do besides whose rows are worse or better."""

    def worst(
        self, batches: Iterable[pa.RecordBatch], *, limit: int, position: str | None = None
    ) -> pa.Table:
        """Return the worst of the rows that meet it, the worst first."""
