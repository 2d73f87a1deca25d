"""The scanned sets of a column's cells: every set that is tested is one condition on its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from driftline.baseline.predicate import Predicate

if TYPE_CHECKING:  # Cells scans by these functions; they only name its type.
    from driftline.baseline.cells import Cells

SetKind = Literal["range", "cut", "level", "unseen", "null", "unfit"]


def scanned_sets(cells: Cells) -> tuple[Predicate, ...]:
    """List the sets: cuts, atoms, levels, others, unseen, empty, unfit."""
    found: list[Predicate] = []
    for index, edge in enumerate(cells.edges):
        if index == len(cells.edges) - 1:
            found.append(Predicate(cells.column, "gt", cells.maximum))
        elif float(np.nextafter(edge, -np.inf)) not in cells.atom_set:
            # The upper edge of an atom is left out: its count is the lower edge's plus the
            # atom's own, and both of these are scanned.
            below = index == 0 or cells.median is None or edge <= cells.median
            found.append(Predicate(cells.column, "lt" if below else "ge", edge))
    found.extend(Predicate(cells.column, "eq", atom) for atom in cells.atoms)
    found.extend(Predicate(cells.column, "eq", level) for level in cells.levels)
    if cells.type in ("string", "bool"):
        found.extend(_other_sets(cells))
    found.extend(absent_set(cells, index) for index in (cells.size - 2, cells.size - 1))
    return tuple(found)


def _other_sets(cells: Cells) -> list[Predicate]:
    if cells.known is None:
        return [Predicate(cells.column, "not_in", values=cells.levels)]
    rest = tuple(sorted(set(cells.known) - set(cells.levels)))
    others = [Predicate(cells.column, "in", values=rest)] if rest else []
    return [*others, Predicate(cells.column, "not_in", values=cells.known)]


def absent_set(cells: Cells, index: int) -> Predicate:
    """Return the condition of one of the last two cells: the empty or the unfit."""
    if index == cells.size - 2:
        return Predicate(cells.column, "null")
    return Predicate(cells.column, "unfit", cells.type)


def set_kind(cells: Cells, predicate: Predicate) -> SetKind:
    """Return what a scanned set is; see `Cells.set_kind`."""
    if predicate.op in ("null", "unfit"):
        return "null" if predicate.op == "null" else "unfit"
    if predicate.op == "gt" or (predicate.op == "lt" and predicate.value == cells.minimum):
        return "range"
    if predicate.op == "not_in" and cells.known is not None:
        return "unseen"
    return "cut" if predicate.op in ("lt", "le", "ge") else "level"


def members(cells: Cells, predicate: Predicate) -> slice | int:
    """Return the cells that make up a scanned set, as an index into the counts."""
    values = cells.size - 2
    if predicate.op in ("null", "unfit"):
        return values + (predicate.op == "unfit")
    if predicate.op == "gt":
        return values - 1
    if predicate.op in ("lt", "ge"):
        cut = cells.edges.index(float(predicate.value or 0.0)) + 1
        return slice(0, cut) if predicate.op == "lt" else slice(cut, values)
    if predicate.op == "eq" and cells.is_number:
        return cells.edges.index(float(predicate.value or 0.0)) + 1
    if predicate.op == "eq":
        return cells.levels.index(str(predicate.value))
    if predicate.op == "in" or cells.known is None:
        return len(cells.levels)
    return len(cells.levels) + 1
