"""Compares reference and window in few bars, on the baseline's own cells. Pure.

Of some forty cells neighbours are joined until a bar holds a sixteenth of the reference, but never
across the edge of the set that the verdict names, which stays visible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import Operator, Predicate, number_text
from driftline.baseline.profile import Profile
from driftline.baseline.shape import bars_of, edges_of
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.root_cause.row_sample import cells_of
from driftline.monitors.root_cause.selection import where_text
from driftline.stats.intervals import wilson_of_each

# A bar of numbers holds at least this share of the reference, if its neighbours allow it.
BAR_SHARE = 1 / 16
# A single value with this share of either side keeps its own bar.
ATOM_SHARE = 1 / 10
# A column whose values are so few, and so much of it, has a bar for each of them.
FEW_ATOMS, DISCRETE_SHARE = 24, 0.9
# Text values that get a bar of their own; the rest are shown as one.
LEVELS = 16
# So many values are named where all others are selected: an address has an end.
NAMED = 100
OTHER_SIDE: dict[Operator, Operator] = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}

Counts = NDArray[np.int64]
Group = tuple[str, list[int]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Shares of one feature's values, reference and window, on the baseline's own cells.

    Arrays have shape (bars,). ``*_low`` and ``*_high`` are 95% Wilson intervals. ``moved`` marks
    the bars of the set that the verdict names. ``ordered``: the labels are intervals of numbers, in
    order. ``shape`` holds the shares of both sides in bars of equal width, (2, bars), reference
    first, ``borders`` their borders: see `bars_of`. ``moved_shape`` marks those that overlap the
    set, (bars,).
    """

    feature: str
    labels: tuple[str, ...]
    reference: np.ndarray
    reference_low: np.ndarray
    reference_high: np.ndarray
    window: np.ndarray
    window_low: np.ndarray
    window_high: np.ndarray
    moved: np.ndarray
    reference_rows: int
    window_rows: int
    ordered: bool
    shape: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))
    borders: np.ndarray = field(default_factory=lambda: np.zeros(0))
    moved_shape: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    # Whose bars they are, and which of its cells each bar joins.
    cells: Cells | None = None
    groups: tuple[tuple[int, ...], ...] = ()

    @property
    def wheres(self) -> list[str | None]:
        """The `where_text` that selects each bar's rows; None where impossible."""
        if self.cells is None:
            return [None] * len(self.labels)
        found = (_selected(self.cells, cells) for cells in self.groups)
        return [None if one is None else where_text(one) for one in found]

    @property
    def shape_wheres(self) -> list[str | None]:
        """The same for bars of equal width, whose outermost hold all beyond."""
        return [where_text(_stretch_of(self.feature, *one)) for one in pairwise(self._ends)]

    @property
    def shape_ends(self) -> tuple[list[str], list[str]]:
        """Conditions at the start and end of each bar of equal width; "" for all beyond."""
        ends = self._ends
        return (
            [_side(self.feature, "ge", end) for end in ends[:-1]],
            [_side(self.feature, "lt", end) for end in ends[1:]],
        )

    @property
    def _ends(self) -> list[float | None]:
        return [None, *self.borders[1:-1].tolist(), None]


def compare_column(
    name: str,
    profile: Profile,
    references: Mapping[str, ReferenceColumn],
    moved: Predicate | None,
) -> Comparison | None:
    """Compare one column's counts with the reference's; None for one that was not counted."""
    reference, found = references.get(name), profile.columns.get(name)
    if reference is None or found is None or found.cell_counts is None:
        return None
    counts = np.rint(reference.counts).astype(np.int64)
    return compare(reference.cells, counts, found.cell_counts, moved=moved)


