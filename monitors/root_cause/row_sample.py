"""A sample of a window's rows, coded by cell, in which segments are searched.

A number is coded by its cell in the baseline, a text by its cell or, if rare or new but frequent in
the window, by a code behind the cells. The baseline's sample of reference rows has the same codes,
so a segment can be counted in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.cells import Cells, members
from driftline.baseline.column import ColumnProfile
from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.baseline.sample import RowKeeper, RowSample
from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce

# Rows that are kept, all of them in most windows, and fewer where they are wide.
ROWS_MAX, ROWS_FEWEST = 100_000, 2_000
CELLS_MAX = 4_000_000
# More are not read: the first texts, then the first numbers.
COLUMNS_MAX = CELLS_MAX // ROWS_FEWEST
# Those of the largest contribution; of more nobody asks for the segment of each.
TARGETS_MAX = 50
# A column with more rare and new values than this in one window is no segment to name; values that
# have fewer rows than a segment needs have no place.
LEVELS_MAX = 1000
LEVEL_ROWS = 5
# Equally filled parts of the reference at which a number is cut.
BINS = 8
NEW = -1  # Stands for the cell of what the reference does not have.
_MATCHING, _WITHIN, _VALUES = "\0matching", "\0within", "\0values "

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Codes = NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True)
class SegmentColumn:
    """A column whose values may tell the rows behind a violation from others."""

    name: str
    cells: Cells | None = None  # None: a text that the reference does not have, as who sent a row.

    @property
    def is_number(self) -> bool:
        """Whether it is cut by value."""
        return self.cells is not None and self.cells.is_number


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """The values of a column of numbers that is asked about."""

    window: Floats  # Of each row of the window; NaN: none.
    # The reference's, or its quantiles, ascending, shape (V,); rows and cell of each.
    known: Floats
    counts: Floats
    cells: Ints

    @classmethod
    def of(cls, window: Floats, cells: Cells, profile: ColumnProfile) -> Numbers:
        """Return a column's values on both sides."""
        listed = profile.numbers
        known, counts = listed.values, listed.counts.astype(np.float64)
        if not listed.is_complete:
            known, counts = profile.sketch.weighted()
        return cls(window, known, counts, np.searchsorted(cells.edges, known, side="right"))


@dataclass(frozen=True, eq=False)
class CodedColumn:
    """One column's codes in the window and in the reference, and the segments by its values."""

    name: str
    is_number: bool
    codes: Codes  # Place of each row of the window.
    reference: Codes | None  # Of the reference's sample; None where it does not have the column.
    home: Ints  # The reference's cell of each place, shape (places,); NEW: none.
    # Of values that share a cell: bounds of each one's share of the reference's rows, 0-1, shape
    # (places, 2); NaN where the place is a cell of its own, and where nothing is known.
    shares: Floats
    # Segments: the rows whose place is in [low, high), shape (S,).
    low: Ints
    high: Ints
    conditions: Sequence[Predicate]
    numbers: Numbers | None = None

    @cached_property
    def counts(self) -> Ints:
        """Rows of the window by code."""
        return np.bincount(self.codes, minlength=self.home.size)

    @cached_property
    def reference_counts(self) -> Ints:
        """Rows of the reference's sample by cell."""
        codes = np.zeros(0, np.uint8) if self.reference is None else self.reference
        return np.bincount(codes, minlength=self.home.size)

    def only(self, rows: Bools, reference_rows: Bools | None) -> CodedColumn:
        """Return the column of some rows; None: without the reference."""
        known = None
        if self.reference is not None and reference_rows is not None:
            known = self.reference[reference_rows]
        home = self.home if known is not None else np.full_like(self.home, NEW)
        # How many of a rare value's rows are among these, nobody counted.
        shares = np.where(np.isnan(self.shares), np.nan, [0.0, 1.0])
        numbers = self.numbers
        if numbers is not None:
            numbers = replace(numbers, window=numbers.window[rows])
        return replace(
            self,
            codes=self.codes[rows],
            reference=known,
            home=home,
            shares=shares,
            numbers=numbers,
        )


@dataclass(frozen=True, slots=True, eq=False)
class CodedRows:
    """Coded rows of the window and of the reference, with marks of matching ones."""

    columns: Sequence[CodedColumn]
    row_count: int
    matching: Sequence[Bools]  # Of each target.
    within: Mapping[Predicate, Bools]  # Of each segment that was judged on its own.


