"""Counts of rows by level of each text column, and of the texts of one column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce

# A column with more levels than this in one window is no segment that a person would name.
LEVELS_MAX = 1000


@dataclass(slots=True)
class Tally:
    """Counts rows by level of each segment column; a column with too many is let go."""

    levels: dict[str, Counter[str]]
    values: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, columns: Sequence[str]) -> Tally:
        """Begin with no rows counted."""
        return cls({name: Counter() for name in columns})

    def add(self, batch: pa.RecordBatch, mask: pa.BooleanArray | None) -> None:
        """Count the rows of a batch, or those that are marked."""
        for name in list(self.levels):
            if name in batch.schema.names:
                self.levels[name].update(_counts(batch.column(name), mask))
                if len(self.levels[name]) > LEVELS_MAX:
                    del self.levels[name]

    def add_values(
        self, batch: pa.RecordBatch, mask: pa.BooleanArray, column: str, *, is_listed: bool
    ) -> None:
        """Count the marked texts of one column, or what is listed as text, while they are few."""
        if column not in batch.schema.names or len(self.values) > LEVELS_MAX:
            return
        if is_listed or _is_text(batch.schema.field(column).type):
            self.values.update(_counts(batch.column(column), mask))

    def merge(self, other: Tally) -> Tally:
        """Give the counts of both; a column that either let go is let go."""
        both = {
            name: counts + other.levels[name]
            for name, counts in self.levels.items()
            if name in other.levels
        }
        few = {name: counts for name, counts in both.items() if len(counts) <= LEVELS_MAX}
        values = self.values if len(self.values) > LEVELS_MAX else self.values + other.values
        return Tally(few, values)


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _counts(array: pa.Array, mask: pa.BooleanArray | None) -> dict[str, int]:
    text, _ = coerce(array if mask is None else array.filter(mask), "string")
    counted = shortened(text.drop_null()).value_counts()
    return dict(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )
