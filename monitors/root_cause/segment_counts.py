"""The single segments of some rows, and their counts, in the window and in the reference.

One pass over each column's codes counts them all, for each target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.baseline.sample import RowSample
from driftline.monitors.root_cause.contributors import Target
from driftline.monitors.root_cause.row_sample import NEW, Bools, CodedColumn, Ints, cells_of
from driftline.monitors.rules.outcome import RuleCondition
from driftline.stats.decomposition import Floats, Parts, Whole

# Nobody need know in which segments the reference had such rows if it had so few beside the window.
FEW = 0.05
CUTS = ("lt", "le", "ge", "gt")
# What numbers come into when they are shifted, scaled or cut off; whole ones are no longer, then.
REPEATS = ("unique", "duplicate_rows")
RANGES = (*CUTS, "between", "eq", "rule", "unfit")


def reference_rows(
    condition: Condition | None, cells: Mapping[str, Cells], sample: RowSample | None
) -> Bools | None:
    """Return which reference rows meet a condition; None where the sample cannot tell."""
    if sample is None:
        return None
    found = np.ones(len(sample), np.bool_)
    while condition is not None:
        held = cells_of(cells[condition.column], condition) if condition.column in cells else None
        if held is None or condition.column not in sample.codes:
            return None
        found &= held[sample.codes[condition.column]]
        condition = condition.within if isinstance(condition, Predicate) else None
    return found


@dataclass(frozen=True, slots=True, eq=False)
class TargetRows:
    """One target with its rows."""

    own: tuple[str, ...]
    matching: Bools  # Rows of the window, shape (n,).
    known: Bools  # Rows of the reference's sample.
    able: Bools  # Those of them that could have met it.
    whole: Whole
    moves: str  # The column of numbers whose values came into the set; "": nothing of the kind.
    # Whether the reference's rows are those of the set, and not of the cell that a number lies in.
    is_exact: bool

    @classmethod
    def of(
        cls,
        target: Target,
        matching: Bools,
        within: Bools | None,
        cells: Mapping[str, Cells],
        sample: RowSample | None,
    ) -> TargetRows | None:
        """Return the counts; None where the reference's segments of such rows are unknown.

        A few such reference rows, beside the window's, count as spread evenly.
        """
        known = reference_rows(target.predicate, cells, sample)
        is_placed = known is not None and within is not None
        if known is None or within is None:
            few = 0.0 if within is None else FEW * matching.mean()
            if target.share_reference > few:
                return None
            known = np.zeros(1 if within is None else within.size, np.bool_)
        able = _could_meet(target.predicate, known, cells, sample)
        if within is not None:
            known, able = known[within], able[within]
        met = float(known.sum()) if is_placed else target.share_reference * known.size
        whole = Whole(
            rows=matching.size,
            matching=int(matching.sum()),
            reference_rows=max(known.size, 1),
            reference_matching=met,
            reference_able=max(int(able.sum()), 1),
            is_loss=target.is_loss,
            is_cut=target.predicate.op in CUTS and met > 0,
            design_effect=target.design_effect,
            is_placed=is_placed,
        )
        # Of rows that repeat others no column is at fault more than others.
        condition = target.predicate
        is_whole = isinstance(condition, RuleCondition) and condition.rule.get("check") in REPEATS
        is_whole |= condition.op == "derived" and not condition.column
        own = () if is_whole else condition.columns
        cell = cells.get(condition.column)
        plain = replace(condition, within=None) if isinstance(condition, Predicate) else None
        is_exact = plain is None or plain.op != "eq" or cell is None or plain in cell.predicates
        is_range = condition.op in RANGES and own == (condition.column,)
        may_move = is_range and cell is not None and cell.is_number and not target.is_loss
        moves = condition.column if may_move else ""
        return cls(own, matching, known, able, whole, moves, is_exact)


def _could_meet(
    condition: Condition, known: Bools, cells: Mapping[str, Cells], sample: RowSample | None
) -> Bools:
    """Return which reference rows could come to meet a condition on a number.

    All except those with the column's most frequent value, where it does not meet it: for rain in
    another unit, hours without any stay as they are.
    """
    everywhere = np.ones(known.size, np.bool_)
    own = cells.get(condition.column)
    if own is None or not own.atoms or condition.op in ("null", "unfit") or sample is None:
        return everywhere
    codes = sample.codes.get(condition.column)
    if codes is None or codes.size != known.size:
        return everywhere
    atoms = np.array([own.edges.index(atom) + 1 for atom in own.atoms])
    most = codes == atoms[np.argmax(np.bincount(codes, minlength=own.size)[atoms])]
    return everywhere if (known & most).any() else ~most


class SegmentTable:
    """All single segments of some rows: levels of texts, ranges of numbers, and rows without one.

    They are numbered in the order of the columns.
    """

    def __init__(self, columns: Sequence[CodedColumn]) -> None:
        self.columns = columns
        sizes = [column.low.size for column in columns]
        self.column = np.repeat(np.arange(len(columns)), sizes)  # Of each segment, shape (S,).
        self._place = np.concatenate([np.arange(size) for size in sizes] or [np.zeros(0, np.int64)])
        names = np.array([column.name for column in columns])
        self.name = names[self.column] if len(columns) else np.zeros(0, str)
        self.is_number = np.array(
            [self.condition(one).op != "null" and columns[at].is_number
             for one, at in enumerate(self.column.tolist())], np.bool_,
        )  # fmt: skip

    def find(self, segment: int) -> tuple[CodedColumn, int]:
        """Return a segment's column, and its place among the column's segments."""
        return self.columns[self.column[segment]], int(self._place[segment])

    def condition(self, segment: int) -> Predicate:
        """Return the condition that the segment's rows meet."""
        column, place = self.find(segment)
        return column.conditions[place]

    def conditions(self, segments: Sequence[int], *, is_union: bool) -> tuple[Predicate, ...]:
        """Return the conditions of several segments, texts first; levels of a union as one."""
        ordered = sorted(segments, key=lambda one: (self.is_number[one], self.name[one]))
        conditions = [self.condition(one) for one in ordered]
        if not is_union:
            return tuple(conditions)
        levels = tuple(str(one.value) for one in conditions)
        return (Predicate(conditions[0].column, "in", values=levels),)

    def rows(self, segment: int) -> tuple[Bools, Bools | None]:
        """Return a segment's rows of the window and of the reference; None: it has no such column.

        Values that share a cell of the reference have no rows there.
        """
        column, place = self.find(segment)
        low, high = column.low[place], column.high[place]
        known = column.reference
        inside = None if known is None else (known >= low) & (known < high)
        return (column.codes >= low) & (column.codes < high), inside

    def rows_of_all(self, segments: Sequence[int]) -> tuple[Bools, Bools] | None:
        """Return the rows in all of some segments; None where the reference lacks a column."""
        window, known = np.ones(self.columns[0].codes.size, np.bool_), np.ones(1, np.bool_)
        for segment in segments:
            inside, reference = self.rows(segment)
            if reference is None:
                return None
            window, known = window & inside, known & reference
        return window, known

    def has_own_cells(self, segment: int) -> bool:
        """Whether the reference's rows of the segment are known one by one."""
        column, place = self.find(segment)
        low = column.low[place]
        return column.reference is not None and bool(column.home[low] == low)

    def usual_rows(self, segment: int, count: int) -> tuple[Bools, float]:
        """Return which of the reference's rows may lie in a segment, and at most how many do."""
        column, place = self.find(segment)
        low = column.low[place]
        codes, home = column.reference, column.home[low]
        if codes is None or home == NEW:
            return np.zeros(count, np.bool_), 0.0
        if home == low:
            return (codes >= low) & (codes < column.high[place]), float(codes.size)
        return codes == home, float(column.shares[low, 1]) * codes.size