@dataclass(slots=True)
class WindowSample:
    """Some of the rows; mergeable."""

    columns: Sequence[SegmentColumn]
    within: Sequence[Predicate]  # Segments that were judged on their own.
    rows: RowKeeper  # With a truth value for each target, and for each such segment.
    valued: frozenset[str]  # Columns of numbers whose values are kept, beside their cells.

    @classmethod
    def start(
        cls,
        columns: Sequence[SegmentColumn],
        within: Sequence[Predicate],
        row_count: int | None,
        valued: frozenset[str] = frozenset(),
    ) -> WindowSample:
        """Begin without rows."""
        limit = min(ROWS_MAX, max(CELLS_MAX // max(len(columns), 1), ROWS_FEWEST))
        return cls(columns, within, RowKeeper({}, limit, row_count=row_count), valued)

    def update(self, batch: pa.RecordBatch, matching: Sequence[Bools]) -> None:
        """Keep the sampled rows, with marks for the first targets."""
        self.rows.keep(batch, lambda places: self._kept(batch, matching, places))

    def _kept(
        self, batch: pa.RecordBatch, matching: Sequence[Bools], places: NDArray[np.int64]
    ) -> dict[str, pa.Array]:
        chosen = pa.array(places)
        kept: dict[str, pa.Array] = {}
        names = set(batch.schema.names)
        for column in self.columns:
            if column.name in names:
                array = batch.column(column.name).take(chosen)
                kept[column.name] = _kept(array, column.cells)
                if column.name in self.valued:
                    kept[f"{_VALUES}{column.name}"] = coerce(array, "double")[0]
        for index, mask in enumerate(matching):
            kept[f"{_MATCHING}{index}"] = pa.array(mask[places])
        for index, segment in enumerate(self.within):
            kept[f"{_WITHIN}{index}"] = segment.mask(batch).take(chosen)
        return kept

    def merge(self, other: WindowSample) -> WindowSample:
        """Return the rows of both, the other's after these."""
        return replace(self, rows=self.rows.merge(other.rows))

    @property
    def is_whole(self) -> bool:
        """Whether all rows were kept."""
        return self.rows.is_whole

    def coded(
        self, reference: RowSample | None, profiles: Mapping[str, ColumnProfile]
    ) -> CodedRows:
        """Code the values; columns with a single code are left out.

        `reference` is its sample of rows, None without one; `profiles` its columns, with the counts
        of each text.
        """
        table = self.rows.table().combine_chunks()
        found, present = [], {*table.column_names}
        for column in self.columns:
            if column.name not in present:
                continue
            array = table.column(column.name).combine_chunks()
            known = None if reference is None else reference.codes.get(column.name)
            if column.cells is not None and column.cells.is_number:
                values, profile = _VALUES + column.name, profiles.get(column.name)
                numbers = None
                if values in present and profile is not None:
                    numbers = Numbers.of(table.column(values).to_numpy(), column.cells, profile)
                coded = _number(column.name, column.cells, array, known, numbers)
            else:
                coded = _text(column.name, column.cells, array, known, profiles.get(column.name))
            if coded is not None and np.count_nonzero(coded.counts) > 1:
                found.append(coded)
        return CodedRows(
            found,
            table.num_rows,
            _masks(table, _MATCHING),
            dict(zip(self.within, _masks(table, _WITHIN), strict=True)),
        )


def _kept(array: pa.Array, cells: Cells | None) -> pa.Array:
    """Return a number's cells, and the values of a text or a truth value as texts."""
    if cells is not None and cells.is_number:
        return pa.array(cells.assign(array).astype(np.uint16))
    return coerce(array, "string" if cells is None else cells.type)[0].cast(pa.string())


def _masks(table: pa.Table, start: str) -> list[Bools]:
    present = {*table.column_names}
    names = (f"{start}{index}" for index in range(table.num_columns))
    return [table.column(name).to_numpy() for name in names if name in present]


def _number(
    name: str, cells: Cells, array: pa.Array, known: Codes | None, numbers: Numbers | None
) -> CodedColumn:
    values = cells.size - 2
    codes = pc.fill_null(array, values).to_numpy(zero_copy_only=False)
    usual = np.bincount(codes if known is None else known, minlength=cells.size)[:values]
    below = np.cumsum(usual)
    parts = np.searchsorted(below, below[-1] * np.arange(1, BINS) / BINS) + 1
    cuts = [cut for cut in np.unique(parts).tolist() if cut < len(cells.edges)]
    atoms = [cells.edges.index(atom) + 1 for atom in cells.atoms]
    conditions = [one for cut in cuts for one in _sides(cells, cut)]
    conditions += [Predicate(name, "eq", atom) for atom in cells.atoms]
    low = [place for cut in cuts for place in (0, cut)] + atoms + [values]
    high = [place for cut in cuts for place in (cut, values)] + [at + 1 for at in (*atoms, values)]
    home = np.full(cells.size, NEW) if known is None else np.arange(cells.size)
    return CodedColumn(
        name, True, codes, known, home, np.full((home.size, 2), np.nan), np.array(low),
        np.array(high),
        [*conditions, Predicate(name, "null")],
        numbers,
    )  # fmt: skip


def _sides(cells: Cells, cut: int) -> tuple[Predicate, Predicate]:
    """Return the conditions of the cells below a cut and of those above."""
    edge = cells.edges[cut - 1]
    last = float(np.nextafter(edge, -np.inf))
    if last in cells.atom_set:  # Nobody would read the next number of all.
        return Predicate(cells.column, "le", last), Predicate(cells.column, "gt", last)
    return Predicate(cells.column, "lt", edge), Predicate(cells.column, "ge", edge)


def _text(
    name: str,
    cells: Cells | None,
    array: pa.Array,
    known: Codes | None,
    profile: ColumnProfile | None,
) -> CodedColumn:
    coded = shortened(array).dictionary_encode()
    texts, levels = coded.dictionary, cells.levels if cells is not None else ()
    if cells is None or known is None:  # No cells: a place of none, of the rest, and of each value.
        levels, empty, known = (), 0, None
        home, places = np.full(2, NEW), np.ones(len(texts) + 1, np.int64)
    else:
        empty = cells.size - 2
        home, places = np.arange(cells.size), np.append(cells.assign(texts), 0)
    places[-1] = empty
    indices = pc.fill_null(coded.indices, len(texts)).to_numpy(zero_copy_only=False)
    often = np.bincount(indices, minlength=len(texts) + 1)
    alone = (places >= len(levels)) & (places != empty) & (often >= LEVEL_ROWS)
    rare = np.flatnonzero(alone) if np.count_nonzero(alone) <= LEVELS_MAX else np.zeros(0, np.int64)
    first = home.size
    of_rare = np.where(places[rare] > len(levels), NEW, len(levels))
    if cells is not None and cells.type == "timestamp":
        of_rare = places[rare]
    home = np.append(home, of_rare)
    places[rare] = first + np.arange(rare.size)
    alone_texts = texts.take(pa.array(rare))
    shares = np.concatenate([np.full((first, 2), np.nan), _shares(profile, alone_texts)])
    shown = [*levels, *alone_texts.to_pylist()]
    low = np.array([*range(len(levels)), *places[rare], empty])
    conditions = [Predicate(name, "eq", text) for text in shown]
    return CodedColumn(
        name, False, places[indices].astype(np.uint16), known, home, shares, low, low + 1,
        [*conditions, Predicate(name, "null")],
    )  # fmt: skip


def _shares(profile: ColumnProfile | None, texts: pa.Array) -> Floats:
    """Return the least and the most share of the reference's rows that each text may have."""
    if profile is None or not len(profile.levels.values):
        return np.tile([0.0, 1.0], (len(texts), 1))
    counted = profile.levels
    at = pc.index_in(texts, value_set=counted.values)
    found = counted.counts[pc.fill_null(at, 0).to_numpy()] * at.is_valid().to_numpy(False)
    # Once not all values are kept, each count may be too small.
    return np.stack([found, found + counted.error], axis=1) / max(profile.row_count, 1)


def cells_of(cells: Cells, condition: Condition) -> Bools | None:
    """Return which cells hold rows that meet a condition, (cells,); None if it has no cells.

    A cell is taken whole where a cut or a number lies inside it.
    """
    found = np.zeros(cells.size, np.bool_)
    if not isinstance(condition, Predicate) or condition.column != cells.column:
        return None
    plain = replace(condition, within=None)
    if plain.op in ("lt", "le", "gt", "ge") and cells.is_number:
        cut, is_below = float(plain.value or 0.0), plain.op in ("lt", "le")
        if plain.op in ("le", "gt"):
            cut = float(np.nextafter(cut, np.inf))
        at = int(np.searchsorted(cells.edges, cut, side="left" if is_below else "right"))
        found[slice(0, at + 1) if is_below else slice(at, cells.size - 2)] = True
    elif plain in cells.predicates:
        found[members(cells, plain)] = True
    elif plain.op == "eq" and cells.is_number and isinstance(plain.value, (int, float)):
        found[cells.place(plain.value)] = True
    elif plain.op == "in" and {*plain.values} <= {*cells.levels}:
        found[[cells.levels.index(level) for level in plain.values]] = True
    else:
        return None
    return found