def compare(
    cells: Cells, reference: Counts, window: Counts, *, moved: Predicate | str | None = None
) -> Comparison:
    """Compare one column's counts on both sides."""
    inside = _members(cells, _condition(cells, moved) if isinstance(moved, str) else moved)
    groups = (
        _number_groups(cells, reference, window, inside)
        if cells.is_number
        else _level_groups(cells, reference, window, inside)
    )
    groups += [
        (cells.describe(cell), [cell])
        for cell in (cells.size - 2, cells.size - 1)
        if reference[cell] or window[cell]
    ]
    sides = [
        np.array([side[cells_of].sum() for _, cells_of in groups]) for side in (reference, window)
    ]
    totals = [int(side.sum()) for side in (reference, window)]
    spans = [wilson_of_each(side, total) for side, total in zip(sides, totals, strict=True)]
    shape, borders = bars_of(cells, reference, window)
    return Comparison(
        feature=cells.column,
        labels=tuple(label for label, _ in groups),
        reference=sides[0] / max(1, totals[0]),
        reference_low=spans[0][:, 0],
        reference_high=spans[0][:, 1],
        window=sides[1] / max(1, totals[1]),
        window_low=spans[1][:, 0],
        window_high=spans[1][:, 1],
        moved=np.array([bool(inside[cells_of].all()) for _, cells_of in groups], dtype=bool),
        reference_rows=totals[0],
        window_rows=totals[1],
        ordered=cells.is_number,
        shape=shape,
        borders=borders,
        moved_shape=_bars_with(cells, inside, borders),
        cells=cells,
        groups=tuple(tuple(cells_of) for _, cells_of in groups),
    )


def share_of(profile: ColumnProfile, predicate: Predicate) -> float | None:
    """Return the share of a column's rows that meet a condition of its cells; None without any."""
    if profile.cells is None or profile.cell_counts is None or not profile.cell_counts.any():
        return None
    inside = _members(profile.cells, predicate)
    if not inside.any():
        return None
    return float(profile.cell_counts[inside].sum() / profile.cell_counts.sum())


def _stretch_of(column: str, low: float | None, high: float | None) -> list[Predicate]:
    """Return the conditions of an interval of numbers, its lower end included."""
    if low is None and high is None:
        return [Predicate(column, "not_in")]
    if low is None or high is None:
        return [Predicate(column, "lt" if low is None else "ge", high if low is None else low)]
    return [Predicate(column, "between", low, below=high)]


def _side(column: str, op: Operator, end: float | None) -> str:
    return "" if end is None else where_text([Predicate(column, op, end)]) or ""


def _selected(cells: Cells, group: Sequence[int]) -> Sequence[Predicate] | None:
    """Return the condition of neighbouring cells' rows; None where it has too many values."""
    first, last, column = group[0], group[-1], cells.column
    if last >= cells.size - 2:
        return [Predicate(column, "null")] if last == cells.size - 2 else None
    if cells.is_number:
        edges = (None, *cells.edges, None)
        return _stretch_of(column, edges[first], edges[last + 1])
    if last < len(cells.levels):
        return [Predicate(column, "in", values=(cells.levels[last],))]
    is_unseen = last == len(cells.levels) + 1 and len(cells.known or ()) <= NAMED
    return [Predicate(column, "not_in", values=cells.known or ())] if is_unseen else None


def _condition(cells: Cells, words: str) -> Predicate | None:
    """Find the condition with this text: a scanned set, or the other side of a cut."""
    for predicate in cells.predicates:
        for op in (predicate.op, OTHER_SIDE.get(predicate.op, predicate.op)):
            found = replace(predicate, op=op)
            if found.phrase == words:
                return found
    return None


def _members(cells: Cells, moved: Predicate | None) -> NDArray[np.bool_]:
    """Mark the cells of a set, shape (cells.size,); one that a cut goes through is marked, too.

    It holds rows that the verdict means, whose share in the reference is told as at most so.
    """
    inside = np.zeros(cells.size, dtype=bool)
    if moved is None:
        return inside
    if moved.op in ("in", "not_in") and not cells.is_number:
        inside[: cells.size - 2] = _text_members(cells, moved)
        return inside
    found = cells_of(cells, moved)
    return inside if found is None else found


