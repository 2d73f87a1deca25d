"""Finds the segment with most of a change: a level, some levels, a range, or two of these.

Single segments are counted at once from the rows' codes, in the window and in the baseline's
sample; pairs only of segments with half of the change each, on packed bits. `decomposition` says
what each holds and whether that may be chance.

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
from scipy.special import gammaincinv, ndtr

from driftline.baseline.cells import Cells
from driftline.baseline.predicate import Predicate
from driftline.baseline.sample import RowSample
from driftline.monitors.results.violation import Segment, SegmentChange
from driftline.monitors.root_cause.contributors import Target
from driftline.monitors.root_cause.moved_in import ELSEWHERE, MovedIn
from driftline.monitors.root_cause.row_sample import (
    NEW,
    Bools,
    CodedColumn,
    CodedRows,
    Ints,
    Numbers,
)
from driftline.monitors.root_cause.segment_counts import Asked, count_segments, reference_rows
from driftline.stats.decomposition import (
    FALSE_PAIR,
    FALSE_SINGLE,
    GROWTH,
    HALF,
    LIFT,
    MIN_ROWS,
    QUIET,
    SAME_ROWS,
    TINY,
    Floats,
    Held,
    Parts,
    Whole,
    best_evidence,
    divergence,
    gone,
    grown,
    measure,
    mixed,
    needed,
)
from driftline.stats.moved_values import UsualRows, most_held

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
# Chance of what lies QUIET deviations off, on one side.
RARELY = float(ndtr(-QUIET))
NOT_NARROWED = "cannot be narrowed down to a segment"
MIX = "since the mix of {} changed; within each of its levels as before"
TOO_FEW = "too few rows to say where from"

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Named:
    """The location of a change: a segment, or why there is none."""

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

    Where the reference's rows per segment are unknown, only rows that it had nowhere can be
    located.
    """
    found = [Named()] * len(targets)
    # A number that is at fault itself is a consequence, wherever it lies.
    at_fault = frozenset(name for target in targets for name in target.predicate.columns)
    groups: dict[Predicate | None, list[int]] = {}
    for index, target in enumerate(targets[: len(rows.matching)]):
        groups.setdefault(target.within, []).append(index)
    for within, indices in groups.items():
        chosen = np.ones(rows.row_count, np.bool_) if within is None else rows.within[within]
        known = reference_rows(within, cells, sample)
        asked = {
            index: Asked.of(targets[index], rows.matching[index][chosen], known, cells, sample)
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


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A candidate segment."""

    segments: tuple[int, ...]  # Several levels of a column, or two conditions.
    is_union: bool
    held: Held
    parts: Parts
    at: int  # Its place in both.
    least: float  # Evidence that it needs among all that were tried.

    @property
    def score(self) -> float:
        return float(self.held.score[self.at])

    @property
    def share(self) -> float:
        return float(self.held.share[self.at])


class _Search:
    """All single segments of some rows, counted for some targets."""

    def __init__(
        self, columns: Sequence[CodedColumn], asked: Sequence[Asked], at_fault: frozenset[str]
    ) -> None:
        self.columns, self.asked, self.at_fault = columns, asked, at_fault
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
        self.parts = count_segments(columns, asked) if asked else []
        self._packed: dict[int, tuple[Bits, Bits | None]] = {}

    def _condition(self, segment: int) -> Predicate:
        column: CodedColumn = self.columns[self.column[segment]]
        return column.conditions[int(self.place[segment])]

    def named(self) -> Iterator[Named]:
        """Name the segment of each target, in order."""
        for asked, parts in zip(self.asked, self.parts, strict=True):
            yield self._named(asked, parts)

    def _named(self, asked: Asked, parts: Parts) -> Named:
        """Try texts, several levels of one, numbers, pairs, and growth, in order."""
        whole = asked.whole
        if whole.change <= 0 or whole.matching in (0, whole.rows):
            return Named()
        is_own = np.isin(self.name, asked.own)
        lost = np.flatnonzero(gone(parts, whole) & ~is_own & ~self.is_number)
        lost = lost[np.argsort(-parts.reference_share[lost], kind="stable")]
        for segment in lost.tolist():
            if self._is_alone_gone(segment, parts, whole):
                return self._gone(segment, parts, whole)
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
                found = _Found((int(chosen[at]),), False, held, parts, at, least)
                best = self._better(best, found, gain, asked)
            if gain == 0.0:
                best = self._union(chosen, held, parts, kind, asked, least, best)
        # A segment that holds all has as many rows as changed: no pair scores above this.
        if best is None or best.score + _pair_gain(best) < 1 - whole.change / whole.rows:
            best = self._pair(chosen, held, parts, asked, best)
        if best is None:
            best = self._alone(chosen, held, parts, asked)
        if best is not None:
            return Named(_segment(best, self._conditions(best), asked))
        return self._growth(chosen, held, parts, asked)

    def _is_alone_gone(self, segment: int, parts: Parts, whole: Whole) -> bool:
        """Whether a vanished level is reported of itself, with no other one gone.

        A day has no rows of the other weekdays, and unseen values may be the level's rows by
        another name.
        """
        column = self.columns[self.column[segment]]
        is_new = (column.home == NEW) | (column.reference_counts[column.home] == 0)
        is_gone = (self.column == self.column[segment]) & (parts.rows == 0)
        share = parts.reference_share[segment]
        others = np.nansum(parts.reference_share[is_gone]) - share
        others += column.counts[is_new].sum() / whole.rows
        return bool(column.name in self.at_fault and others <= (1 - GROWTH) * share)

    def _gone(self, segment: int, parts: Parts, whole: Whole) -> Named:
        """Describe a level that has no rows any more."""
        known, met = (
            float(one[segment]) for one in (parts.reference_rows, parts.reference_matching)
        )
        change = SegmentChange(
            share=1.0,
            before=met / known,
            now=0.0,
            before_elsewhere=(whole.reference_matching - met) / (whole.reference_rows - known),
            now_elsewhere=whole.matching / whole.rows,
            is_loss=whole.is_loss,
            grew_from=float(parts.reference_share[segment]),
        )
        one = self._condition(segment)
        is_level = one.op == "eq" and isinstance(one.value, str)
        level, conditions = (str(one.value), ()) if is_level else (one.phrase, (one,))
        return Named(Segment(one.column, level, 0.0, 0.0, conditions, change), is_mix=True)

    def _union(
        self,
        chosen: Ints,
        held: Held,
        parts: Parts,
        is_text: Bools,
        asked: Asked,
        least: float,
        best: _Found | None,
    ) -> _Found | None:
        """Join levels of one column where one alone leaves much out."""
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
                    found = _Found(segments, True, together, joined, 0, least + math.log(2.0))
                    best = self._better(best, found, UNION_GAIN, asked)
        return best

    def _pair(
        self, chosen: Ints, held: Held, parts: Parts, asked: Asked, best: _Found | None
    ) -> _Found | None:
        """Combine the best conditions that each hold half of the change."""
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
        needs = math.log(chosen.size**2 / 2 / FALSE_PAIR)
        stands = both.stands(needs, is_cut=whole.is_cut)
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
                found = _Found(segments, False, both, pairs, at, needs)
                best = self._better(best, found, gain, asked)
        return best

    def _bits(self, segment: int, whole: Whole) -> tuple[Bits, Bits] | None:
        """Pack the segment's rows of the window and of the reference."""
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

    def _growth(self, chosen: Ints, held: Held, parts: Parts, asked: Asked) -> Named:
        """Return a segment that merely grew, or the reason why none is named."""
        whole = asked.whole
        is_text = ~self.is_number[chosen]
        able = np.flatnonzero(grown(held, parts, whole, chosen.size) & is_text)
        if able.size:
            # That others grew is why it shrank: of both, what grew is told.
            shrank = held.share_of_rows[able] < parts.reference_share[able]
            apart = np.abs(held.growth[able] - whole.change)
            at = int(able[np.lexsort((apart, shrank))[0]])
            found = _Found((int(chosen[at]),), False, held, parts, at, 0.0)
            segment = _segment(found, self._conditions(found), asked, is_growth=True)
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
        self, best: _Found | None, found: _Found, gain: float, asked: Asked
    ) -> _Found | None:
        """Return a candidate where it is sufficiently better than the best before."""
        if best is not None and found.score < best.score + gain:
            return best
        is_elsewhere = self._is_elsewhere(found, asked) or self._is_where_values_were(found, asked)
        return best if is_elsewhere else found

    def _is_elsewhere(self, found: _Found, asked: Asked) -> bool:
        """Whether the column changed outside of a range of another number as well.

        Where one column follows another, a fault of all rows crosses a cut first in a range of the
        other, and other cuts elsewhere. For a range within another segment, that segment's other
        rows are tested.
        """
        ranges = [one for one in found.segments if self.is_number[one]]
        others = [one for one in found.segments if not self.is_number[one]]
        moved = self._moved(ranges, others, asked) if ranges else None
        if moved is None:
            return False
        # Ranges of two numbers fit some shape of any window's rows.
        if len(ranges) > 1 and (found.share < ALL or not moved.is_quiet_beside):
            return True
        return not moved.is_quiet_beside and moved.beside > ELSEWHERE * moved.inside

    def _alone(self, chosen: Ints, held: Held, parts: Parts, asked: Asked) -> _Found | None:
        """Find the one level in which the whole violating column changed, and nowhere else.

        If rows of the set came only from there before, more of them prove nothing about the
        location. The column's other values there, and all values elsewhere, do.
        """
        able = (held.share >= ALL) & (abs(held.rest) < QUIET) & (held.within >= MIN_ROWS)
        able &= held.is_sure & ~self.is_number[chosen]
        places = np.flatnonzero(able)
        # The smallest that nothing changed beside is no part of what changed, and holds no more.
        for at in places[np.argsort(parts.rows[places], kind="stable")][:CONDITIONS_MAX].tolist():
            # Rows of the set alone would be as many by chance; of its own rows all but few changed.
            is_whole = parts.matching[at] >= SAME_ROWS * parts.rows[at]
            moved = self._moved([int(chosen[at])], [], asked, but_set=not is_whole)
            if moved is not None and moved.is_alone(chosen.size):
                return _Found((int(chosen[at]),), False, held, parts, at, 0.0)
        return None

    def _moved(
        self,
        segments: Sequence[int],
        around: Sequence[int],
        asked: Asked,
        *,
        but_set: bool = False,
    ) -> MovedIn | None:
        """Return how far the violating column moved in some segments, and around them.

        With ``but_set``, by its values outside of the target's set alone.
        """
        own = next((one for one in self.columns if one.name in asked.own[:1]), None)
        inside, within = self._rows_of(segments), self._rows_of(around)
        if own is None or inside is None or within is None:
            return None
        if but_set:
            within = within[0] & ~asked.matching, within[1] & ~asked.known
        return MovedIn.of(own, inside, within, asked.whole.design_effect)

    def _is_where_values_were(self, found: _Found, asked: Asked) -> bool:
        """Whether the segment is merely where the values may have been before.

        If all rows are shifted, scaled or cut off, those that enter a set of numbers lay elsewhere
        before. So a segment that holds such reference rows anyway, but for chance, proves nothing.
        """
        own = next((one for one in self.columns if one.name == asked.moves), None)
        if own is None or own.reference is None or own.numbers is None:
            return False
        inside, most = np.full(own.reference.size, not found.is_union), asked.whole.reference_rows
        for segment in found.segments:
            known, limit = self._reference_rows(segment, inside.size)
            inside = inside | known if found.is_union else inside & known
            most = min(most, limit)
        # Values that were in the range already did not come into it, and what is empty nowhere.
        able = ~asked.known & (own.reference < own.home.size - 2)
        held, held_inside = (
            np.bincount(own.reference[rows], minlength=own.home.size).astype(np.float64)
            for rows in (able, able & inside)
        )
        whole = asked.whole
        had = whole.design_effect * whole.rows * whole.rate
        came = int(whole.change - QUIET * math.sqrt(had))
        # So few rows of the reference hardly ever bring as many.
        least = float(gammaincinv(whole.change, RARELY)) / whole.rows * whole.reference_rows
        usual = _usual(own.numbers, held, held_inside)
        moved = own.numbers.window[asked.matching]
        most = most_held(usual, moved, came, least, most)
        evidence = whole.change * divergence(np.array([found.share]), np.array([most]))[0]
        is_chance = evidence < found.least * found.held.effect[found.at]
        return bool(is_chance or found.share < LIFT * most)

    def _reference_rows(self, segment: int, count: int) -> tuple[Bools, float]:
        """Return which of the reference's rows may lie in a segment, and at most how many do."""
        column, place = self.columns[self.column[segment]], self.place[segment]
        low, high = column.low[place], column.high[place]
        codes, home = column.reference, column.home[low]
        if codes is None or home == NEW:
            return np.zeros(count, np.bool_), 0.0
        if home == low:
            return (codes >= low) & (codes < high), float(codes.size)
        return codes == home, float(column.shares[low, 1]) * codes.size

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


