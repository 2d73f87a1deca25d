"""Rows that were stored while a column had another type: read as the type that it has now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.arrow_types import ARROW_TYPES
from driftline.formats.cells import as_text
from driftline.formats.coercion import coerce, from_array

_KINDS = {arrow: kind for kind, arrow in ARROW_TYPES.items()}


def read_former(
    name: str, values: pa.ChunkedArray, olds: Sequence[pa.ChunkedArray], unfit: pa.ChunkedArray
) -> tuple[pa.Array, pa.Array]:
    """Fill a column from what it was stored as before; give it, and what fits it not even now."""
    kind = _KINDS[values.type]
    filled, entries = values.combine_chunks(), unfit.combine_chunks()
    texts_by_row: dict[int, str | None] = {}
    if kind != "string":  # As a text anything would fit that was found not to be one.
        texts_by_row = _reread(name, entries)
        texts = from_array(
            pa.array([texts_by_row.get(row) for row in range(len(filled))], pa.string()), kind
        )
        filled = pc.coalesce(filled, texts.values)
        lost = set(texts.unfit.tolist())
        texts_by_row = {row: text if row in lost else None for row, text in texts_by_row.items()}
    for column in olds:
        old = column.combine_chunks()
        if kind == "string":
            is_plain = not pa.types.is_list(old.type)
            texts = old.cast(pa.string()) if is_plain else coerce(old, kind)[0]
            filled = pc.coalesce(filled, texts)
            continue
        coerced = from_array(old, kind)
        is_empty = filled.is_null().to_numpy(zero_copy_only=False)
        for row in coerced.unfit[is_empty[coerced.unfit]].tolist():
            texts_by_row[row] = as_text(old[row].as_py())
        filled = pc.coalesce(filled, coerced.values)
    return filled, _with_texts(name, entries, texts_by_row)


def _reread(name: str, entries: pa.MapArray) -> dict[int, str | None]:
    """Return the texts that stand under a name, by row."""
    keys = entries.keys.to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(entries)), np.diff(entries.offsets.to_numpy()))
    at = np.flatnonzero(keys == name)
    texts = entries.items.take(pa.array(at)).to_pylist()
    return dict(zip(owner[at].tolist(), texts, strict=True))


def _with_texts(
    name: str, entries: pa.MapArray, texts_by_row: dict[int, str | None]
) -> pa.MapArray:
    """Put texts in the place of what stands under a name in some rows; None takes it away."""
    if not texts_by_row:
        return entries
    rows = entries.to_pylist()
    for row, text in texts_by_row.items():
        others = [(key, value) for key, value in rows[row] or () if key != name]
        rows[row] = others if text is None else [*others, (name, text)]
    return pa.array(rows, entries.type)
