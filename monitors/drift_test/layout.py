"""All judged columns side by side in flat arrays, so that one operation judges them all.

Shapes: W columns, C cells of all of them, S scanned sets of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.cells import Cells, members
from driftline.baseline.predicate import Predicate
from driftline.errors import InputError
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.significance import Numbers

Indices = NDArray[np.int64]
AnyT = TypeVar("AnyT", bound=np.generic)
# Shares are differences of running sums: below this they are the rounding of a zero.
ROUNDING = 1e-11
# Sets of at least this share, and at most its complement, say how a column usually varies.
CENTRAL_SHARE = 0.05
# Numbers in the greatest table that is made at once while the reference is learnt.
CHUNK = 500_000


@dataclass(frozen=True, slots=True)
class ColumnSets:
    """One column and the cells of each scanned set."""

    name: str
    reference: ReferenceColumn
    low: Indices  # Each set is the cells low <= cell < high, shape (sets,).
    high: Indices
    kinds: NDArray[np.str_]  # As `Cells.set_kind` names them; other known texts are the "rest".

    @classmethod
    def of(cls, name: str, reference: ReferenceColumn) -> ColumnSets:
        """Find the sets of a column."""
        cells = reference.cells
        if reference.counts.shape != (cells.size,):
            raise InputError(
                f'column "{name}": the reference has {reference.counts.size} counts for '
                f"{cells.size} cells; make the baseline again"
            )
        low, high = np.array([_range(cells, one) for one in cells.predicates], np.int64).T
        kinds = [
            "rest" if one.op == "in" else cells.set_kind(index)
            for index, one in enumerate(cells.predicates)
        ]
        return cls(name, reference, low, high, np.array(kinds))


def _range(cells: Cells, predicate: Predicate) -> tuple[int, int]:
    found = members(cells, predicate)
    return (found.start, found.stop) if isinstance(found, slice) else (found, found + 1)


@dataclass(frozen=True)
class Layout:
    """Columns in a fixed order, with the indices of their cells and sets in flat arrays."""

    columns: tuple[ColumnSets, ...]

    @classmethod
    def of(cls, references: Mapping[str, ReferenceColumn]) -> Layout:
        """Lay out the columns in the order given."""
        return cls(tuple(ColumnSets.of(name, reference) for name, reference in references.items()))

    def select(self, order: Sequence[int]) -> Layout:
        """Return the layout of some of the columns."""
        return Layout(tuple(self.columns[index] for index in order))

    def __len__(self) -> int:
        """Count the columns."""
        return len(self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def sizes(self) -> Indices:
        """Cells of each column, shape (W,)."""
        return np.array([column.reference.cells.size for column in self.columns], dtype=np.int64)

    @cached_property
    def cell_starts(self) -> Indices:
        """Start of each column's cells, and the end of the last, shape (W + 1,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)])

    @cached_property
    def set_starts(self) -> Indices:
        """Start of each column's sets, and the end of the last, shape (W + 1,)."""
        return np.cumsum([0, *(column.low.size for column in self.columns)])

    @cached_property
    def set_counts(self) -> Indices:
        """Sets of each column, shape (W,)."""
        return np.diff(self.set_starts)

    @cached_property
    def column_of_set(self) -> Indices:
        """The column that each set belongs to, shape (S,)."""
        return np.repeat(np.arange(len(self)), self.set_counts)

    @cached_property
    def _width(self) -> int:
        """Entries of each column in the table of running sums: a zero, and its cells."""
        return int(self.sizes.max(initial=0)) + 1

    @cached_property
    def _places(self) -> Indices:
        """Index of each cell in that table, shape (C,)."""
        column = np.repeat(np.arange(len(self)), self.sizes)
        return column * self._width + 1 + np.arange(column.size) - self.cell_starts[column]

    @cached_property
    def _low(self) -> Indices:
        """Index of the running sum before each set, shape (S,)."""
        return _flat([column.low for column in self.columns]) + self.column_of_set * self._width

    @cached_property
    def _high(self) -> Indices:
        """Index of the running sum at the end of each set, shape (S,)."""
        return _flat([column.high for column in self.columns]) + self.column_of_set * self._width

    @cached_property
    def kinds(self) -> NDArray[np.str_]:
        """The kind of each set, shape (S,)."""
        return np.concatenate([np.zeros(0, np.str_), *(column.kinds for column in self.columns)])

    @cached_property
    def absent(self) -> NDArray[np.bool_]:
        """Whether each set is that of empty or of unfit values, shape (S,)."""
        return np.isin(self.kinds, ("null", "unfit"))

    @cached_property
    def nulls(self) -> Indices:
        """The set of empty values of each column, shape (W,)."""
        return np.flatnonzero(self.kinds == "null")

    @cached_property
    def valueless(self) -> NDArray[np.bool_]:
        """Whether each set is of no known value: empty, unfit or unseen, shape (S,)."""
        return np.isin(self.kinds, ("null", "unfit", "unseen"))

    @cached_property
    def reference_cells(self) -> Numbers:
        """Rows of the reference per cell, shape (C,)."""
        return np.concatenate([np.zeros(0), *(one.reference.counts for one in self.columns)])

    @cached_property
    def reference_rows(self) -> Numbers:
        """Rows of the reference per column, shape (W,)."""
        return self.rows(self.reference_cells)

    @cached_property
    def reference_sets(self) -> Numbers:
        """Rows of the reference per set, shape (S,)."""
        return self.sets(self.reference_cells)

    def places(self, order: Sequence[int]) -> Indices:
        """Return the indices of some columns' sets, column after column."""
        return _flat([np.arange(*self.set_starts[index : index + 2]) for index in order])

    def cell_places(self, order: Sequence[int]) -> Indices:
        """Return the indices of some columns' cells, column after column."""
        return _flat([np.arange(*self.cell_starts[index : index + 2]) for index in order])

    @cached_property
    def never_absent(self) -> NDArray[np.bool_]:
        """Mark the empty and unfit sets without a row of the reference, shape (S,)."""
        return np.asarray(self.absent & (self.reference_sets == 0))

    @cached_property
    def central(self) -> NDArray[np.bool_]:
        """Mark the sets that show a column's usual variation, shape (S,)."""
        share = self.reference_sets / np.maximum(self.spread(self.reference_rows), 1.0)
        return np.asarray((share >= CENTRAL_SHARE) & (share <= 1.0 - CENTRAL_SHARE))

    @cached_property
    def shifted(self) -> NDArray[np.bool_]:
        """Mark far cuts of numbers, and intervals, which a shift affects strongly, shape (S,)."""
        return np.isin(self.kinds, ("range", "cut", "interval")) & ~self.central

    @cached_property
    def middles(self) -> Numbers:
        """Normal score of the middle of each interval; NaN of other sets, (S,)."""
        found = []
        for column in self.columns:
            counts = column.reference.counts[: column.reference.cells.size - 2]
            below = np.concatenate([[0.0], np.cumsum(counts), [np.nan] * 2])
            middle = (below[column.low] + below[column.high]) / 2.0 / max(counts.sum(), 1.0)
            found.append(special.ndtri(np.where(column.kinds == "interval", middle, np.nan)))
        return np.concatenate([np.zeros(0), *found])

    def parts(self, order: Sequence[int], lines: int) -> Iterator[list[int]]:
        """Yield columns in small groups, so that tables stay small."""
        part: list[int] = []
        cells = 0
        for index in order:
            size = int(self.sizes[index])
            if part and (cells + size) * lines > CHUNK:
                yield part
                part, cells = [], 0
            part.append(index)
            cells += size
        if part:
            yield part

    def flatten(
        self, cells: Mapping[str, NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return a window's rows per cell side by side, (C,), and which columns were counted, (W,).

        InputError when a column was counted on other cells.
        """
        if not self.names:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        if cells.keys() >= self._name_set:
            parts = list(map(cells.__getitem__, self.names))
            present = np.ones(len(self), dtype=np.bool_)
        else:
            pairs = zip(self.names, self._blank, strict=True)
            parts = [cells.get(name, blank) for name, blank in pairs]
            present = np.array([name in cells for name in self.names])
        if list(map(len, parts)) != self.sizes.tolist():
            for name, part, blank in zip(self.names, parts, self._blank, strict=True):
                if len(part) != len(blank):
                    raise InputError(
                        f'column "{name}": {len(part)} counts for the {len(blank)} cells of the '
                        "baseline; expected a window that was counted on this baseline's cells"
                    )
        return np.concatenate(parts), present

    @cached_property
    def _name_set(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def _blank(self) -> list[NDArray[np.int64]]:
        """Counts of columns that were not counted."""
        return [np.zeros(size, dtype=np.int64) for size in self.sizes.tolist()]

    def rows(self, flat: NDArray[np.float64] | NDArray[np.int64]) -> Numbers:
        """Add up each column's cells, shape (W,)."""
        if not len(self):
            return np.zeros(0)
        return np.add.reduceat(flat, self.cell_starts[:-1]).astype(np.float64)

    def sets(self, flat: NDArray[np.float64] | NDArray[np.int64]) -> Numbers:
        """Add up each set's cells: shape (..., C) gives (..., S).

        A sum over neighbouring cells is a difference of the column's own running sums, so counts
        stay exact and columns do not affect each other.
        """
        shape = (*flat.shape[:-1], len(self), self._width)
        table = np.zeros((*flat.shape[:-1], len(self) * self._width))
        table[..., self._places] = flat
        running = np.cumsum(table.reshape(shape), axis=-1).reshape(table.shape)
        found: Numbers = running[..., self._high] - running[..., self._low]
        found[found < ROUNDING] = 0.0
        return found

    def bases(self, sets: Numbers, whole: Numbers) -> Numbers:
        """Return each set's denominator: all rows for empty and unfit sets, else rows with values.

        Rows that lose their values say nothing of the values.
        """
        ends = self.set_starts[1:]
        present = np.maximum(whole - sets[..., ends - 2] - sets[..., ends - 1], 0.0)
        found = present[..., self.column_of_set]
        all_rows = np.broadcast_to(whole, present.shape)[..., self.column_of_set]
        return np.where(self.absent, all_rows, found)

    def spread(self, per_column: NDArray[AnyT]) -> NDArray[AnyT]:
        """Return each set's column value, shape (S,)."""
        found: NDArray[AnyT] = per_column[self.column_of_set]
        return found

    def spread_cells(self, per_column: NDArray[np.float64]) -> Numbers:
        """Return each cell's column value, shape (C,)."""
        return np.repeat(per_column, self.sizes)

    def largest(self, per_set: Numbers) -> Numbers:
        """Return each column's largest value, shape (..., S) to (..., W)."""
        if not len(self):
            return np.zeros((*per_set.shape[:-1], 0))
        return np.asarray(np.maximum.reduceat(per_set, self.set_starts[:-1], axis=-1))

    def strongest(self, per_set: Numbers, preferred: NDArray[np.bool_]) -> Indices:
        """Return each column's set with the largest value, shape (W,).

        Of sets that are equal but for rounding a preferred one wins, then the last.
        """
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        top = self.spread(self.largest(per_set))
        near = per_set >= top - 1e-9 * np.abs(top)
        rank = np.where(near, 1 + preferred, 0) * per_set.size + np.arange(per_set.size)
        return np.maximum.reduceat(rank, self.set_starts[:-1]) % per_set.size

    @cached_property
    def once(self) -> Numbers:
        """Values that occur once in the reference, shape (W,)."""
        return np.array([column.reference.once_count for column in self.columns], np.float64)

    @cached_property
    def unseen(self) -> Indices:
        """The set of unseen values of each column that has ``once`` values, shape (U,)."""
        found = np.flatnonzero(self.kinds == "unseen")
        return found[self.spread(self.once)[found] > 0]

    @cached_property
    def rest(self) -> Indices:
        """The set of other known values beside each of ``unseen``; -1 where there is none."""
        rest = np.flatnonzero(self.kinds == "rest")
        of_column = np.full(len(self), -1)
        of_column[self.column_of_set[rest]] = rest
        return of_column[self.column_of_set[self.unseen]]


def divide(part: Numbers, whole: Numbers, otherwise: Numbers | float) -> Numbers:
    """Return shares, 0-1; where the whole is 0, the default."""
    found = part / np.where(whole > ROUNDING, whole, 1.0)
    return np.where(whole > ROUNDING, np.minimum(found, 1.0), otherwise)


def _flat(parts: list[Indices]) -> Indices:
    return np.concatenate([np.zeros(0, np.int64), *parts])