def _usual(numbers: Numbers, held: Floats, inside: Floats) -> UsualRows:
    """Lay the rows of each cell of a column over the values that it had."""
    each = np.bincount(numbers.cells, weights=numbers.counts, minlength=held.size)
    rows = numbers.counts * (held / np.maximum(each, TINY))[numbers.cells]
    able = rows > 0
    return UsualRows(numbers.known[able], rows[able], numbers.cells[able], inside)


def _pair_gain(best: _Found | None) -> float:
    """Return the evidence that a pair of texts needs beyond the best segment without."""
    return PAIR_GAIN if best is None else min(PAIR_GAIN, PAIR_SHARE * (1.0 - best.score))


def _intersections(bits: Bits, marked: Bits, first: Ints, second: Ints) -> tuple[Floats, Floats]:
    """Count the rows in both of two segments, and the marked ones."""
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
    found: _Found, conditions: tuple[Predicate, ...], asked: Asked, *, is_growth: bool = False
) -> Segment:
    """Describe a segment with its shares."""
    whole = asked.whole
    held, parts, at = found.held, found.parts, found.at
    rows, matching = float(parts.rows[at]), float(parts.matching[at])
    known, met = float(parts.reference_rows[at]), float(parts.reference_matching[at])
    left, known_left = whole.rows - rows, whole.reference_rows - known
    share = float(held.growth[at]) / whole.change if is_growth else float(held.share[at])
    is_all = share >= ALL and abs(float(held.rest[at])) < QUIET
    had = float(parts.reference_share[at])
    before = met / known if known and whole.is_placed else whole.rate
    elsewhere = (whole.reference_matching - met) / known_left if known_left else whole.rate
    # A value that is new had no rate, and of a rare one nobody counted it.
    is_known = (had > 0 and asked.is_exact) or before == 0
    change = SegmentChange(
        share=min(share, 1.0),
        before=before if is_known else None,
        now=matching / rows,
        before_elsewhere=(elsewhere if whole.is_placed else whole.rate)
        if is_known or (had == 0 and asked.is_exact)
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