def count_segments(columns: Sequence[CodedColumn], asked: Sequence[TargetRows]) -> list[Parts]:
    """Count the rows of each single segment for each target."""
    if not asked:
        return []
    rows, owner = _flat([one.matching for one in asked])
    known_rows, known_owner = _flat([one.known for one in asked])
    # Of most targets all rows could meet the condition: nothing need be counted of them.
    limited = np.flatnonzero([not one.able.all() for one in asked])
    able_rows, able_owner = _flat([asked[at].able for at in limited.tolist()])
    able = np.array([[one.whole.reference_able] for one in asked], np.float64)
    wholes = [one.whole for one in asked]
    total = np.array([[one.matching] for one in wholes], np.float64)
    met = np.array([[one.reference_matching] for one in wholes], np.float64)
    is_loss = np.array([[one.is_loss] for one in wholes])
    sampled = max((one.reference_rows for one in wholes), default=1.0)
    usual = met / sampled
    counted: list[list[Floats]] = [[] for _ in range(7)]
    for column in columns:
        size, home = column.home.size, np.maximum(column.home, 0)
        is_new = column.home == NEW
        matching = _by_place(column.codes[rows], owner, len(asked), size)
        known = np.where(is_new, sampled, column.reference_counts[home])
        known = np.repeat(known[None, :].astype(np.float64), len(asked), axis=0)
        known_matching = np.zeros((len(asked), size))
        if column.reference is not None:
            by_cell = _by_place(column.reference[known_rows], known_owner, len(asked), size)
            known_matching = by_cell[:, home]
        known_matching = np.where(is_new, met, known_matching)
        known_able = known.copy()
        if column.reference is not None and limited.size:
            by_cell = _by_place(column.reference[able_rows], able_owner, limited.size, size)
            known_able[limited] = by_cell[:, home]
        known_able = np.where(is_new, able, known_able)
        expected = ((known_matching + usual) / (known + 1)) @ column.counts
        share = _ranges(known[0], column) / sampled
        known, known_matching = _at_worst(column, known, known_matching, sampled, is_loss)
        known_able = np.minimum(known_able, known)
        own = column.home[column.low] == column.low
        # A value that is new grew from nothing; of a rare one its cell's share is no answer.
        is_fresh = is_new[column.low] & (column.reference is not None)
        share = np.where(own, share, np.where(is_fresh, 0.0, np.nan))
        within = np.repeat(total - expected[:, None], column.low.size, axis=1)
        for found, one in zip(
            counted,
            (_ranges(column.counts, column), _ranges(matching, column), _ranges(known, column),
             _ranges(known_matching, column), _ranges(known_able, column), share, within),
            strict=True,
        ):  # fmt: skip
            found.append(np.broadcast_to(one, (len(asked), column.low.size)))
    whole = [np.concatenate(one, axis=1) if one else np.zeros((len(asked), 0)) for one in counted]
    return [Parts(*(one[index] for one in whole)) for index in range(len(asked))]


