"""Texts cut to a length: values new to the reference are the beginnings of levels that it had."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np

from driftline.monitors.results.violation import Fault, plural
from driftline.monitors.root_cause.faults.context import FaultContext

KIND = "texts_cut"
# So many of the rows with new values must begin as known ones.
LEAST_ROWS, NEARLY_ALL = 5, 0.98
# Rows with longer texts that the reference lets expect, and that do not come.
LEAST_EXPECTED = 5.0


def texts_cut(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Look for one length at which the new values of a text end."""
    for name in context.broken(is_number=False):
        cells = context.cells(name)
        if cells.type != "string" or cells.known is None:
            continue
        counted = context.texts(name).value_counts()
        often = dict(
            zip(*(counted.field(one).to_pylist() for one in ("values", "counts")), strict=True)
        )
        known = set(cells.known)
        new = {value: rows for value, rows in often.items() if value not in known}
        lengths = {len(value) for value in new}
        if all(value.isdecimal() for value in new):
            continue  # Numbers kept as text: 1 is another one than 10, not its beginning.
        if len(lengths) != 1 or sum(new.values()) < LEAST_ROWS:
            continue
        (length,) = lengths
        whole = {value: _longer(value, cells.known) for value in new}
        explained = {value: rows for value, rows in new.items() if whole[value]}
        # Of a value that the reference never had, the beginning is new, too.
        if sum(explained.values()) < NEARLY_ALL * sum(new.values()):
            continue
        if len(explained) > 1 or not _longer_ones_left(context, name, often, length):
            value = max(explained, key=lambda one: explained[one])
            text = (
                f"values look cut to {plural(length, 'character')}: "
                f'"{whole[value]}" comes as "{value}"'
            )
            yield name, Fault(KIND, text, values=(whole[value], value))


def _longer(start: str, known: tuple[str, ...]) -> str:
    """Return a known value, of sorted ones, that begins so and goes on; "" when there is none."""
    at = bisect_right(known, start)
    return known[at] if at < len(known) and known[at].startswith(start) else ""


def _longer_ones_left(context: FaultContext, name: str, often: dict[str, int], length: int) -> bool:
    """Whether values longer than that still come, or are too rare in the reference to be missed."""
    reference = context.references[name]
    levels = reference.cells.levels
    is_long = np.array([len(level) > length for level in levels], np.bool_)
    share = reference.counts[: len(levels)][is_long].sum() / reference.row_count
    rows = sum(often.values())
    return share * rows < LEAST_EXPECTED or any(len(value) > length for value in often)
