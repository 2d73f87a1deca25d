"""Finds the segment with most of a change: a level, some levels, a range, or two of these.

Single segments are counted at once from the rows' codes, in the window and in the baseline's
sample; pairs only of segments with half of the change each. `decomposition` says
what each holds and whether that may be chance.

References
----------
Bhagwan et al., "Adtributor", NSDI 2014 (several levels of one column).
Sagadeeva, Boehm, "SliceLine", SIGMOD 2021 (pruning of pairs by their parts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
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
    CodedRows,
    Ints,
    Numbers,
)
from driftline.monitors.root_cause.segment_counts import (
    SegmentTable,
    TargetRows,
    count_segments,
    reference_rows,
)
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


@dataclass(frozen=True, slots=True)
class SegmentFinding:
    """The location of a change: a segment, or why there is none."""

    segment: Segment | None = None
    words: str = ""
    is_mix: bool = False  # More rows of a kind that was like this before, in place of others.


def find_segments(
    rows: CodedRows,
    targets: Sequence[Target],
    cells: Mapping[str, Cells],
    sample: RowSample | None,
) -> list[SegmentFinding]:
    """Find the segment that holds the change behind each target.

    Where the reference's rows per segment are unknown, only rows that it had nowhere can be
    located.
    """
    found = [SegmentFinding()] * len(targets)
    # A number that is at fault itself is a consequence, wherever it lies.
    at_fault = frozenset(name for target in targets for name in target.predicate.columns)
    groups: dict[Predicate | None, list[int]] = {}
    for index, target in enumerate(targets[: len(rows.matching)]):
        groups.setdefault(target.within, []).append(index)
    for within, indices in groups.items():
        chosen = np.ones(rows.row_count, np.bool_) if within is None else rows.within[within]
        known = reference_rows(within, cells, sample)
        columns, counted = rows.columns, dict[int, TargetRows]()
        if within is not None:
            columns = [column.only(chosen, known) for column in rows.columns]
        for index in indices:
            found[index] = SegmentFinding(words=NOT_NARROWED)
            matching = rows.matching[index][chosen]
            one = TargetRows.of(targets[index], matching, known, cells, sample)
            if one is not None:
                counted[index] = one
        table, parts = SegmentTable(columns), count_segments(columns, [*counted.values()])
        for (index, one), part in zip(counted.items(), parts, strict=True):
            found[index] = _Search(table, one, part, at_fault).finding()
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A segment that may be named."""

    segments: tuple[int, ...]  # Several levels of a column, or two conditions.
    held: Held
    parts: Parts
    at: int  # Its place in both.
    least: float = 0.0  # Evidence that it needs among all that were tried.
    is_union: bool = False

    @property
    def score(self) -> float:
        return float(self.held.score[self.at])

    @property
    def share(self) -> float:
        return float(self.held.share[self.at])


