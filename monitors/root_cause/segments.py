"""The segment of rows that holds most of a change: a level, some levels, a range, or two of these.

All single segments are counted at once from the places of the rows, in the window and in the
baseline's sample; pairs, only of segments that hold half of the change each, on packed bits.
`decomposition` says what each holds and whether that may be chance.

References
----------
Bhagwan et al., "Adtributor", NSDI 2014 (several levels of one column).
Sagadeeva, Boehm, "SliceLine", SIGMOD 2021 (pruning of pairs by their parts).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from driftline.baseline.cells import Cells
from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.baseline.sample import RowSample
from driftline.monitors.results.violation import Segment, SegmentChange
from driftline.monitors.root_cause.contributors import Target
from driftline.monitors.root_cause.row_sample import (
    NEW,
    Bools,
    CodedColumn,
    CodedRows,
    Ints,
    cells_of,
)
from driftline.monitors.rules.outcome import RuleCondition
from driftline.monitors.rules.table_checks import UniqueCondition
from driftline.stats.changed_levels import CHANCE, g_statistic
from driftline.stats.decomposition import (
    FALSE_PAIR,
    FALSE_SINGLE,
    HALF,
    LIFT,
    QUIET,
    Floats,
    Held,
    Parts,
    Whole,
    best_evidence,
    grown,
    measure,
    mixed,
    needed,
)

# A second condition, further levels of a column, and a condition on a number, which may well be a
# consequence and no source, must say so much more than the best without.
PAIR_GAIN, UNION_GAIN, NUMBER_GAIN = 0.05, 0.10, 0.15
# Beside a small segment a pair needs no more than so much of what that one falls short of.
PAIR_SHARE = 0.2
# Levels told as one segment, each with so much of the change.
LEVELS_TOLD, LEVEL_SHARE = 4, 0.1
# Segments that are laid beside each other.
CONDITIONS_MAX = 64
# So much of the change, and nothing beyond chance elsewhere, is all of it.
ALL = 0.95
# So much of the change of a row in a range of numbers, found in other rows too, is all rows'.
ELSEWHERE = 0.25
# Nobody need know in which segments the reference had such rows if it had so few beside the window.
FEW = 0.05
NOT_NARROWED = "cannot be narrowed down to a segment"
MIX = "since the mix of {} changed; within each of its levels as before"
TOO_FEW = "too few rows to say where from"

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Named:
    """What is told of where a change lies: a segment, or why there is none."""

    segment: Segment | None = None
    words: str = ""
    is_mix: bool = False  # More rows of a kind that was like this before, in place of others.


def find_segments(
    rows: CodedRows,
    targets: Sequence[Target],
    cells: Mapping[str, Cells],
    sample: RowSample | None,
) -> list[Named]:
    """Find the segment that holds the change behind each target.

    Of rows that no cells and no sample tell how many the reference had in a segment, only those
    can be placed that it had nowhere at all.
    """
    found = [Named()] * len(targets)
    # A number that is at fault itself is a consequence, wherever it lies.
    at_fault = frozenset(name for target in targets for name in target.predicate.columns)
    groups: dict[Predicate | None, list[int]] = {}
    for index, target in enumerate(targets[: len(rows.matching)]):
        groups.setdefault(target.within, []).append(index)
    for within, indices in groups.items():
        chosen = np.ones(rows.row_count, np.bool_) if within is None else rows.within[within]
        known = _reference_rows(within, cells, sample)
        asked = {
            index: _Asked.of(targets[index], rows.matching[index][chosen], known, cells, sample)
            for index in indices
        }
        columns = rows.columns
        if within is not None:
            columns = [column.only(chosen, known) for column in rows.columns]
        named = _Search(
            columns, [one for one in asked.values() if one is not None], at_fault
        ).named()
        for index, one in asked.items():
            found[index] = next(named) if one is not None else Named(words=NOT_NARROWED)
    return found


def _reference_rows(
    condition: Condition | None, cells: Mapping[str, Cells], sample: RowSample | None
) -> Bools | None:
    """Return which of the reference's rows meet a condition; None: the sample does not tell."""
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
class _Asked:
    """One target with its rows."""

    own: tuple[str, ...]
    matching: Bools  # Rows of the window, shape (n,).
    known: Bools  # Rows of the reference's sample.
    able: Bools  # Those of them that could have met it.
    whole: Whole

    @classmethod
    def of(
        cls,
        target: Target,
        matching: Bools,
        within: Bools | None,
        cells: Mapping[str, Cells],
        sample: RowSample | None,
    ) -> _Asked | None:
        """Return None where nobody knows in which segments the reference had such rows.

        Few beside the window's are taken to have been everywhere alike.
        """
        known = _reference_rows(target.predicate, cells, sample)
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
            is_cut=target.predicate.op in ("lt", "le", "ge", "gt") and met > 0,
            design_effect=target.design_effect,
            is_placed=is_placed,
        )
        # Of rows that repeat others no column is at fault more than others.
        condition = target.predicate
        is_whole = isinstance(condition, RuleCondition) and isinstance(
            condition.breaks, UniqueCondition
        )
        own = () if is_whole else condition.columns
        return cls(own, matching, known, able, whole)


