"""The reference's own cells: what a window is counted on, exactly.

A numeric column is cut at quantiles of the reference, tails included, and around each value that
many rows share (an atom); a text or boolean column is split into its frequent levels. Each row
falls into exactly one cell, so counts of parts add up to the counts of the whole, and each scanned
set (all below a cut, between two cuts, one atom, one level, the unseen, the empty, the unfit) is
one binomial count.
Design: docs/reference/statistics.md, "Cells".
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import (
    FIRST_TIME,
    LAST_TIME,
    Predicate,
    microseconds,
    time_text,
)
from driftline.baseline.texts import counted_texts, shortened
from driftline.baseline.times import SECOND
from driftline.errors import InputError
from driftline.formats.coercion import coerce, is_missing, unfit_mask
from driftline.signature import ColumnType

# Shares at which the tails are cut, and the number of equal parts of the rest
# (docs/reference/statistics.md, "Cells").
TAIL_SHARES = (0.001, 0.005, 0.01, 0.02, 0.98, 0.99, 0.995, 0.999)
EQUAL_PARTS = 32
ATOM_SHARE = 1 / 32
LEVEL_SHARE = 1 / 200
LEVEL_COUNT = 50
# Counts that differ by less, in standard deviations of their difference, may be of equal levels.
EQUAL_LEVELS = 3.0
# With so few distinct values each of them is a level of its own.
FEW_VALUES = 32

# From so many numbers on, and up to so many edges, comparing with each edge is the faster look-up.
MANY_NUMBERS, EDGES_COMPARED = 1024, 127

SetKind = Literal["range", "cut", "interval", "level", "unseen", "null", "unfit"]


@dataclass(frozen=True)
class Cells:
    """The disjoint cells in which the rows of one column are counted."""

    column: str
    type: ColumnType
    # Numbers only: ascending; row x falls between the greatest edge that is <= x and the next.
    # The first edge is the reference's minimum, the last lies just above its maximum.
    edges: tuple[float, ...] = ()
    atoms: tuple[float, ...] = ()  # Numbers only: values with a cell of their own.
    # Numbers only: cuts up to here are scanned as "below", the others as "or above".
    median: float | None = None
    levels: tuple[str, ...] = ()  # Text and booleans: the frequent values, most frequent first.
    # Text: every value of the reference, sorted; None when there were too many to keep, and then
    # nothing is called unseen.
    known: tuple[str, ...] | None = None

    @cached_property
    def id(self) -> str:
        """Digest of all that decides what is counted: only counts of equal ids may be merged."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def is_number(self) -> bool:
        """Whether the column is cut by value."""
        return self.type in ("int64", "double")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The cells in words, in the order of `count`."""
        return tuple(self.describe(index) for index in range(self.size))

    @cached_property
    def size(self) -> int:
        """Number of disjoint cells; the last two are the empty and the unfit."""
        if self.is_number or self.type == "timestamp":
            return len(self.edges) + 1 + 2
        return len(self.levels) + 1 + (self.known is not None) + 2

    def describe(self, index: int) -> str:
        """Describe what one cell holds: ``= "UA"``, ``from 3 to below 5``, ``empty``."""
        if index >= self.size - 2:
            return _absent_set(self, index).phrase
        if self.is_number:
            return self._describe_interval(index)
        if self.type == "timestamp":
            return self._describe_times(index)
        if index < len(self.levels):
            return Predicate(self.column, "eq", self.levels[index]).phrase
        if self.known is None:
            return "any other value"
        return "another known value" if index == len(self.levels) else "not seen in the reference"

    def _describe_times(self, index: int) -> str:
        if not self.edges:
            return "a time"
        return _times_between(self, index).phrase

    def _describe_interval(self, index: int) -> str:
        if not self.edges:
            return "a number"
        if index == 0:
            return Predicate(self.column, "lt", self.edges[0]).phrase
        low = self.edges[index - 1]
        if low in self.atom_set:
            return Predicate(self.column, "eq", low).phrase
        first = Predicate(self.column, "ge", low).phrase
        if index == len(self.edges):
            return Predicate(self.column, "gt", self.maximum).phrase
        return f"{first}, {Predicate(self.column, 'lt', self.edges[index]).phrase}"

    @property
    def minimum(self) -> float | None:
        """Smallest value of the reference."""
        return self.edges[0] if self.edges else None

    @property
    def maximum(self) -> float | None:
        """Greatest value of the reference."""
        return float(np.nextafter(self.edges[-1], -np.inf)) if self.edges else None

    @cached_property
    def atom_set(self) -> frozenset[float]:
        """The atoms as a set, for look-ups."""
        return frozenset(self.atoms)

    def count(self, array: pa.Array, unfit: int = 0) -> np.ndarray:
        """Count the rows of each cell, (size,); `unfit` nulls stand for unfit values."""
        plain, lost = coerce(array, self.type)
        rows, unfit = len(plain), unfit + lost
        if self.is_number:
            values = np.array(plain.drop_null().to_numpy(zero_copy_only=False), dtype=np.float64)
            values.sort()
            return self.count_sorted(values, rows, unfit)
        if self.type != "timestamp":
            return self.count_texts(*counted_texts(plain), rows, unfit)
        return self.count_sorted(np.sort(_times(plain)), rows, unfit)

    def count_sorted(self, ordered: np.ndarray, rows: int, unfit: int) -> np.ndarray:
        """Count ascending float64 numbers, NaN last, with one look-up for each edge.

        `rows` includes the rows without a number.
        """
        known = int(np.searchsorted(ordered, np.nan))
        counts = np.zeros(self.size, dtype=np.int64)
        ends = np.searchsorted(ordered, np.asarray(self.edges), side="left")
        counts[:-2] = np.diff(ends, prepend=0, append=known)
        return self._with_absent(counts, rows, unfit)

    def count_texts(self, texts: pa.Array, often: np.ndarray, rows: int, unfit: int) -> np.ndarray:
        """Count distinct texts that occur `often` times, as `counted_texts` returns them."""
        codes = self._level_codes(texts)
        counts = np.bincount(codes, weights=often, minlength=self.size).astype(np.int64)
        return self._with_absent(counts, rows, unfit)

    def _with_absent(self, counts: np.ndarray, rows: int, unfit: int) -> np.ndarray:
        """Fill in the last two cells: rows in no other are empty or unfit."""
        empty = rows - int(counts.sum())
        if unfit > empty:
            raise InputError(f'column "{self.column}": {unfit} unfit of {empty} empty rows')
        counts[-2:] = empty - unfit, unfit
        return counts

    def assign(self, array: pa.Array) -> np.ndarray:
        """Return the index of each row's cell, shape (rows,)."""
        plain, lost = coerce(array, self.type)
        codes = np.full(len(plain), self.size - 2, dtype=np.int64)
        if lost:
            codes[unfit_mask(array, self.type).to_numpy(zero_copy_only=False)] += 1
        present = ~is_missing(plain).to_numpy(zero_copy_only=False)
        if self.is_number:
            found = edges_passed(np.asarray(self.edges), _numbers(plain))
        elif self.type == "timestamp":
            found = edges_passed(np.asarray(self.edges), _times(plain))
        else:
            found = self._text_codes(plain)[present]
        codes[present] = found
        return codes

    def place(self, number: float) -> int:
        """Return the index of a number's cell."""
        return int(np.searchsorted(np.asarray(self.edges), number, side="right"))

    def span(self, counts: np.ndarray, share: float) -> tuple[float, float] | None:
        """Return the ends of the middle `share` of the counted numbers; None without any.

        Numbers are taken as evenly spread within their cell.
        """
        if not self.edges or not (total := counts[:-2].sum()):
            return None
        below = np.cumsum(counts[: len(self.edges)]) / total
        low, high = np.interp([(1 - share) / 2, (1 + share) / 2], below, self.edges).tolist()
        return low, high

    def _text_codes(self, plain: pa.Array) -> np.ndarray:
        """Look up each distinct value once, then assign the codes to the rows."""
        encoded = plain.cast(pa.string()).dictionary_encode()
        if len(encoded.dictionary) == 0:
            return np.full(len(plain), len(self.levels), dtype=np.int64)
        table = self._level_codes(encoded.dictionary)
        indices = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
        return np.asarray(table[indices])

    def _level_codes(self, values: pa.Array) -> np.ndarray:
        """Return the cell of each text; profiles keep long ones shortened."""
        other, values = len(self.levels), shortened(values)
        codes = pc.fill_null(pc.index_in(values, value_set=self._level_array), other)
        table: np.ndarray = codes.to_numpy(zero_copy_only=False).astype(np.int64)
        if self._known_array is not None:
            unseen = pc.invert(pc.is_in(values, value_set=self._known_array))
            table[unseen.to_numpy(zero_copy_only=False)] = other + 1
        return table

    @cached_property
    def _level_array(self) -> pa.Array:
        return pa.array(self.levels, pa.string())

    @cached_property
    def _known_array(self) -> pa.Array | None:
        return None if self.known is None else pa.array(self.known, pa.string())

    @cached_property
    def predicates(self) -> tuple[Predicate, ...]:
        """The scanned sets, each countable from the cells and searchable in rows.

        Order: cuts, intervals, atoms, levels, others, unseen, empty, unfit.
        """
        return _scanned_sets(self)

    def set_kind(self, index: int) -> SetKind:
        """Return the kind of a scanned set.

        "range" lies outside the reference's [minimum, maximum]; "unseen" is a text that the
        reference did not hold; "level" is one value, or all other known ones.
        """
        predicate = self.predicates[index]
        if self.type == "timestamp" and predicate.op not in ("null", "unfit"):
            return _kind_of_times(self, predicate)
        if predicate.op in ("null", "unfit"):
            return "null" if predicate.op == "null" else "unfit"
        if predicate.op == "gt" or (predicate.op == "lt" and predicate.value == self.minimum):
            return "range"
        if predicate.op == "not_in" and self.known is not None:
            return "unseen"
        if predicate.op == "between":
            return "interval"
        return "cut" if predicate.op in ("lt", "le", "ge") else "level"

    @cached_property
    def _scan_matrix(self) -> np.ndarray:
        """0/1 matrix, shape (scanned sets, cells): which cells make up each set."""
        matrix = np.zeros((len(self.predicates), self.size), dtype=np.int64)
        for row, predicate in enumerate(self.predicates):
            matrix[row, members(self, predicate)] = 1
        return matrix

    def scan(self, counts: np.ndarray) -> np.ndarray:
        """Turn counts of cells, (..., size), into counts of scanned sets, (..., sets)."""
        return np.asarray(counts @ self._scan_matrix.T)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Cells:
        """Read what to_dict returned."""
        read = (found[one.name] for one in fields(cls))
        values: list[Any] = [tuple(one) if isinstance(one, list) else one for one in read]
        return cls(*values)


