"""segments.arrow: what a reference's segments hold, one row for each segment column and column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.cells import Cells
from driftline.baseline.segments import SEGMENT_TYPES, STEPS, SegmentColumn, SegmentCounter
from driftline.errors import InputError

KEY = b"driftline.segments"
FORMAT = 1
SCHEMA = pa.schema(
    [
        ("segment", pa.string()),
        ("type", pa.string()),
        ("levels", pa.list_(pa.string())),
        ("rows", pa.list_(pa.int64())),
        ("column", pa.string()),
        ("cells", pa.string()),
        ("counts", pa.large_list(pa.int64())),
        ("step", pa.int64()),
        ("hours", pa.list_(pa.int64())),
        ("blocks", pa.large_list(pa.int32())),
    ],
    {KEY: str(FORMAT).encode()},
)


def segments_to_table(found: SegmentCounter, cells: Mapping[str, Cells]) -> pa.Table:
    """Write the counts of a reference's segments; `cells` are the baseline's."""
    rows: list[dict[str, Any]] = []
    for one in found.columns:
        blocks = found.blocks.get(one.name)
        rows.extend(
            {
                "segment": one.name,
                "type": one.type,
                "levels": list(one.levels),
                "rows": found.rows[one.name],
                "column": name,
                "cells": cells[name].id,
                "counts": counts.ravel(),
                "step": blocks.step if blocks else None,
                "hours": blocks.hours if blocks else None,
                "blocks": blocks.counts[name].ravel() if blocks and blocks.counts else None,
            }
            for name, counts in found.counts[one.name].items()
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def segments_from_table(table: pa.Table, cells: Mapping[str, Cells]) -> SegmentCounter:
    """Read what segments_to_table wrote."""
    mark = (table.schema.metadata or {}).get(KEY)
    if mark is None or table.schema.names != SCHEMA.names:
        raise InputError("no segments of a baseline; make the baseline again")
    if mark != str(FORMAT).encode():
        raise InputError(f"format {mark.decode('utf-8', 'replace')}; this version reads {FORMAT}")
    try:
        rows = table.to_pylist()
        columns = {row["segment"]: _column(row) for row in rows}
        known = {row["column"] for row in rows}
        timed = any(row["hours"] is not None for row in rows)
        counted = {name: cell for name, cell in cells.items() if name in known}
        started = "" if timed else None
        found = SegmentCounter.start(tuple(columns.values()), counted, started)
        for row in rows:
            _take(found, columns[row["segment"]], row, cells)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            "the segments do not belong to the profile beside them; make the baseline again"
        ) from error
    return found


def _column(row: Mapping[str, Any]) -> SegmentColumn:
    """Read whose values are apart; ValueError when it is no column that can be."""
    name, kind, levels = row["segment"], row["type"], tuple(row["levels"])
    are_texts = all(isinstance(one, str) for one in (name, *levels))
    if not are_texts or kind not in SEGMENT_TYPES or len(set(levels)) < len(levels):
        raise ValueError(name)
    return SegmentColumn(name, kind, levels)


def _whole(values: Any, kind: type[np.signedinteger[Any]]) -> np.ndarray:  # noqa: ANN401 - as read
    """Take counts; ValueError when they are none."""
    found = np.asarray(values, kind)
    if (found < 0).any():
        raise ValueError("a negative count")
    return found


def _take(
    found: SegmentCounter, one: SegmentColumn, row: Mapping[str, Any], cells: Mapping[str, Cells]
) -> None:
    cell = cells[row["column"]]
    if cell.id != row["cells"] or bool(found.blocks) != (row["hours"] is not None):
        raise ValueError(row["column"])
    found.rows[one.name] = _whole(row["rows"], np.int64).reshape(one.size)
    counts = _whole(row["counts"], np.int64).reshape(one.size, cell.size)
    found.counts[one.name][row["column"]] = counts
    if row["hours"] is not None:
        blocks = found.blocks[one.name]
        blocks.step, blocks.hours = int(row["step"]), np.asarray(row["hours"], np.int64)
        if blocks.step not in STEPS or (np.diff(blocks.hours) <= 0).any():
            raise ValueError(row["column"])
        flat = _whole(row["blocks"] or [], np.int32)
        blocks.counts[row["column"]] = flat.reshape(len(blocks.hours), one.size * cell.size)
