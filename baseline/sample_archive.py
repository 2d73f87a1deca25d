"""sample.arrow: the sampled rows of a reference, one column of cell numbers for each column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.cells import Cells
from driftline.baseline.sample import RowSample
from driftline.errors import InputError

__all__ = ["sample_from_table", "sample_to_table"]

KEY = b"driftline.sample"
FORMAT = 1


def sample_to_table(sample: RowSample, cells: Mapping[str, Cells]) -> pa.Table:
    """Write a sample; `cells` are the baseline's, and the same input gives the same bytes."""
    notes: dict[str, Any] = {
        "format": FORMAT,
        "row_count": sample.row_count,
        "columns": {name: cells[name].id for name in sample.codes},
        "hours": sample.hours is not None,
    }
    # By number: a data set may give a column the name of ours.
    arrays = {str(place): pa.array(codes) for place, codes in enumerate(sample.codes.values())}
    if sample.hours is not None:
        arrays["hours"] = pa.array(sample.hours)
    return pa.table(arrays).replace_schema_metadata({KEY: json.dumps(notes)})


def sample_from_table(table: pa.Table, cells: Mapping[str, Cells]) -> RowSample:
    """Read what sample_to_table wrote.

    Raises
    ------
    InputError
        When the table is none of ours, of a newer format, damaged, or of other cells.
    """
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
        return RowSample(codes, hours, int(notes["row_count"]))
    except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"the sample is damaged ({told}); make the baseline again") from error


def _codes(column: pa.ChunkedArray, cell: Cells, its: str) -> np.ndarray:
    codes = column.to_numpy()
    if cell.id != its:
        raise ValueError(f'"{cell.column}" was coded by other cells')
    if codes.dtype not in (np.uint8, np.uint16) or (len(codes) and codes.max() >= cell.size):
        raise ValueError(f'"{cell.column}" has cells that there are not')
    return np.asarray(codes)