def members(cells: Cells, predicate: Predicate) -> slice | int:
    """Return the cells of a scanned set, as an index into the counts."""
    values = cells.size - 2
    if predicate.op in ("null", "unfit"):
        return values + (predicate.op == "unfit")
    if cells.type == "timestamp":
        cut = int(np.searchsorted(cells.edges, microseconds(str(predicate.value)), side="right"))
        sides = {"lt": slice(0, cut), "ge": slice(cut, values)}
        return sides.get(predicate.op, cut)
    if predicate.op == "gt":
        return values - 1
    if predicate.op in ("lt", "ge"):
        cut = cells.edges.index(float(predicate.value or 0.0)) + 1
        return slice(0, cut) if predicate.op == "lt" else slice(cut, values)
    if predicate.op in ("eq", "between") and cells.is_number:
        return cells.edges.index(float(predicate.value or 0.0)) + 1
    if predicate.op == "eq":
        return cells.levels.index(str(predicate.value))
    if predicate.op == "in" or cells.known is None:
        return len(cells.levels)
    return len(cells.levels) + 1


def _scanned_sets(cells: Cells) -> tuple[Predicate, ...]:
    found: list[Predicate] = _sets_of_times(cells) if cells.type == "timestamp" else []
    for index, edge in enumerate(cells.edges if cells.is_number else ()):
        if index == len(cells.edges) - 1:
            found.append(Predicate(cells.column, "gt", cells.maximum))
        elif float(np.nextafter(edge, -np.inf)) not in cells.atom_set:
            # The upper edge of an atom is left out: its count is the lower edge's plus the
            # atom's own, and both of these are scanned.
            below = index == 0 or cells.median is None or edge <= cells.median
            found.append(Predicate(cells.column, "lt" if below else "ge", edge))
    # A value that becomes frequent moves no cut by as much as it moves its own interval.
    found.extend(
        Predicate(cells.column, "between", low, below=high)
        for low, high in pairwise(cells.edges if cells.is_number else ())
        if low not in cells.atom_set
    )
    if cells.is_number:
        found.extend(Predicate(cells.column, "eq", atom) for atom in cells.atoms)
    found.extend(Predicate(cells.column, "eq", level) for level in cells.levels)
    if cells.type in ("string", "bool"):
        found.extend(_other_sets(cells))
    found.extend(_absent_set(cells, index) for index in (cells.size - 2, cells.size - 1))
    return tuple(found)


