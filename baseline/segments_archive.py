"""segments.arrow: what a reference's segments hold, one row for each segment column and column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.cells import Cells
from driftline.baseline.segments import SegmentColumn, SegmentCounter
from driftline.errors import InputError

__all__ = ["segments_from_table", "segments_to_table"]

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
    """Read what segments_to_table wrote.

    Raises
    ------
    InputError
        When the table is none of ours, of a newer format, or belongs to another profile.
    """
    mark = (table.schema.metadata or {}).get(KEY)
    if mark is None or table.schema.names != SCHEMA.names:
        raise InputError("no segments of a baseline; make the baseline again")
    if mark != str(FORMAT).encode():
        raise InputError(f"format {mark.decode('utf-8', 'replace')}; this version reads {FORMAT}")
    rows = table.to_pylist()
    columns = {
        row["segment"]: SegmentColumn(row["segment"], row["type"], tuple(row["levels"]))
        for row in rows
    }
    known = {row["column"] for row in rows}
    timed = any(row["hours"] is not None for row in rows)
    counted = {name: cell for name, cell in cells.items() if name in known}
    found = SegmentCounter.start(tuple(columns.values()), counted, "" if timed else None)
    try:
        for row in rows:
            _take(found, columns[row["segment"]], row, cells)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            "the segments do not belong to the profile beside them; make the baseline again"
        ) from error
    return found


def _take(
    found: SegmentCounter, one: SegmentColumn, row: Mapping[str, Any], cells: Mapping[str, Cells]
) -> None:
    cell = cells[row["column"]]
    if cell.id != row["cells"]:
        raise ValueError(row["column"])
    rows = np.asarray(row["rows"], np.int64)
    found.rows[one.name] = rows.reshape(one.size)
    counts = np.asarray(row["counts"], np.int64).reshape(one.size, cell.size)
    found.counts[one.name][row["column"]] = counts
    if row["hours"] is not None:
        blocks = found.blocks[one.name]
        blocks.step, blocks.hours = int(row["step"]), np.asarray(row["hours"], np.int64)
        flat = np.asarray(row["blocks"] or [], np.int32)
        blocks.counts[row["column"]] = flat.reshape(len(blocks.hours), one.size * cell.size)
