"""Lists of numbers as values, such as the probabilities of all classes.

A list may come as such, as its JSON text, or as numpy prints it and pandas writes it into files.
Its elements follow the table of `cells`, so that an element without a value is null. Anything else,
and a list with an unfit element, is unfit.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.arrow_types import plain_array
from driftline.formats.cells import NO_VALUES, Cell, MisfitError, read_cell

NUMBERS = pa.list_(pa.float64())
# Numbers between blanks, as numpy prints them: without commas, and without "..." for some of them.
PRINTED = re.compile(r"\s*\[([^][,\"]*)\]\s*")


def read_lists(array: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, int]:
    """Return a column as lists of numbers, and how many of its values are none."""
    plain = plain_array(array)
    if pa.types.is_list(plain.type):
        return _without_nan(plain.cast(NUMBERS, safe=False)), 0
    if not pa.types.is_string(plain.type):
        return pa.nulls(len(plain), NUMBERS), len(plain) - plain.null_count
    lists: list[list[Cell] | None] = []
    unfit = 0
    for text in plain.to_pylist():
        try:
            lists.append(None if text is None else _parsed(text))
        except MisfitError:
            lists.append(None)
            unfit += 1
    return _without_nan(pa.array(lists, NUMBERS)), unfit


def _parsed(text: str) -> list[Cell] | None:
    """Read a list's text; a text that says "no value" is None."""
    if text.strip() in NO_VALUES:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        printed = PRINTED.fullmatch(text)
        values = printed[1].split() if printed else None
    if not isinstance(values, list):
        raise MisfitError
    return [read_cell(one, "double") for one in values]


def _without_nan(lists: pa.Array) -> pa.Array:
    """Make nulls of elements that are no number."""
    flat = lists.flatten()
    if not pc.any(pc.is_nan(flat)).as_py():
        return lists
    values = pc.if_else(pc.is_nan(flat), pa.scalar(None, flat.type), flat)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, values, NUMBERS, mask=lists.is_null())