def _sets_of_times(cells: Cells) -> list[Predicate]:
    """Return the cuts of times, then the intervals."""
    found = []
    for index, edge in enumerate(cells.edges):
        if edge - SECOND not in cells.atom_set or index == len(cells.edges) - 1:
            below = index == 0 or (cells.median is not None and edge <= cells.median)
            found.append(Predicate(cells.column, "lt" if below else "ge", time_text(edge)))
    return [*found, *(_times_between(cells, at) for at in range(1, len(cells.edges)))]


def _times_between(cells: Cells, index: int) -> Predicate:
    """Return the condition of one cell of times."""
    if index == 0:
        return Predicate(cells.column, "lt", time_text(cells.edges[0]))
    first = time_text(cells.edges[index - 1])
    if index == len(cells.edges):
        return Predicate(cells.column, "ge", first)
    return Predicate(cells.column, "between", first, below=time_text(cells.edges[index]))


def _kind_of_times(cells: Cells, predicate: Predicate) -> SetKind:
    edge = float(microseconds(str(predicate.value)))
    if predicate.op == "between":
        return "level" if edge in cells.atom_set else "interval"
    return "range" if edge == cells.edges[0 if predicate.op == "lt" else -1] else "cut"


def _other_sets(cells: Cells) -> list[Predicate]:
    if cells.known is None:
        return [Predicate(cells.column, "not_in", values=cells.levels)]
    rest = tuple(sorted(set(cells.known) - set(cells.levels)))
    others = [Predicate(cells.column, "in", values=rest)] if rest else []
    return [*others, Predicate(cells.column, "not_in", values=cells.known)]


