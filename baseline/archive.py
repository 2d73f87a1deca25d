"""profile.arrow: the finer summaries that only driftline reads, one row per column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.distinct import DistinctCount, LevelCounts
from driftline.baseline.moments import Moments
from driftline.baseline.sketch import QuantileSketch
from driftline.errors import InputError

__all__ = ["blocks_from_table", "columns_from_table", "columns_to_table"]

FORMAT_VERSION = 1
KEY = b"driftline.profile"

COUNTERS = (
    "row_count",
    "missing_count",
    "nan_count",
    "inf_count",
    "unfit_count",
    "integral_count",
)
NUMBERS = ("total", "average", "squares", "minimum", "maximum")
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("type", pa.string()),
        *((counter, pa.int64()) for counter in COUNTERS),
        ("count", pa.int64()),
        *((number, pa.float64()) for number in NUMBERS),
        ("sketch", pa.list_(pa.list_(pa.float64()))),
        ("level_values", pa.list_(pa.string())),
        ("level_counts", pa.list_(pa.int64())),
        ("level_error", pa.int64()),
        ("hashes", pa.list_(pa.uint64())),
        ("cells", pa.string()),
        ("cell_counts", pa.list_(pa.int64())),
        ("blocks", pa.large_list(pa.int32())),
    ]
)


def columns_to_table(
    columns: Mapping[str, ColumnProfile],
    blocks: BlockCounts | None,
    *,
    row_count: int,
    seen: Iterable[str],
    extra: Iterable[str],
) -> pa.Table:
    """Write column summaries and block counts as one table; the same input gives the same bytes."""
    notes = {
        "format": FORMAT_VERSION,
        "row_count": row_count,
        "seen": sorted(seen),
        "extra": list(extra),
        "hours": None if blocks is None else blocks.hours.tolist(),
    }
    rows = [_row(column, blocks) for column in columns.values()]
    arrays = [pa.array([row[entry.name] for row in rows], entry.type) for entry in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata({KEY: json.dumps(notes)}))


def _row(column: ColumnProfile, blocks: BlockCounts | None) -> dict[str, Any]:
    moments, cells = column.moments, column.cells
    block = None if blocks is None else blocks.counts.get(column.name)
    return {
        "name": column.name,
        "type": column.type,
        **{counter: getattr(column, counter) for counter in COUNTERS},
        "count": moments.count,
        **{number: getattr(moments, number) for number in NUMBERS},
        "sketch": [level.tolist() for level in column.sketch.levels],
        "level_values": column.levels.values.to_pylist(),
        "level_counts": column.levels.counts.tolist(),
        "level_error": column.levels.error,
        "hashes": column.distinct.hashes,
        "cells": None if cells is None else json.dumps(cells.to_dict(), ensure_ascii=False),
        "cell_counts": column.cell_counts,
        "blocks": None if block is None else block.ravel(),
    }


def columns_from_table(table: pa.Table) -> tuple[dict[str, ColumnProfile], dict[str, Any]]:
    """Read the columns that columns_to_table wrote, and the notes beside them.

    Raises
    ------
    InputError
        When the table is none of ours, or of another format.
    """
    notes = _notes(table)
    rows = table.select([name for name in SCHEMA.names if name != "blocks"]).to_pylist()
    return {row["name"]: _column(row) for row in rows}, notes


def blocks_from_table(table: pa.Table) -> BlockCounts | None:
    """Read the block counts that columns_to_table wrote; None when it was given none."""
    notes = _notes(table)
    if notes["hours"] is None:
        return None
    hours = np.asarray(notes["hours"], dtype=np.int64)
    counts: dict[str, np.ndarray] = {}
    for name, size, block in zip(
        table.column("name").to_pylist(),
        table.column("cell_counts").to_pylist(),
        table.column("blocks"),
        strict=True,
    ):
        if block.is_valid:
            flat = block.values.to_numpy(zero_copy_only=False).astype(np.int32)
            counts[name] = flat.reshape(len(hours), len(size))
    return BlockCounts(hours, counts)


def _notes(table: pa.Table) -> dict[str, Any]:
    found = (table.schema.metadata or {}).get(KEY)
    if found is None:
        raise InputError("the Arrow file is no driftline profile; make the baseline again")
    notes: dict[str, Any] = json.loads(found)
    if notes["format"] != FORMAT_VERSION:
        raise InputError(
            f"profile format {notes['format']}; this driftline reads {FORMAT_VERSION}: "
            "make the baseline again"
        )
    return notes


def _column(row: Mapping[str, Any]) -> ColumnProfile:
    counts = row["cell_counts"]
    return ColumnProfile(
        name=row["name"],
        type=row["type"],
        **{counter: row[counter] for counter in COUNTERS},
        moments=Moments(row["count"], **{number: row[number] for number in NUMBERS}),
        sketch=QuantileSketch.from_levels(row["sketch"]),
        levels=LevelCounts(
            pa.array(row["level_values"], pa.string()),
            np.asarray(row["level_counts"], dtype=np.int64),
            row["level_error"],
        ),
        distinct=DistinctCount(np.asarray(row["hashes"], dtype=np.uint64)),
        cells=None if row["cells"] is None else Cells.from_dict(json.loads(row["cells"])),
        cell_counts=None if counts is None else np.asarray(counts, dtype=np.int64),
    )