def _could_meet(
    condition: Condition, known: Bools, cells: Mapping[str, Cells], sample: RowSample | None
) -> Bools:
    """Return which of the reference's rows could come to meet a condition on a number.

    All, but those with the most frequent value of the column, where that does not meet it: of rain
    that came in another unit the hours without any are as they were.
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


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A segment that may be named."""

    segments: tuple[int, ...]  # Several levels of a column, or two conditions.
    is_union: bool
    held: Held
    parts: Parts
    at: int  # Its place in both.

    @property
    def score(self) -> float:
        return float(self.held.score[self.at])


class _Search:
    """All single segments of some rows, counted for some targets."""

    def __init__(
        self, columns: Sequence[CodedColumn], asked: Sequence[_Asked], at_fault: frozenset[str]
    ) -> None:
        self.columns, self.asked = columns, asked
        sizes = [column.low.size for column in columns]
        self.column = np.repeat(np.arange(len(columns)), sizes)  # Of each segment, shape (S,).
        self.place = np.concatenate([np.arange(size) for size in sizes] or [np.zeros(0, np.int64)])
        names = np.array([column.name for column in columns])
        self.name = names[self.column] if len(columns) else np.zeros(0, str)
        self.is_number = np.array(
            [self._condition(one).op != "null" and columns[at].is_number
             for one, at in enumerate(self.column.tolist())], np.bool_,
        )  # fmt: skip
        self.allowed = ~(self.is_number & np.isin(self.name, list(at_fault)))
        self.parts = _count(columns, asked) if asked else []
        self._packed: dict[int, tuple[Bits, Bits | None]] = {}

    def _condition(self, segment: int) -> Predicate:
        column: CodedColumn = self.columns[self.column[segment]]
        return column.conditions[int(self.place[segment])]

    def named(self) -> Iterator[Named]:
        """Name the segment of each target, in order."""
        for asked, parts in zip(self.asked, self.parts, strict=True):
            yield self._named(asked, parts)

    def _named(self, asked: _Asked, parts: Parts) -> Named:
        """Look at texts, some levels of one, numbers, pairs, and at what only grew, in order."""
        whole = asked.whole
        if whole.change <= 0 or whole.matching in (0, whole.rows):
            return Named()
        is_own = np.isin(self.name, asked.own)
        chosen = np.flatnonzero(
            self.allowed & ~is_own & (parts.rows > 0) & (parts.rows < whole.rows)
        )
        if not chosen.size:
            return Named()
        parts = parts.take(chosen)
        held = measure(parts, whole)
        is_number = self.is_number[chosen]
        best: _Found | None = None
        least = 0.0
        for kind, gain in ((~is_number, 0.0), (is_number, NUMBER_GAIN)):
            if not kind.any():
                continue
            least = needed(held.share_of_rows[kind], whole, FALSE_SINGLE)
            stands = np.flatnonzero(held.stands(least, is_cut=whole.is_cut) & kind)
            if stands.size:
                at = int(stands[np.argmax(held.score[stands])])
                found = _Found((int(chosen[at]),), False, held, parts, at)
                best = self._better(best, found, gain, asked)
            if gain == 0.0:
                best = self._union(chosen, held, parts, kind, asked, least, best)
        # A segment that holds all has as many rows as changed: no pair scores above this.
        if best is None or best.score + _pair_gain(best) < 1 - whole.change / whole.rows:
            best = self._pair(chosen, held, parts, asked, best)
        if best is not None:
            return Named(_segment(best, self._conditions(best), whole))
        return self._growth(chosen, held, parts, whole)

    def _union(
        self,
        chosen: Ints,
        held: Held,
        parts: Parts,
        is_text: Bools,
        asked: _Asked,
        least: float,
        best: _Found | None,
    ) -> _Found | None:
        """Put levels of one column together where one alone leaves much out."""
        whole = asked.whole
        part = held.within / max(whole.change, 1.0)
        each = is_text & (part >= LEVEL_SHARE) & (part > LIFT * held.base)
        able = np.flatnonzero(each & (held.evidence >= least))
        for column in np.unique(self.column[chosen[able]]):
            own = able[self.column[chosen[able]] == column]
            own = own[np.argsort(held.base[own] - part[own], kind="stable")][:LEVELS_TOLD]
            for size in range(2, own.size + 1):
                joined = parts.take(own[:size]).joined()
                together = measure(joined, whole)
                if together.stands(least + math.log(2.0), is_cut=whole.is_cut)[0]:
                    segments = tuple(chosen[own[:size]].tolist())
                    found = _Found(segments, True, together, joined, 0)
                    best = self._better(best, found, UNION_GAIN, asked)
        return best

    def _pair(
        self, chosen: Ints, held: Held, parts: Parts, asked: _Asked, best: _Found | None
    ) -> _Found | None:
        """Lay the best conditions that hold half of the change each beside each other."""
        whole = asked.whole
        able = np.flatnonzero(held.within >= HALF * whole.change)
        able = able[np.argsort(-held.score[able], kind="stable")]
        able = np.array(
            [at for at in able[:CONDITIONS_MAX].tolist() if self._bits(int(chosen[at]), whole)],
            np.int64,
        )
        first, second = np.triu_indices(able.size, 1)
        if not first.size:
            return best
        bits = [self._bits(int(chosen[at]), whole) for at in able.tolist()]
        window = np.stack([one[0] for one in bits if one])
        known = np.stack([one[1] for one in bits if one])
        rows, met = _intersections(window, np.packbits(asked.matching), first, second)
        known_rows, known_met = _intersections(known, np.packbits(asked.known), first, second)
        able_rows = known_rows
        if not asked.able.all():
            _, able_rows = _intersections(known, np.packbits(asked.able), first, second)
        # One that lies in the other says nothing more.
        alone = parts.rows[able]
        news = (rows > 0) & (rows < alone[first]) & (rows < alone[second])
        first, second = able[first[news]], able[second[news]]
        if not first.size:
            return best
        pick = np.minimum if whole.is_loss else np.maximum
        pairs = Parts(
            rows[news], met[news], known_rows[news], known_met[news], able_rows[news],
            known_rows[news] / whole.reference_rows,
            pick(parts.within_column[first], parts.within_column[second]),
        )  # fmt: skip
        both = measure(pairs, whole)
        stands = both.stands(math.log(chosen.size**2 / 2 / FALSE_PAIR), is_cut=whole.is_cut)
        # Within either condition, the change must lie in the other.
        least = math.log(chosen.size / FALSE_PAIR)
        for one in (first, second):
            for outer in np.unique(one[stands]).tolist():
                mine = np.flatnonzero(stands & (one == outer))
                evidence = measure(pairs.take(mine), parts.whole(outer, whole)).evidence
                stands[mine] = evidence >= least
        has_number = self.is_number[chosen[first]] | self.is_number[chosen[second]]
        for kind, gain in ((~has_number, _pair_gain(best)), (has_number, NUMBER_GAIN)):
            here = np.flatnonzero(stands & kind)
            if here.size:
                at = int(here[np.argmax(both.score[here])])
                segments = (int(chosen[first[at]]), int(chosen[second[at]]))
                found = _Found(segments, False, both, pairs, at)
                best = self._better(best, found, gain, asked)
        return best

    def _bits(self, segment: int, whole: Whole) -> tuple[Bits, Bits] | None:
        """Pack which rows of the window and of the reference lie in a segment."""
        column = self.columns[self.column[segment]]
        low, high = (int(one[self.place[segment]]) for one in (column.low, column.high))
        if segment not in self._packed:
            known = None
            if column.reference is not None and column.home[low] == low:
                known = np.packbits((column.reference >= low) & (column.reference < high))
            window = np.packbits((column.codes >= low) & (column.codes < high))
            self._packed[segment] = window, known
        window, known = self._packed[segment]
        if known is None and whole.reference_matching == 0:  # None of them were in it.
            known = np.zeros(-(-int(whole.reference_rows) // 8), np.uint8)
        return None if known is None else (window, known)

    def _growth(self, chosen: Ints, held: Held, parts: Parts, whole: Whole) -> Named:
        """Return what merely grew, or that nothing can be named."""
        is_text = ~self.is_number[chosen]
        able = np.flatnonzero(grown(held, parts, whole, chosen.size) & is_text)
        if able.size:
            # That others grew is why it shrank: of both, what grew is told.
            shrank = held.share_of_rows[able] < parts.reference_share[able]
            apart = np.abs(held.growth[able] - whole.change)
            at = int(able[np.lexsort((apart, shrank))[0]])
            found = _Found((int(chosen[at]),), False, held, parts, at)
            segment = _segment(found, self._conditions(found), whole, is_growth=True)
            return Named(segment, is_mix=True)
        texts = [at for at, column in enumerate(self.columns) if not column.is_number]
        kept = np.flatnonzero(np.isin(self.column[chosen], texts))
        columns = mixed(parts.take(kept), whole, self.column[chosen[kept]])
        if columns.size:
            return Named(words=MIX.format(self.columns[columns[0]].name), is_mix=True)
        if whole.matching >= ALL * whole.rows:  # All segments alike, as the share says.
            return Named()
        enough = held.share_of_rows[parts.rows >= whole.change]
        smallest = enough.min(keepdims=True) if enough.size else np.ones(1)
        most = float(best_evidence(smallest, whole)[0])
        least = needed(held.share_of_rows, whole, FALSE_SINGLE)
        return Named(words=TOO_FEW if 0 < most < least else NOT_NARROWED)

    def _better(
        self, best: _Found | None, found: _Found, gain: float, asked: _Asked
    ) -> _Found | None:
        """Return what is found where it says so much more than the best before."""
        if best is not None and found.score < best.score + gain:
            return best
        return best if self._is_elsewhere(found, asked) else found

    def _is_elsewhere(self, found: _Found, asked: _Asked) -> bool:
        """Return whether the column at fault changed outside of a range of another number as well.

        Where values of one column follow those of another, a fault of all rows crosses a cut first
        in a range of the other, and other cuts elsewhere. Of a range within another segment, this
        is asked of that segment's other rows.
        """
        own = next((one for one in self.columns if one.name in asked.own[:1]), None)
        ranges = [one for one in found.segments if self.is_number[one]]
        if own is None or own.reference is None or not ranges:
            return False
        others = [one for one in found.segments if not self.is_number[one]]
        inside, around = self._rows_of(ranges), self._rows_of(others)
        if inside is None or around is None:
            return False
        moved, sizes = [], []
        for side in (True, False):
            rows, known = (
                beside & (within == side) for within, beside in zip(inside, around, strict=True)
            )
            counts = (
                np.bincount(codes, minlength=own.home.size).astype(np.float64)
                for codes in (own.reference[known], own.codes[rows])
            )
            moved.append(g_statistic(*counts))
            sizes.append(int(rows.sum()))
        freedom = int(np.count_nonzero(own.counts + own.reference_counts)) - 1
        is_chance = chdtrc(max(float(freedom), 1.0), moved[1] / asked.whole.design_effect) > CHANCE
        return not is_chance and moved[1] / sizes[1] > ELSEWHERE * moved[0] / sizes[0]

    def _rows_of(self, segments: Sequence[int]) -> tuple[Bools, Bools] | None:
        """Return the rows in all of some segments, of the window and of the reference."""
        window = np.ones(self.columns[0].codes.size, np.bool_)
        known = np.ones(1, np.bool_)
        for segment in segments:
            column, place = self.columns[self.column[segment]], self.place[segment]
            if column.reference is None:
                return None
            low, high = column.low[place], column.high[place]
            window &= (column.codes >= low) & (column.codes < high)
            known = known & (column.reference >= low) & (column.reference < high)
        return window, known

    def _conditions(self, found: _Found) -> tuple[Predicate, ...]:
        """Return the conditions of a segment, texts first."""
        ordered = sorted(found.segments, key=lambda one: (self.is_number[one], self.name[one]))
        conditions = [self._condition(one) for one in ordered]
        if not found.is_union:
            return tuple(conditions)
        levels = tuple(str(one.value) for one in conditions)
        return (Predicate(conditions[0].column, "in", values=levels),)


def _pair_gain(best: _Found | None) -> float:
    """Return by how much a pair of texts must say more than the best segment without."""
    return PAIR_GAIN if best is None else min(PAIR_GAIN, PAIR_SHARE * (1.0 - best.score))


def _count(columns: Sequence[CodedColumn], asked: Sequence[_Asked]) -> list[Parts]:
    """Count the rows of each single segment for each target: one look at each column."""
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
    reference_rows = max((one.reference_rows for one in wholes), default=1.0)
    usual = met / reference_rows
    counted: list[list[Floats]] = [[] for _ in range(7)]
    for column in columns:
        size, home = column.home.size, np.maximum(column.home, 0)
        is_new = column.home == NEW
        matching = _by_place(column.codes[rows], owner, len(asked), size)
        known = np.where(is_new, reference_rows, column.reference_counts[home])
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
        share = _ranges(known[0], column) / reference_rows
        known, known_matching = _at_worst(column, known, known_matching, reference_rows, is_loss)
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
    column: CodedColumn, known: Floats, met: Floats, reference_rows: float, is_loss: Bools
) -> tuple[Floats, Floats]:
    """Return how many reference rows each place had, and how many of them met each target.

    Rare values share a cell, and of who sent a row the reference has nothing. There each value had
    all those rows that leave it the least of the change, as far as its own rows go. A sender is
    taken to have sent as many as now.
    """
    shares = column.shares
    if column.reference is None:
        now = column.counts / max(column.codes.size, 1)
        shares = np.stack([now, now], axis=1)
    is_part = ~np.isnan(shares[:, 0]) & ((column.home != NEW) | (column.reference is None))
    least, most = np.minimum(shares.T[:, None, :] * reference_rows, known)
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


def _intersections(bits: Bits, marked: Bits, first: Ints, second: Ints) -> tuple[Floats, Floats]:
    """Count the rows in both of two segments, and the marked of them."""
    words = _as_words(bits)
    both = words[first] & words[second]
    rows = np.bitwise_count(both).sum(axis=1, dtype=np.int64)
    both &= _as_words(marked)
    return rows.astype(np.float64), np.bitwise_count(both).sum(axis=1).astype(np.float64)


def _as_words(bits: Bits) -> NDArray[np.uint64]:
    """Read bits as whole words, of which eight times fewer are counted, along the last axis."""
    filled = np.zeros((*bits.shape[:-1], -(-bits.shape[-1] // 8) * 8), np.uint8)
    filled[..., : bits.shape[-1]] = bits
    return filled.view(np.uint64)


def _segment(
    found: _Found, conditions: tuple[Predicate, ...], whole: Whole, *, is_growth: bool = False
) -> Segment:
    """Put a segment in words and shares."""
    held, parts, at = found.held, found.parts, found.at
    rows, matching = float(parts.rows[at]), float(parts.matching[at])
    known, met = float(parts.reference_rows[at]), float(parts.reference_matching[at])
    left, known_left = whole.rows - rows, whole.reference_rows - known
    share = float(held.growth[at]) / whole.change if is_growth else float(held.share[at])
    is_all = share >= ALL and float(held.rest[at]) < QUIET
    had = float(parts.reference_share[at])
    before = met / known if known and whole.is_placed else whole.rate
    elsewhere = (whole.reference_matching - met) / known_left if known_left else whole.rate
    # A value that is new had no rate, and of a rare one nobody counted it.
    is_known = had > 0 or before == 0
    change = SegmentChange(
        share=min(share, 1.0),
        before=before if is_known else None,
        now=matching / rows,
        before_elsewhere=(elsewhere if whole.is_placed else whole.rate)
        if is_known or had == 0
        else None,
        now_elsewhere=(whole.matching - matching) / left,
        is_all=is_all and not is_growth,
        is_loss=whole.is_loss,
        grew_from=float(parts.reference_share[at]) if is_growth else None,
    )
    first = conditions[0]
    is_level = len(conditions) == 1 and first.op == "eq" and isinstance(first.value, str)
    return Segment(
        first.column,
        first.value if isinstance(first.value, str) else first.phrase,
        matching / max(whole.matching, 1.0),
        rows / whole.rows,
        conditions=() if is_level else conditions,
        change=change,
    )