def _absent_set(cells: Cells, index: int) -> Predicate:
    """Return the condition of the empty or the unfit cell."""
    if index == cells.size - 2:
        return Predicate(cells.column, "null")
    return Predicate(cells.column, "unfit", cells.type)


def number_cells(
    column: str, kind: ColumnType, values: np.ndarray, weights: np.ndarray, *, few: bool = False
) -> Cells:
    """Choose the cells of a numeric column from weighted values of the reference.

    Values are ascending and distinct, minimum and maximum among them; without any there is a single
    cell of numbers. With `few` they are all the values that occur, and each may be an atom.
    """
    if len(values) == 0:
        return Cells(column, kind)
    share = weights / weights.sum()
    floor = LEVEL_SHARE if few and len(values) <= FEW_VALUES else ATOM_SHARE
    atoms = values[share >= floor]
    shares = np.unique([*TAIL_SHARES, *np.arange(1, EQUAL_PARTS) / EQUAL_PARTS])
    at = np.searchsorted(np.cumsum(share), shares - 1e-12)
    cuts = values[np.minimum(at, len(values) - 1)]
    with np.errstate(over="ignore"):  # Infinity lies above the greatest number of all.
        ends = [values[0], np.nextafter(values[-1], np.inf)]
        edges = np.unique(np.concatenate([cuts, atoms, np.nextafter(atoms, np.inf), ends]))
    median = values[min(int(np.searchsorted(np.cumsum(share), 0.5)), len(values) - 1)]
    return Cells(
        column,
        kind,
        edges=tuple(edges.tolist()),
        atoms=tuple(atoms.tolist()),
        median=float(median),
    )