def _at_worst(
    column: CodedColumn, known: Floats, met: Floats, sampled: float, is_loss: Bools
) -> tuple[Floats, Floats]:
    """Return the reference rows of each code, and how many of them met each target.

    Rare values share a cell, and senders are unknown in the reference. There each value is given
    the rows that leave it the least change, as far as its own rows go. A sender is taken to have
    sent as many as now.
    """
    shares = column.shares
    if column.reference is None:
        now = column.counts / max(column.codes.size, 1)
        shares = np.stack([now, now], axis=1)
    is_part = ~np.isnan(shares[:, 0]) & ((column.home != NEW) | (column.reference is None))
    least, most = np.minimum(shares.T[:, None, :] * sampled, known)
    against = np.where(is_loss, known - met, met)
    rows = np.where(is_part, np.clip(against, least, most), known)
    there = np.minimum(against, rows)
    return rows, np.where(is_part, np.where(is_loss, rows - there, there), met)


def _flat(masks: Sequence[Bools]) -> tuple[Ints, Ints]:
    """Return the marked rows of all masks behind each other, and whose they are."""
    marked = [np.flatnonzero(mask) for mask in masks] or [np.zeros(0, np.int64)]
    owner = np.repeat(np.arange(len(marked)), [one.size for one in marked])
    return np.concatenate(marked), owner


def _by_place(codes: NDArray[np.unsignedinteger], owner: Ints, targets: int, size: int) -> Floats:
    found = np.bincount(owner * size + codes, minlength=targets * size)
    return found.reshape(targets, size).astype(np.float64)


def _ranges(by_place: NDArray[np.generic], column: CodedColumn) -> Floats:
    """Add up places [low, high), along the last axis."""
    added = np.cumsum(by_place, axis=-1, dtype=np.float64)
    added = np.concatenate([np.zeros((*added.shape[:-1], 1)), added], axis=-1)
    return np.asarray(added[..., column.high] - added[..., column.low])
