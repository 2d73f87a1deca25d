"""How much more the reference's own blocks vary than independent rows would: the design effect.

Learnt once for each length of span, from blocks of that length, each against the rest of the
reference at the same time of the week. Shapes: W columns, S scanned sets of all of them, B blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.layout import Layout
from driftline.monitors.drift_test.reference_blocks import ReferenceBlocks
from driftline.monitors.drift_test.season import GRIDS, Grid, possible_grids
from driftline.monitors.drift_test.significance import Numbers
from driftline.monitors.drift_test.surprise import Surprise, measure_surprise

# Below so many blocks the design effect of longer blocks is extrapolated from shorter ones, and
# below the second number it is not believed to be under 2 (drift-methods.md section 6.3).
BLOCKS_TRUSTED = 40
BLOCKS_WANTED = 14
# How much of the usual variation a set is taken to have at least: with less, slow processes that
# leave the range of a short reference alarm (bench/decisions.md); with more, summer after a
# winter's reference is not found.
COMMON_WEIGHT = 0.45
# With so many clusters of its own a set borrows half as much.
OWN_EVENTS = 100.0
# Clusters are told by blocks of so many rows.
CLUSTER_ROWS = 100.0
# At most so much is borrowed from other columns, or for what is no known value. A slow process such
# as weather says how values hang together, not how many rows lose theirs at once, or get a new one:
# a column that comes empty must be found.
BORROWED_EFFECT = 30.0
# A finer grid must make the reference's blocks less surprising by so much, and by more than chance
# moves the mean of so many blocks.
GRID_GAIN = 0.1
GRID_GAIN_BY_CHANCE = 2.0
BLOCKS_TO_CHOOSE_BY = 400


@dataclass(frozen=True, slots=True)
class Effect:
    """What the reference's blocks of one length tell.

    Parameters
    ----------
    learnt
        Design effects >= 1 of a window with as many rows as a block, shape (S,).
    believed
        The same, or 2 where too few blocks speak for less.
    usual
        The median of each column's inner sets in ``believed``, shape (W,); the largest of all sets
        where there are none.
    lends
        Whether a column has inner sets, shape (W,).
    together
        ``usual`` of short spans, shape (W,): of what rows do together, without what they do over
        longer times, which says nothing of how many come at once.
    borrowed
        How little the rows of a set tell by themselves, 0-1, shape (S,).
    allowance
        By how much few blocks raise the factors above what they show.
    block_rows
        Rows of the mean block; 0 without blocks.
    """

    learnt: Numbers
    believed: Numbers
    usual: Numbers
    lends: NDArray[np.bool_]
    together: Numbers
    borrowed: Numbers
    allowance: float
    block_rows: float

    def _grown(self, factors: Numbers, growth: float) -> Numbers:
        """Let grow with the rows what the blocks show, without the allowance for their number."""
        shown = np.maximum(factors / self.allowance - 1.0, 0.0)
        return np.asarray(factors + (growth - 1.0) * shown)

    def for_rows(self, layout: Layout, rows: float) -> tuple[Numbers, Numbers, Numbers]:
        """Give the factors for a window of so many rows, and those that tell the clusters' size.

        What a block's rows share does not average out within it: more rows than a block has add
        to the effect in proportion. What moves whole blocks moves their tails, too, even if the
        reference has too few rows there to show it: a set varies at least as its column usually
        does, the less so the more rows of its own tell. A column that the reference never saw
        empty or unfit does not tell how such rows cluster, so they are taken to cluster as the
        values of the stream's columns usually do: a session that comes without a value comes
        without it in all its rows.

        Returns
        -------
        tuple of numpy.ndarray
            ``effect``, ``cluster_effect`` and ``shift_effect`` of ``clustered_evidence``, shape
            (S,).
        """
        growth = max(1.0, rows / self.block_rows) if self.block_rows else 1.0
        usual, own = self._grown(self.usual, growth), self._grown(self.believed, growth)
        lent = layout.spread(usual - 1.0)
        lent = np.where(layout.novel, np.minimum(lent, BORROWED_EFFECT), lent)
        found = np.maximum(own, 1.0 + COMMON_WEIGHT * self.borrowed * lent)
        floor = float(np.median(usual[self.lends])) if self.lends.any() else 1.0
        never = layout.never_absent
        found[never] = np.maximum(found[never], min(floor, BORROWED_EFFECT))
        together = layout.spread(np.minimum(self.together - 1.0, BORROWED_EFFECT))
        size = np.maximum(own, 1.0 + self.borrowed * together)
        # Where the middle tells how far values move together, it does for the far ends, too.
        shift = np.where(layout.far_cuts & layout.spread(self.lends), layout.spread(usual), 0.0)
        return found, np.maximum(size / self.allowance, 1.0), shift


def _usual(layout: Layout, factors: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Give the median of each column's inner sets, and which columns have any, shape (W,)."""
    inner = layout.inner
    many = np.bincount(layout.column_of_set[inner], minlength=len(layout))
    ranked = np.lexsort((factors, layout.column_of_set))
    ranked = ranked[inner[ranked]]
    starts = np.cumsum(many) - many
    usual = layout.largest(factors)  # A column of tails only varies as the most variable of them.
    some = many > 0
    low, high = starts + (many - 1) // 2, starts + many // 2
    usual[some] = (factors[ranked[low[some]]] + factors[ranked[high[some]]]) / 2.0
    return usual, some


def _allowance(blocks: int) -> float:
    """Give how far above the mean of so many blocks the truth may lie."""
    return 1.0 + 2.0 * math.sqrt(2.0 / max(blocks, 3))


