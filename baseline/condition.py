"""The protocol of conditions on rows, on one column's values or declared as a rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa


class Condition(Protocol):
    """Marks rows, describes them, and names the columns it needs."""

    @property
    def column(self) -> str:
        """The column shown first; "" when there is none."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `mask` needs."""

    @property
    def op(self) -> str:
        """The comparison: an operator of `Predicate`, or "rule"."""

    @property
    def phrase(self) -> str:
        """The condition in words, without the column's name."""

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Mark the rows that meet the condition; never null."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""


@runtime_checkable
class Ranked(Protocol):
    """A condition whose rows can be ranked."""

    def worst(
        self, batches: Iterable[pa.RecordBatch], *, limit: int, position: str | None = None
    ) -> pa.Table:
        """Return the worst matching rows, the worst first."""
