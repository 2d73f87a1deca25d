"""sample.arrow: the sampled rows of a reference, one column of cell numbers for each column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.cells import Cells
from driftline.baseline.derived import Vocabulary
from driftline.baseline.derived_rows import DerivedRows
from driftline.baseline.sample import RowSample
from driftline.errors import InputError

KEY = b"driftline.sample"
# The hashes of a text column's words, eight bytes each.
WORDS = KEY + b".words "
FORMAT = 1


def sample_to_table(sample: RowSample, cells: Mapping[str, Cells]) -> pa.Table:
    """Write a sample; `cells` are the baseline's, and the same input gives the same bytes."""
    notes: dict[str, Any] = {
        "format": FORMAT,
        "row_count": sample.row_count,
        "columns": {name: cells[name].id for name in sample.codes},
        "hours": sample.hours is not None,
        "derived": [],
    }
    # By number: a data set may give a column the name of ours.
    arrays = {str(place): pa.array(codes) for place, codes in enumerate(sample.codes.values())}
    if sample.hours is not None:
        arrays["hours"] = pa.array(sample.hours)
    metadata: dict[bytes, bytes] = {}
    if sample.derived is not None:
        derived = sample.derived
        for place, (name, codes) in enumerate(derived.codes.items()):
            arrays[f"derived {place}"] = pa.array(codes)
            own = {"source": derived.sources[name], "cells": derived.cells[name].to_dict()}
            notes["derived"].append({"name": name, **own})
        notes["words"] = {name: int(one.below) for name, one in derived.vocabularies.items()}
        for place, words in enumerate(derived.vocabularies.values()):
            metadata[WORDS + str(place).encode()] = words.hashes.astype("<u8").tobytes()
    metadata[KEY] = json.dumps(notes, ensure_ascii=False).encode()
    return pa.table(arrays).replace_schema_metadata(metadata)


def sample_from_table(table: pa.Table, cells: Mapping[str, Cells]) -> RowSample:
    """Read what sample_to_table wrote."""
    found = (table.schema.metadata or {}).get(KEY)
    if found is None:
        raise InputError("no sample of driftline; make the baseline again")
    try:
        notes = json.loads(found)
        if notes["format"] != FORMAT:
            raise InputError(
                f"sample format {notes['format']}; this driftline reads {FORMAT}: upgrade "
                "driftline, or make the baseline again"
            )
        codes = {
            name: _codes(table.column(str(place)), cells[name], its)
            for place, (name, its) in enumerate(notes["columns"].items())
        }
        hours = None
        if notes["hours"]:
            hours = table.column("hours").to_numpy().astype(np.int64, casting="safe")
        derived = _derived(table, notes) if notes["derived"] else None
        return RowSample(codes, hours, int(notes["row_count"]), derived)
    except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"the sample is damaged ({told}); make the baseline again") from error


def _derived(table: pa.Table, notes: Mapping[str, Any]) -> DerivedRows:
    cells = {one["name"]: Cells.from_dict(one["cells"]) for one in notes["derived"]}
    words = {
        name: Vocabulary(
            np.frombuffer(table.schema.metadata[WORDS + str(place).encode()], "<u8"), below
        )
        for place, (name, below) in enumerate(notes["words"].items())
    }
    return DerivedRows(
        {one["name"]: one["source"] for one in notes["derived"]},
        cells,
        {
            name: _codes(table.column(f"derived {place}"), cells[name], cells[name].id)
            for place, name in enumerate(cells)
        },
        words,
    )


def _codes(column: pa.ChunkedArray, cell: Cells, its: str) -> np.ndarray:
    codes = column.to_numpy()
    if cell.id != its:
        raise ValueError(f'"{cell.column}" was coded by other cells')
    if codes.dtype not in (np.uint8, np.uint16) or (len(codes) and codes.max() >= cell.size):
        raise ValueError(f'"{cell.column}" has cells that there are not')
    return np.asarray(codes)