@dataclass(frozen=True)
class Dispersion:
    """The design effects of all columns, each learnt when it is first asked for.

    Parameters
    ----------
    layout
        The judged columns.
    reference
        The reference by the hour; columns that it lacks count as rows that are independent.
    unit_h
        The windows' length in whole hours, at least 1.
    seasonal
        Whether windows are compared with like hours; if not, with the whole reference.
    """

    layout: Layout
    reference: BlockCounts
    unit_h: int
    seasonal: bool
    _effects: dict[int, Effect] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _known(self) -> tuple[int, ...]:
        names = self.layout.names if self.reference.hours.size else ()
        return tuple(i for i, name in enumerate(names) if name in self.reference.counts)

    @cached_property
    def hour_rows(self) -> Numbers:
        """Rows of each hour of the reference, shape (hours,)."""
        if not self._known:
            return np.zeros(0)
        counts = self.reference.counts[self.layout.names[self._known[0]]]
        return np.asarray(counts.sum(axis=1, dtype=np.float64))

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """Which hours count as alike, for each column: the finest that pays."""
        found = [GRIDS[0]] * len(self.layout)
        grids = possible_grids(self.reference.hours, self.unit_h) if self.seasonal else GRIDS[:1]
        if not self._known or len(grids) == 1:
            return tuple(found)
        best: Numbers | None = None
        for grid in grids:
            surprise = self._surprise(grid, self._known, self.unit_h, at_most=BLOCKS_TO_CHOOSE_BY)
            # One set of many may have a season, such as gaps at night: it speaks for itself.
            sums = np.add.reduceat(surprise.mean, self.layout.set_starts[:-1])
            now = np.stack([sums, self.layout.largest(surprise.mean)])
            if best is None:
                best = now
                continue
            chance = GRID_GAIN_BY_CHANCE / math.sqrt(max(surprise.block_count, 1))
            pays = (now < (1.0 - max(GRID_GAIN, chance)) * best).any(axis=0)
            best = np.where(pays, now, best)
            for index in np.flatnonzero(pays):
                found[index] = grid
        return tuple(found)

    def at(self, length_h: int) -> Effect:
        """Give the design effects of spans of a length."""
        if length_h not in self._effects:
            self._effects[length_h] = self._learn(length_h)
        return self._effects[length_h]

    def _learn(self, length_h: int) -> Effect:
        own, block_count = np.ones(self.layout.set_starts[-1]), 0
        for grid in dict.fromkeys(self.grids[index] for index in self._known):
            columns = [index for index in self._known if self.grids[index] == grid]
            surprise = self._surprise(grid, columns, length_h)
            at = self.layout.places(columns)
            own[at] = np.maximum(own[at], self._calibrated(surprise)[at])
            block_count = surprise.block_count
        if not self._known:
            usual, lends = _usual(self.layout, own)
            return Effect(own, own, usual, lends, usual, np.ones(own.size), 1.0, 0.0)
        if block_count < BLOCKS_TRUSTED and length_h > 1:
            # A process with memory varies more over longer spans, up to its own time scale.
            half = self.at(length_h // 2).learnt
            growth = np.ones(1)
            if length_h > 3:
                growth = np.clip(half / self.at(length_h // 4).learnt, 1.0, 2.0)
            own = np.maximum(own, half * growth)
        believed = np.maximum(own, 2.0) if block_count < BLOCKS_WANTED else own
        usual, lends = _usual(self.layout, believed)
        # What rows of its own tell is not borrowed; rows that come together tell as one.
        events = self.layout.reference_sets / own
        borrowed = OWN_EVENTS / (OWN_EVENTS + events)
        short_h = self._short_h
        return Effect(
            learnt=own,
            believed=believed,
            usual=usual,
            lends=lends,
            together=usual if length_h <= short_h else self.at(short_h).usual,
            borrowed=borrowed,
            allowance=_allowance(block_count),
            block_rows=self._block_rows(length_h),
        )

    @property
    def _short_h(self) -> int:
        """Give the shortest length whose blocks hold enough rows to show clusters, in hours."""
        rows = self.hour_rows.sum() / (self.reference.hours[-1] - self.reference.hours[0] + 1)
        return int(2 ** math.ceil(math.log2(max(CLUSTER_ROWS / float(rows), 1.0))))

    def _surprise(
        self, grid: Grid, columns: Sequence[int], length_h: int, *, at_most: int | None = None
    ) -> Surprise:
        cut = ReferenceBlocks.of(
            self.reference.hours, self.hour_rows, grid, length_h=length_h, unit_h=self.unit_h
        )
        if at_most is not None:
            cut = cut.sample(at_most)
        return measure_surprise(self.layout, columns, self.reference, cut)

    def _calibrated(self, surprise: Surprise) -> Numbers:
        """Give the factors at which the blocks would surprise as independent rows do.

        References
        ----------
        drift-methods.md section 6.3: the mean of 2 G, bounded above, is 1 for independent rows;
        the reference's most surprising block must not look surprising, which calibrates the tail.
        """
        blocks = surprise.block_count
        if blocks < 3:
            return np.ones(surprise.mean.size)
        mean = 2.0 * surprise.mean * _allowance(blocks)
        tail = surprise.largest / math.log(4.0 * blocks)
        found: Numbers = np.maximum(np.maximum(mean, tail), 1.0)
        return found

    def _block_rows(self, length_h: int) -> float:
        """Give the rows of the mean block, also of one that is longer than the reference."""
        hours = self.reference.hours
        _, first = np.unique(hours // length_h, return_index=True)
        rate = self.hour_rows.sum() / (hours[-1] - hours[0] + 1)
        return max(float(np.add.reduceat(self.hour_rows, first).mean()), float(rate) * length_h)