class _Search:
    """The search among all segments for one target."""

    def __init__(
        self, table: SegmentTable, target: TargetRows, every: Parts, at_fault: frozenset[str]
    ) -> None:
        self.table, self.target, self.whole, self.every = table, target, target.whole, every
        self.at_fault = at_fault
        self.is_own = np.isin(table.name, target.own)
        allowed = ~(table.is_number & np.isin(table.name, list(at_fault))) & ~self.is_own
        # The segments that are tried: their numbers, their counts, and what each holds.
        self.chosen = np.flatnonzero(allowed & (every.rows > 0) & (every.rows < self.whole.rows))
        self.parts = every.take(self.chosen)
        self.is_number = table.is_number[self.chosen]
        self.best: _Candidate | None = None

    def finding(self) -> SegmentFinding:
        """Try texts, several levels of one, numbers, pairs, and growth, in order."""
        whole = self.whole
        if whole.change <= 0 or whole.matching in (0, whole.rows):
            return SegmentFinding()
        lost = np.flatnonzero(gone(self.every, whole) & ~self.is_own & ~self.table.is_number)
        lost = lost[np.argsort(-self.every.reference_share[lost], kind="stable")]
        for segment in lost.tolist():
            if self._is_alone_gone(segment):
                return self._gone(segment)
        if not self.chosen.size:
            return SegmentFinding()
        self.held = measure(self.parts, whole)
        for kind, gain in ((~self.is_number, 0.0), (self.is_number, NUMBER_GAIN)):
            if kind.any():
                self._try_singles(kind, gain)
        # A segment that holds all has as many rows as changed: no pair scores above this.
        if self.best is None or self.best.score + self._pair_gain < 1 - whole.change / whole.rows:
            self._try_pairs()
        best = self._alone() if self.best is None else self.best
        return self._growth() if best is None else SegmentFinding(self._segment(best))

    def _is_alone_gone(self, segment: int) -> bool:
        """Whether a vanished level is reported of itself, with no other one gone.

        A day has no rows of the other weekdays, and unseen values may be the level's rows by
        another name.
        """
        column, _ = self.table.find(segment)
        is_new = (column.home == NEW) | (column.reference_counts[column.home] == 0)
        is_gone = (self.table.name == column.name) & (self.every.rows == 0)
        share = self.every.reference_share[segment]
        others = np.nansum(self.every.reference_share[is_gone]) - share
        others += column.counts[is_new].sum() / self.whole.rows
        return bool(column.name in self.at_fault and others <= (1 - GROWTH) * share)

    def _gone(self, segment: int) -> SegmentFinding:
        """Describe a level that has no rows any more."""
        whole, parts = self.whole, self.every
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
        found = Segment((self.table.condition(segment),), 0.0, 0.0, change)
        return SegmentFinding(found, is_mix=True)

    def _try_singles(self, kind: Bools, gain: float) -> None:
        """Offer the best of the single segments of texts, or of numbers."""
        whole, held = self.whole, self.held
        least = needed(held.share_of_rows[kind], whole, FALSE_SINGLE)
        stands = np.flatnonzero(held.stands(least, is_cut=whole.is_cut) & kind)
        if stands.size:
            at = int(stands[np.argmax(held.score[stands])])
            self._offer(_Candidate((int(self.chosen[at]),), held, self.parts, at, least), gain)
        if gain == 0.0:
            self._try_unions(kind, least)

    def _try_unions(self, is_text: Bools, least: float) -> None:
        """Join levels of one column where one alone leaves much out."""
        whole, held = self.whole, self.held
        part = held.within / max(whole.change, 1.0)
        each = is_text & (part >= LEVEL_SHARE) & (part > LIFT * held.base)
        able = np.flatnonzero(each & (held.evidence >= least))
        column, least = self.table.column[self.chosen], least + math.log(2.0)
        for one in np.unique(column[able]):
            own = able[column[able] == one]
            own = own[np.argsort(held.base[own] - part[own], kind="stable")][:LEVELS_TOLD]
            for size in range(2, own.size + 1):
                joined = self.parts.take(own[:size]).joined()
                together = measure(joined, whole)
                if together.stands(least, is_cut=whole.is_cut)[0]:
                    segments = tuple(self.chosen[own[:size]].tolist())
                    found = _Candidate(segments, together, joined, 0, least, is_union=True)
                    self._offer(found, UNION_GAIN)

    @property
    def _pair_gain(self) -> float:
        """Evidence that a pair of texts needs beyond the best segment without."""
        best = self.best
        return PAIR_GAIN if best is None else min(PAIR_GAIN, PAIR_SHARE * (1.0 - best.score))

    def _try_pairs(self) -> None:
        """Combine the best conditions that each hold half of the change."""
        whole, held, parts = self.whole, self.held, self.parts
        able = np.flatnonzero(held.within >= HALF * whole.change)
        able = able[np.argsort(-held.score[able], kind="stable")][:CONDITIONS_MAX]
        # Without a row of the reference in the set, none was in a segment that it did not count.
        is_free = whole.reference_matching == 0
        able = np.array(
            [at for at in able.tolist() if is_free or self.table.has_own_cells(self.chosen[at])],
            np.int64,
        )
        first, second = np.triu_indices(able.size, 1)
        if not first.size:
            return
        pairs = self._counted_pairs(able, first, second)
        # One that lies in the other says nothing more.
        alone = parts.rows[able]
        news = (pairs.rows > 0) & (pairs.rows < alone[first]) & (pairs.rows < alone[second])
        pairs, first, second = pairs.take(news), able[first[news]], able[second[news]]
        if not first.size:
            return
        both, needs = measure(pairs, whole), math.log(self.chosen.size**2 / 2 / FALSE_PAIR)
        stands = both.stands(needs, is_cut=whole.is_cut)
        # Within either condition, the change must lie in the other.
        least = math.log(self.chosen.size / FALSE_PAIR)
        for one in (first, second):
            for outer in np.unique(one[stands]).tolist():
                mine = np.flatnonzero(stands & (one == outer))
                evidence = measure(pairs.take(mine), parts.whole(outer, whole)).evidence
                stands[mine] = evidence >= least
        has_number = self.is_number[first] | self.is_number[second]
        for kind, gain in ((~has_number, self._pair_gain), (has_number, NUMBER_GAIN)):
            here = np.flatnonzero(stands & kind)
            if here.size:
                at = int(here[np.argmax(both.score[here])])
                segments = (int(self.chosen[first[at]]), int(self.chosen[second[at]]))
                self._offer(_Candidate(segments, both, pairs, at, needs), gain)

    def _counted_pairs(self, able: Ints, first: Ints, second: Ints) -> Parts:
        """Count the rows in both conditions of each pair of the able ones, shape (pairs,)."""
        target, parts, window, known = self.target, self.parts, list[Bools](), list[Bools]()
        for at in able.tolist():
            segment = int(self.chosen[at])
            inside, reference = self.table.rows(segment)
            if reference is None or not self.table.has_own_cells(segment):
                reference = np.zeros(target.known.size, np.bool_)
            window.append(inside)
            known.append(reference)
        inside, reference = np.stack(window), np.stack(known)

        def together(rows: Bools, marked: Bools) -> Floats:
            some = rows[:, marked].astype(np.float32)  # Of which sums below 2^24 are exact.
            return np.asarray((some @ some.T)[first, second], np.float64)

        everywhere = np.ones(reference.shape[1], np.bool_)
        rows = together(reference, everywhere)
        pick = np.minimum if self.whole.is_loss else np.maximum
        return Parts(
            together(inside, np.ones(inside.shape[1], np.bool_)),
            together(inside, target.matching),
            rows,
            together(reference, target.known),
            rows if target.able.all() else together(reference, target.able),
            rows / self.whole.reference_rows,
            pick(parts.within_column[able][first], parts.within_column[able][second]),
        )

    def _growth(self) -> SegmentFinding:
        """Return a segment that merely grew, or the reason why none is named."""
        whole, held, parts = self.whole, self.held, self.parts
        able = np.flatnonzero(grown(held, parts, whole, self.chosen.size) & ~self.is_number)
        if able.size:
            # That others grew is why it shrank: of both, what grew is told.
            shrank = held.share_of_rows[able] < parts.reference_share[able]
            apart = np.abs(held.growth[able] - whole.change)
            at = int(able[np.lexsort((apart, shrank))[0]])
            found = _Candidate((int(self.chosen[at]),), held, parts, at)
            return SegmentFinding(self._segment(found, is_growth=True), is_mix=True)
        column = self.table.column[self.chosen]
        texts = [at for at, one in enumerate(self.table.columns) if not one.is_number]
        kept = np.flatnonzero(np.isin(column, texts))
        columns = mixed(parts.take(kept), whole, column[kept])
        if columns.size:
            words = MIX.format(self.table.columns[columns[0]].name)
            return SegmentFinding(words=words, is_mix=True)
        if whole.matching >= ALL * whole.rows:  # All segments alike, as the share says.
            return SegmentFinding()
        enough = held.share_of_rows[parts.rows >= whole.change]
        smallest = enough.min(keepdims=True) if enough.size else np.ones(1)
        most = float(best_evidence(smallest, whole)[0])
        least = needed(held.share_of_rows, whole, FALSE_SINGLE)
        return SegmentFinding(words=TOO_FEW if 0 < most < least else NOT_NARROWED)

    def _offer(self, found: _Candidate, gain: float) -> None:
        """Take a candidate where it is sufficiently better than the best before."""
        if self.best is not None and found.score < self.best.score + gain:
            return
        if not self._is_elsewhere(found) and not self._is_where_values_were(found):
            self.best = found

    def _is_elsewhere(self, found: _Candidate) -> bool:
        """Whether the column changed outside of a range of another number as well.

        Where one column follows another, a fault of all rows crosses a cut first in a range of the
        other, and other cuts elsewhere. For a range within another segment, that segment's other
        rows are tested.
        """
        ranges = [one for one in found.segments if self.table.is_number[one]]
        others = [one for one in found.segments if not self.table.is_number[one]]
        moved = self._moved(ranges, others) if ranges else None
        if moved is None:
            return False
        # Ranges of two numbers fit some shape of any window's rows.
        if len(ranges) > 1 and (found.share < ALL or not moved.is_quiet_beside):
            return True
        return not moved.is_quiet_beside and moved.beside > ELSEWHERE * moved.inside

    def _alone(self) -> _Candidate | None:
        """Find the one level in which the whole violating column changed, and nowhere else.

        If rows of the set came only from there before, more of them prove nothing about the
        location. The column's other values there, and all values elsewhere, do.
        """
        held, parts = self.held, self.parts
        able = (held.share >= ALL) & (abs(held.rest) < QUIET) & (held.within >= MIN_ROWS)
        able &= held.is_sure & ~self.is_number
        places = np.flatnonzero(able)
        # The smallest that nothing changed beside is no part of what changed, and holds no more.
        for at in places[np.argsort(parts.rows[places], kind="stable")][:CONDITIONS_MAX].tolist():
            # Rows of the set alone would be as many by chance; of its own rows all but few changed.
            is_whole = parts.matching[at] >= SAME_ROWS * parts.rows[at]
            moved = self._moved([int(self.chosen[at])], [], but_set=not is_whole)
            if moved is not None and moved.is_alone(self.chosen.size):
                return _Candidate((int(self.chosen[at]),), held, parts, at)
        return None

    def _moved(
        self, segments: Sequence[int], around: Sequence[int], *, but_set: bool = False
    ) -> MovedIn | None:
        """Return how far the violating column moved in some segments, and around them.

        With ``but_set``, by its values outside of the target's set alone.
        """
        target, columns = self.target, self.table.columns
        own = next((one for one in columns if one.name in target.own[:1]), None)
        inside, within = self.table.rows_of_all(segments), self.table.rows_of_all(around)
        if own is None or inside is None or within is None:
            return None
        if but_set:
            within = within[0] & ~target.matching, within[1] & ~target.known
        return MovedIn.of(own, inside, within, self.whole.design_effect)

    def _is_where_values_were(self, found: _Candidate) -> bool:
        """Whether the segment is merely where the values may have been before.

        If all rows are shifted, scaled or cut off, those that enter a set of numbers lay elsewhere
        before. So a segment that holds such reference rows anyway, but for chance, proves nothing.
        """
        target, whole, columns = self.target, self.whole, self.table.columns
        own = next((one for one in columns if one.name == target.moves), None)
        if own is None or own.reference is None or own.numbers is None:
            return False
        inside, most = np.full(own.reference.size, not found.is_union), whole.reference_rows
        for segment in found.segments:
            known, limit = self.table.usual_rows(segment, inside.size)
            inside = inside | known if found.is_union else inside & known
            most = min(most, limit)
        # Values that were in the range already did not come into it, and what is empty nowhere.
        able = ~target.known & (own.reference < own.home.size - 2)
        held, held_inside = (
            np.bincount(own.reference[rows], minlength=own.home.size).astype(np.float64)
            for rows in (able, able & inside)
        )
        had = whole.design_effect * whole.rows * whole.rate
        came = int(whole.change - QUIET * math.sqrt(had))
        # So few rows of the reference hardly ever bring as many.
        least = float(gammaincinv(whole.change, RARELY)) / whole.rows * whole.reference_rows
        usual = _usual(own.numbers, held, held_inside)
        moved = own.numbers.window[target.matching]
        most = most_held(usual, moved, came, least, most)
        evidence = whole.change * divergence(np.array([found.share]), np.array([most]))[0]
        is_chance = evidence < found.least * found.held.effect[found.at]
        return bool(is_chance or found.share < LIFT * most)

    def _segment(self, found: _Candidate, *, is_growth: bool = False) -> Segment:
        """Describe a segment with its shares."""
        whole, is_exact = self.whole, self.target.is_exact
        held, parts, at = found.held, found.parts, found.at
        rows, matching = float(parts.rows[at]), float(parts.matching[at])
        known, met = float(parts.reference_rows[at]), float(parts.reference_matching[at])
        left, known_left = whole.rows - rows, whole.reference_rows - known
        share = float(held.growth[at]) / whole.change if is_growth else found.share
        had = float(parts.reference_share[at])
        before = met / known if known and whole.is_placed else whole.rate
        elsewhere = (whole.reference_matching - met) / known_left if known_left else whole.rate
        # A value that is new had no rate, and of a rare one nobody counted it.
        is_known = (had > 0 and is_exact) or before == 0
        change = SegmentChange(
            share=min(share, 1.0),
            before=before if is_known else None,
            now=matching / rows,
            before_elsewhere=(elsewhere if whole.is_placed else whole.rate)
            if is_known or (had == 0 and is_exact)
            else None,
            now_elsewhere=(whole.matching - matching) / left,
            is_all=share >= ALL and abs(float(held.rest[at])) < QUIET and not is_growth,
            is_loss=whole.is_loss,
            grew_from=had if is_growth else None,
        )
        conditions = self.table.conditions(found.segments, is_union=found.is_union)
        share_of_culprits = matching / max(whole.matching, 1.0)
        return Segment(conditions, share_of_culprits, rows / whole.rows, change)


def _usual(numbers: Numbers, held: Floats, inside: Floats) -> UsualRows:
    """Lay the rows of each cell of a column over the values that it had."""
    each = np.bincount(numbers.cells, weights=numbers.counts, minlength=held.size)
    rows = numbers.counts * (held / np.maximum(each, TINY))[numbers.cells]
    able = rows > 0
    return UsualRows(numbers.known[able], rows[able], numbers.cells[able], inside)
