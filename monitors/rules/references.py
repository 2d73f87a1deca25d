"""Values that must stand in a column of another table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.row_hashes import hash_column, present
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.formats.source import Source, open_source
from driftline.monitors.rules.reach import NOTHING, Reach
from driftline.monitors.rules.values import texts_of


@dataclass(slots=True)
class ForeignKey:
    """Values that another table has, compared as text: 1 and "1" are the same."""

    column: str
    table: str  # A path or URI.
    key: str  # The other table's column.
    reach: Reach = NOTHING
    # Hashes of its values, ascending; read when the first rows come.
    keys: np.ndarray | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    @property
    def wanted(self) -> str:
        """Return where a value must stand."""
        return f'in column "{self.key}" of {self.table}'

    @property
    def broken(self) -> str:
        """Return what stands nowhere."""
        return f"not {self.wanted}"

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row."""
        if self.keys is None:
            self.keys = self._read()
        hashes, known = hash_column(texts_of(batch, self.column))
        inside = np.isin(hashes, self.keys)
        return pc.if_else(pa.array(known), pa.array(inside), pa.scalar(None, pa.bool_()))

    def opened(self) -> Source:
        """Open the other table; InputError where that may not be, or it lacks the key."""
        self.reach.check_table(self.table)
        source = open_source(self.table)
        if self.key not in source.schema.names:
            # Without the names that are there: the first line of any file reads as such.
            raise InputError(
                f'table {self.table}: no column "{self.key}"; expected one that it has as key'
            )
        return source

    def _read(self) -> np.ndarray:
        source = self.opened()
        parts = [np.empty(0, np.uint64)]
        for batch in source.batches():
            text = present(coerce(batch.column(self.key), "string")[0])
            hashes, known = hash_column(text)
            parts.append(np.unique(hashes[known]))
        return np.unique(np.concatenate(parts))


def check_tables(rules: Iterable[object], check_table: Callable[[str], None]) -> None:
    """Refuse declared rules whose other table may not be read, or cannot be opened."""
    for rule in rules:
        if isinstance(rule, Mapping) and rule["check"] == "foreign_key":
            key = rule.get("key", rule["column"])
            ForeignKey(rule["column"], rule["table"], key, Reach(check_table)).opened()
