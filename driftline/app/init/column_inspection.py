"""What can be seen of one column at a glance: enough to guess what it is for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.origin import Growth, are_keys, name_words
from driftline.baseline.schema import column_type
from driftline.classes import class_text
from driftline.formats.arrow_types import is_list
from driftline.formats.coercion import coerce
from driftline.signature import ColumnType

SHOWN_VALUES = 50
PROBED_TEXTS = 1_000


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column of a sample."""

    name: str
    words: frozenset[str]  # ``predictedLate`` and ``predicted_late`` have the same two.
    kind: ColumnType
    row_count: int
    distinct_count: int
    values: tuple[str, ...]  # As texts, sorted, when there are few.
    is_time: bool
    is_share: bool  # Numbers from 0 to 1 only.
    is_unique: bool
    is_key: bool  # Whole numbers that only grow.

    @property
    def is_constant(self) -> bool:
        """Whether it has one value at most."""
        return self.distinct_count <= 1


def look_at(name: str, column: pa.ChunkedArray) -> ColumnFacts:
    """Look at one column of a sample, of a plain type; missing values are no values."""
    kind = column_type(column.type)
    present = column.drop_null()
    if is_list(column.type):
        present = pa.chunked_array([coerce(present, "string")[0]])
    if kind == "double":
        present = present.filter(pc.invert(pc.is_nan(present)))
    distinct = pc.unique(present)
    few = distinct.to_pylist() if len(distinct) <= SHOWN_VALUES else []
    return ColumnFacts(
        name=name,
        words=name_words(name),
        kind=kind,
        row_count=len(column),
        distinct_count=len(distinct),
        values=tuple(sorted(class_text(value) for value in few)),
        is_time=kind == "timestamp" or (kind == "string" and _reads_as_times(present)),
        is_share=kind == "double" and _is_share(present),
        is_unique=len(distinct) == len(column),
        is_key=kind == "int64" and _are_keys(present, len(distinct)),
    )


def _are_keys(numbers: pa.ChunkedArray, distinct_count: int) -> bool:
    values = coerce(numbers.combine_chunks(), "int64")[0].drop_null().to_numpy()
    growth = Growth()
    growth.update(values)
    span = float(np.ptp(values)) + 1 if len(values) else 0.0
    return are_keys(growth, count=len(values), distinct_count=distinct_count, span=span)


def _reads_as_times(texts: pa.ChunkedArray) -> bool:
    probe = texts.slice(0, PROBED_TEXTS).combine_chunks()
    if not len(probe):
        return False
    read, unfit = coerce(probe, "timestamp")
    return unfit == 0 and read.null_count < len(probe)


def _is_share(numbers: pa.ChunkedArray) -> bool:
    if not len(numbers):
        return False
    span = pc.min_max(numbers).as_py()
    return bool(span["min"] >= 0 and span["max"] <= 1)