def _bars_with(
    cells: Cells, inside: NDArray[np.bool_], borders: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark the bars that marked cells overlap; the outermost hold all beyond."""
    if not len(borders):
        return np.zeros(0, dtype=bool)
    edges = np.concatenate([[-np.inf], edges_of(cells), [np.inf]])
    marked = np.flatnonzero(inside[: len(edges) - 1])
    ends = np.concatenate([[-np.inf], borders[1:-1], [np.inf]])
    reach = (edges[marked] < ends[1:, None]) & (edges[marked + 1] > ends[:-1, None])
    return np.asarray(reach.any(axis=1))


def _text_members(cells: Cells, moved: Predicate) -> NDArray[np.bool_]:
    """Mark the cells of text whose values all meet, or all fail, a condition.

    A condition may name other values than a scanned set does: a constraint's own domain.
    """
    named, wanted = set(moved.values), moved.op == "in"
    rest = set(cells.known or ()) - set(cells.levels)
    inside = [(level in named) == wanted for level in cells.levels]
    inside.append(all((value in named) == wanted for value in rest) and bool(rest or not wanted))
    if cells.known is not None:
        inside.append(not wanted)
    return np.array(inside, dtype=bool)


def _number_groups(
    cells: Cells, reference: Counts, window: Counts, inside: NDArray[np.bool_]
) -> list[Group]:
    """Join neighbouring intervals of numbers until each is worth a bar."""
    last = cells.size - 2
    # Plain numbers: single items of arrays are slow, and a page has thousands of columns.
    share, now = _shares(reference).tolist(), _shares(window).tolist()
    taken, marked = ((reference > 0) | (window > 0)).tolist(), inside.tolist()
    atoms = cells.atom_set
    at_atom = [cell > 0 and cells.edges[cell - 1] in atoms for cell in range(last)]
    in_atoms = sum(one for one, is_atom in zip(share, at_atom, strict=False) if is_atom)
    few = len(atoms) <= FEW_ATOMS and in_atoms >= DISCRETE_SHARE
    groups: list[list[int]] = []
    held, closed = 0.0, True
    for cell in range(last):
        if not taken[cell]:
            continue
        large = max(share[cell], now[cell]) >= ATOM_SHARE
        alone = cell in (0, last - 1) or (at_atom[cell] and (few or large))
        border = bool(groups) and marked[cell] != marked[groups[-1][-1]]
        if closed or alone or border or held + share[cell] > BAR_SHARE * 1.25:
            groups.append([])
            held = 0.0
        groups[-1].append(cell)
        held += share[cell]
        closed = alone
    return [(_stretch(cells, group), group) for group in groups]


def _stretch(cells: Cells, group: Sequence[int]) -> str:
    """Describe a run of neighbouring cells: ``12.02 – 20.9``."""
    first, last = group[0], group[-1]
    if first == last and (first in (0, len(cells.edges)) or cells.edges[first - 1] in cells.atoms):
        return cells.describe(first)
    low = cells.edges[first - 1] if first else cells.edges[0]
    high = cells.maximum if last >= len(cells.edges) - 1 else cells.edges[last]
    end = number_text(high if high is not None else low)
    # After a value of its own the next cell begins at the next number there is: 4.9e-324 after 0.
    before = float(np.nextafter(low, -np.inf))
    if before in cells.atom_set:
        return f"above {number_text(before)} to {end}"
    return f"{number_text(low)} – {end}"


def _level_groups(
    cells: Cells, reference: Counts, window: Counts, inside: NDArray[np.bool_]
) -> list[Group]:
    """Keep the greatest levels, join the rest with the other known values."""
    count = len(cells.levels)
    weight = np.maximum(_shares(reference), _shares(window))[:count] + inside[:count]
    kept = set(np.argsort(-weight, kind="stable")[:LEVELS].tolist())
    if count == LEVELS + 1:
        kept.add(int(np.argsort(-weight, kind="stable")[-1]))
    groups: list[Group] = [(cells.levels[cell], [cell]) for cell in range(count) if cell in kept]
    rest = [cell for cell in range(count) if cell not in kept]
    specials = list(range(count, cells.size - 2))
    if specials and (rest or reference[specials[0]] or window[specials[0]]):
        groups.append((cells.describe(specials[0]), [*rest, specials[0]]))
    groups += [
        (cells.describe(cell), [cell]) for cell in specials[1:] if reference[cell] or window[cell]
    ]
    return groups


def _shares(counts: Counts) -> NDArray[np.float64]:
    return counts / max(1, int(counts.sum()))
