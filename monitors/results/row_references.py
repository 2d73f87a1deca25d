"""References of rows: the ids of a captured record, or the row number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Pointer = Mapping[str, str | int]
EVENT_ID, ROW_INDEX = "event_id", "row_index"


def row_pointers(batch: pa.RecordBatch, places: NDArray[np.integer], first: int) -> list[Pointer]:
    """Return references of some rows of a batch."""
    if not _has_ids(batch):
        return [{"row": first + int(place)} for place in places]
    at = pa.array(places)
    ids = batch.column(EVENT_ID).take(at).to_pylist()
    indices = [0] * len(ids)
    if ROW_INDEX in batch.schema.names:
        indices = batch.column(ROW_INDEX).take(at).to_pylist()
    return [{EVENT_ID: str(one), ROW_INDEX: index} for one, index in zip(ids, indices, strict=True)]


def _has_ids(batch: pa.RecordBatch) -> bool:
    """Whether rows have the ids of captured ones: a file may use these names for other things."""
    names = batch.schema.names
    if EVENT_ID not in names or batch.column(EVENT_ID).null_count:
        return False
    if ROW_INDEX not in names:
        return True
    index = batch.column(ROW_INDEX)
    return pa.types.is_integer(index.type) and not index.null_count
