"""Foreign keys: values that must occur in a column of another table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.row_hashes import hash_column, present
from driftline.errors import InputError
from driftline.formats.arrow_types import ARROW_TYPES, plain_type
from driftline.formats.coercion import coerce
from driftline.formats.source import Source, open_source
from driftline.monitors.rules.prepared import text_of
from driftline.monitors.rules.reach import NOTHING, Reach
from driftline.signature import Column, ColumnType, Signature

_KINDS = {arrow: kind for kind, arrow in ARROW_TYPES.items()}


@dataclass(slots=True)
class ForeignKey:
    """Values must occur in another table, compared as text: 1 and "1" are the same.

    The other table's values are read as the type of the data's column: "007" is 7 where that holds
    numbers, and as written in the file where it holds texts.
    """

    column: str
    table: str  # A path or URI.
    key: str  # The other table's column.
    reach: Reach = NOTHING
    # By the type of the data's column; read when its first rows come.
    keys: dict[pa.DataType, np.ndarray] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row."""
        kind = plain_type(batch.schema.field(self.column).type)
        if kind not in self.keys:
            self.keys[kind] = self._read(_KINDS.get(kind, "string"))
        hashes, known = hash_column(text_of(batch, self.column))
        inside = np.isin(hashes, self.keys[kind])
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

    def _read(self, kind: ColumnType) -> np.ndarray:
        """Read the hashes of the other table's values, ascending."""
        source = self.opened()
        if kind == "string" and not pa.types.is_string(source.schema.field(self.key).type):
            # Types of CSV and JSON are a guess, and 007 as a number is another text.
            text = Signature((Column(self.key, self.key, "string"),))
            source = open_source(self.table, signature=text)
        parts = [np.empty(0, np.uint64)]
        for batch in source.batches():
            text = present(coerce(coerce(batch.column(self.key), kind)[0], "string")[0])
            hashes, known = hash_column(text)
            parts.append(np.unique(hashes[known]))
        return np.unique(np.concatenate(parts))


def check_tables(rules: Iterable[object], check_table: Callable[[str], None]) -> None:
    """Refuse declared rules whose other table may not be read, or cannot be opened."""
    for rule in rules:
        if isinstance(rule, Mapping) and rule["check"] == "foreign_key":
            key = rule.get("key", rule["column"])
            ForeignKey(rule["column"], rule["table"], key, Reach(check_table)).opened()