def time_cells(column: str, first: np.ndarray, last: np.ndarray, counts: np.ndarray) -> Cells:
    """Choose the cells of a column of times from the intervals that hold some, in microseconds.

    A time that many rows share gets a cell of one second.
    """
    if not len(counts):
        return Cells(column, "timestamp")
    ends = np.stack([first, last], axis=1).ravel() // SECOND * SECOND
    values, at = np.unique(ends, return_inverse=True)
    weights = np.bincount(at, np.repeat(counts / 2.0, 2))
    found = number_cells(column, "timestamp", values.astype(np.float64), weights)
    atoms = np.asarray(found.atoms)
    cuts = np.asarray(found.edges)[:-1] // SECOND * SECOND
    edges = np.unique(np.concatenate([cuts, atoms, atoms + SECOND, [values[-1] + SECOND]]))
    edges = edges[(edges >= FIRST_TIME) & (edges <= LAST_TIME)]
    return replace(found, edges=tuple(edges.tolist()))


def text_cells(
    column: str, kind: ColumnType, levels: Mapping[str, int], *, complete: bool, row_count: int
) -> Cells:
    """Choose the cells of a text or boolean column: its frequent levels.

    Levels about as frequent as the last one that gets a cell are drawn by their hash: the luckiest
    of equal ones would have too large a share in the reference, and all others too small a one.
    """
    ranked = sorted(levels.items(), key=lambda item: (-item[1], item[0]))
    least = LEVEL_SHARE * row_count
    next_best = ranked[LEVEL_COUNT][1] if len(ranked) > LEVEL_COUNT else 0
    limit = max(least, next_best)
    # Where the limit is another level's count, it varies as well.
    noise = EQUAL_LEVELS * math.sqrt(limit + next_best * (next_best > least))
    size = sum(count >= least for _, count in ranked[:LEVEL_COUNT])
    clear = {name for name, count in ranked[:size] if count > limit + noise}
    rivals = [name for name, count in ranked if abs(count - limit) <= noise]
    drawn = sorted(rivals, key=lambda name: hashlib.blake2b(name.encode()).digest())
    chosen = clear.union(drawn[: size - len(clear)])
    known = tuple(sorted(levels)) if complete else None
    frequent = tuple(name for name, _ in ranked if name in chosen)
    return Cells(column, kind, levels=frequent, known=known)


def edges_passed(edges: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return how many of the ascending edges lie at or below each number, none of which is NaN.

    Same as `numpy.searchsorted` from the right, in a fifth of its time for unordered numbers.
    """
    if len(numbers) < MANY_NUMBERS or len(edges) > EDGES_COMPARED:
        return np.searchsorted(edges, numbers, side="right")
    passed = np.zeros(len(numbers), np.int8)
    is_beyond = np.empty(len(numbers), np.bool_)
    for edge in edges:
        np.greater_equal(numbers, edge, out=is_beyond)
        passed += is_beyond.view(np.int8)
    return passed


def _times(plain: pa.Array) -> np.ndarray:
    """Return the present times in microseconds, as float64."""
    return np.asarray(plain.drop_null().cast(pa.int64()).to_numpy(), np.float64)


def _numbers(plain: pa.Array) -> np.ndarray:
    """Return the present values as float64, in a new array without NaN."""
    values = np.array(plain.drop_null().to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.asarray(values[~np.isnan(values)]) if pa.types.is_floating(plain.type) else values
