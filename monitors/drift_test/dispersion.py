"""The design effect: how much more the reference's blocks vary than independent rows would.

Learnt once per length of span, from blocks of that length, each against the rest of the reference
at the same time of the week. Shapes: W columns, S scanned sets of all of them, B blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.layout import Layout, divide
from driftline.monitors.drift_test.reference_blocks import ReferenceBlocks
from driftline.monitors.drift_test.season import DAY_H, GRIDS, Grid, possible_grids
from driftline.monitors.drift_test.significance import Numbers, likelihood_ratio
from driftline.stats.blocks import MINIMUM_BLOCKS, upper_factor
from driftline.stats.shrinkage import freedom_of_means, shrink_variances, student_factor

# Below so many blocks the design effect of longer blocks is extrapolated from shorter ones, and
# below the second number it is not believed to be under 2 (docs/reference/statistics.md,
# "Design effect").
BLOCKS_TRUSTED = 40
BLOCKS_WANTED = 14
# The chance at which a variance of few blocks must be as safe as a known one: about that of a set.
TAIL_CHANCE = 5e-7
# How much of the usual variation a set is taken to have at least: with less, slow processes that
# leave the range of a short reference alarm (docs/measured.md); with more, summer after a
# winter's reference is not found.
COMMON_WEIGHT = 0.45
# With so many clusters of its own a set borrows half as much.
OWN_EVENTS = 100.0
# Share of rows at either end of the times that may be stray, where the rest spans less than half.
STRAY_SHARE = 0.005
# Clusters are told by blocks of so many rows.
CLUSTER_ROWS = 100.0
# At most so much is borrowed from other columns, or for what is no known value. A slow process such
# as weather says how values hang together, not how many rows lose theirs at once, or get a new one:
# a column that comes empty must be found.
BORROWED_EFFECT = 30.0
# A finer grid must make the reference's blocks less different by so much, and by more than chance
# moves the mean of so many blocks.
GRID_GAIN = 0.1
GRID_GAIN_BY_CHANCE = 2.0
BLOCKS_TO_CHOOSE_BY = 400
DAILY = GRIDS[1]


@dataclass(frozen=True, slots=True)
class Effect:
    """The design effects of blocks of one length."""

    learnt: Numbers  # Design effects >= 1 of a window with as many rows as a block, shape (S,).
    believed: Numbers  # The same, or 2 where too few blocks speak for less.
    # The median of each column's central sets in `believed`, shape (W,); without any, the largest.
    usual: Numbers
    lends: NDArray[np.bool_]  # Whether a column has central sets, shape (W,).
    # `usual` of short spans, shape (W,): what rows do together over short times only.
    together: Numbers
    borrowed: Numbers  # How little the rows of a set tell by themselves, 0-1, shape (S,).
    # The factors by which few blocks raise what a column's effects show beyond independent rows,
    # shape (W,).
    allowance: Numbers
    block_rows: float  # Rows of the mean block; 0 without blocks.

    def for_rows(self, layout: Layout, rows: float) -> tuple[Numbers, Numbers, Numbers]:
        """Return ``effect``, ``cluster_effect`` and ``shift_effect`` of a window, shape (S,).

        Variation that a block's rows share does not average out: more rows than a block has raise
        the effect in proportion. What moves whole blocks moves their tails, too, even if the
        reference has too few rows there to show it: a set varies at least as its column does, less
        so the more rows it has itself. A column that the reference never saw empty or unfit does
        not show how such rows cluster. They are taken to cluster as the stream's values do: a
        session without a value lacks it in all its rows.
        """
        growth = max(1.0, rows / self.block_rows) if self.block_rows else 1.0
        allowance = layout.spread(self.allowance)
        # What the blocks show grows with the rows, the allowance for their number does not.
        usual = self.usual + (growth - 1.0) * (self.usual - 1.0) / self.allowance
        own = self.believed + (growth - 1.0) * (self.believed - 1.0) / allowance
        lent = layout.spread(usual - 1.0)
        lent = np.where(layout.valueless, np.minimum(lent, BORROWED_EFFECT), lent)
        found = np.maximum(own, 1.0 + COMMON_WEIGHT * self.borrowed * lent)
        floor = float(np.median(usual[self.lends])) if self.lends.any() else 1.0
        never = layout.never_absent
        found[never] = np.maximum(found[never], min(floor, BORROWED_EFFECT))
        together = layout.spread(np.minimum(self.together - 1.0, BORROWED_EFFECT))
        size = np.maximum(own, 1.0 + self.borrowed * together)
        # Where the middle tells how far values move together, it does for far ends and intervals.
        shift = np.where(layout.shifted & layout.spread(self.lends), layout.spread(usual), 0.0)
        return found, 1.0 + (size - 1.0) / allowance, shift


def _usual(layout: Layout, factors: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return the median of each column's central sets, and which columns have any, shape (W,)."""
    central = layout.central
    many = np.bincount(layout.column_of_set[central], minlength=len(layout))
    ranked = np.lexsort((factors, layout.column_of_set))
    ranked = ranked[central[ranked]]
    starts = np.cumsum(many) - many
    usual = layout.largest(factors)  # A column of tails only varies as the most variable of them.
    some = many > 0
    low, high = starts + (many - 1) // 2, starts + many // 2
    usual[some] = (factors[ranked[low[some]]] + factors[ranked[high[some]]]) / 2.0
    return usual, some


@dataclass(frozen=True)
class Dispersion:
    """The design effects of all columns, each learnt at first use."""

    layout: Layout
    reference: BlockCounts  # Columns that it lacks count as independent rows.
    unit_h: int  # The windows' length in whole hours, at least 1.
    seasonal: bool  # Whether windows are compared with like hours, or with the whole reference.
    _effects: dict[tuple[int, bool], Effect] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _known(self) -> tuple[int, ...]:
        names = self.layout.names if self.reference.hours.size else ()
        return tuple(i for i, name in enumerate(names) if name in self.reference.counts)

    @cached_property
    def hour_rows(self) -> Numbers:
        """Rows of each hour of the reference, shape (hours,)."""
        if not self._known:
            return np.zeros(0)
        own = self.reference.counts[self.layout.names[self._known[0]]]
        return np.asarray(own.sum(axis=1, dtype=np.float64))

    @cached_property
    def extent_h(self) -> int:
        """Hours from the reference's first row to its last, without stray times as in 1970."""
        hours, rows = self.reference.hours, self.hour_rows
        if not rows.sum():
            return 1
        most = hours[-1] - hours[0] + 1
        share = np.cumsum(rows) / rows.sum()
        low, high = np.searchsorted(share, [STRAY_SHARE, 1.0 - STRAY_SHARE])
        usual = hours[high] - hours[low] + 1
        return int(usual if 2 * usual < most else most)

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """Which hours are alike, for each column: the finest grid that helps."""
        found = [GRIDS[0]] * len(self.layout)
        grids = possible_grids(self.reference.hours, self.unit_h) if self.seasonal else GRIDS[:1]
        if not self._known or len(grids) == 1:
            return tuple(found)
        best: Numbers | None = None
        for grid in grids:
            ratios = self._block_ratios(grid, self._known, self.unit_h, at_most=BLOCKS_TO_CHOOSE_BY)
            # One set of many may have a season, such as gaps at night: it speaks for itself.
            sums = np.add.reduceat(ratios.mean, self.layout.set_starts[:-1])
            now = np.stack([sums, self.layout.largest(ratios.mean)])
            if best is None:
                best = now
                continue
            chance = GRID_GAIN_BY_CHANCE / math.sqrt(max(ratios.block_count, 1))
            pays = (now < (1.0 - max(GRID_GAIN, chance)) * best).any(axis=0)
            best = np.where(pays, now, best)
            for index in np.flatnonzero(pays):
                found[index] = grid
        return tuple(found)

    def at(self, length_h: int) -> Effect:
        """Return the design effects of spans of a length."""
        return self._at(length_h, length_h % DAY_H == 0)

    def _at(self, length_h: int, whole_days: bool) -> Effect:
        """Return the effects of blocks of a length, for spans of whole days or of others."""
        key = length_h, whole_days
        if key not in self._effects:
            self._effects[key] = self._learn(length_h, whole_days)
        return self._effects[key]

    def _learn(self, length_h: int, whole_days: bool) -> Effect:
        own, block_count = np.ones(self.layout.set_starts[-1]), 0
        allowance = np.ones(len(self.layout))
        grids = self._grids_of_blocks(length_h, whole_days)
        for grid in dict.fromkeys(grids[index] for index in self._known):
            columns = [index for index in self._known if grids[index] == grid]
            ratios = self._block_ratios(grid, columns, length_h)
            at = self.layout.places(columns)
            found, allowed = self._calibrated(ratios)
            own[at], allowance[columns] = found[at], allowed[columns]
            block_count = ratios.block_count
        if not self._known:
            usual, lends = _usual(self.layout, own)
            return Effect(own, own, usual, lends, usual, np.ones(own.size), allowance, 0.0)
        if block_count < BLOCKS_TRUSTED and length_h > 1:
            # A process with memory varies more over longer spans, up to its own time scale.
            half = self._at(length_h // 2, whole_days)
            growth = np.ones(1)
            if length_h > 3:
                growth = np.clip(half.learnt / self._at(length_h // 4, whole_days).learnt, 1.0, 2.0)
            own = np.maximum(own, half.learnt * growth)
            # A block lies no further off than its halves do on average: with twice the rows it has
            # at most twice their effect, and more of the shorter blocks tell that better.
            most = half.learnt * length_h / (length_h // 2)
            capped = self.layout.largest((own > most).astype(np.float64)) > 0.0
            own = np.minimum(own, most)
            allowance[capped] = np.minimum(allowance, half.allowance)[capped]
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
            together=usual if length_h <= short_h else self._at(short_h, whole_days).usual,
            borrowed=borrowed,
            allowance=allowance,
            block_rows=self._block_rows(length_h),
        )

    def _grids_of_blocks(self, length_h: int, whole_days: bool) -> tuple[Grid, ...]:
        """Return which hours are alike for blocks of a length, by column.

        A span of whole days holds the whole daily cycle. Blocks that cut it are compared with the
        same hours of other days, or the cycle would count as variation between spans.
        """
        if not whole_days or length_h % DAY_H == 0 or self.extent_h < DAILY.reference_h:
            return self.grids
        return tuple(grid if grid.size > 1 else DAILY for grid in self.grids)

    @property
    def _short_h(self) -> int:
        """Return the shortest length, in hours, whose blocks have rows enough to show clusters."""
        rows = self.hour_rows.sum() / self.extent_h
        return int(2 ** math.ceil(math.log2(max(CLUSTER_ROWS / float(rows), 1.0))))

    def _block_ratios(
        self, grid: Grid, columns: Sequence[int], length_h: int, *, at_most: int | None = None
    ) -> BlockRatios:
        cut = ReferenceBlocks.of(
            self.reference.hours, self.hour_rows, grid, length_h=length_h, unit_h=self.unit_h
        )
        if at_most is not None:
            cut = cut.sample(at_most)
        return measure_ratios(self.layout, columns, self.reference, cut)

    def _calibrated(self, ratios: BlockRatios) -> tuple[Numbers, Numbers]:
        """Return factors (S,) that make blocks differ as independent rows do; allowances (W,).

        The sets of a column agree on how rows cluster by more than each one's blocks tell. The
        allowance for few blocks is on the excess over the variance of independent rows, which is
        known.

        References
        ----------
        docs/reference/statistics.md, "Design effect".
        """
        layout, blocks = self.layout, ratios.block_count
        if blocks < MINIMUM_BLOCKS:
            return np.ones(ratios.mean.size), np.ones(len(layout))
        shown = shrink_variances(2.0 * ratios.mean, blocks - 1, layout.column_of_set)
        freedom = shown.freedom(blocks - 1, ratios.column_freedom)
        # Sets that agree tell more than blocks alone.
        upper = np.array([upper_factor(max(blocks, one)) for one in freedom.tolist()])
        allowance = np.maximum(student_factor(TAIL_CHANCE, freedom), upper)
        mean = 1.0 + np.maximum(shown.variance - 1.0, 0.0) * layout.spread(allowance)
        return np.maximum(mean, ratios.largest / math.log(4.0 * blocks)), allowance

    def _block_rows(self, length_h: int) -> float:
        """Return the rows of the mean block, also of one longer than the reference."""
        hours = self.reference.hours
        _, first = np.unique(hours // length_h, return_index=True)
        rate = self.hour_rows.sum() / self.extent_h
        return max(float(np.add.reduceat(self.hour_rows, first).mean()), float(rate) * length_h)


@dataclass(frozen=True, slots=True)
class BlockRatios:
    """The log-likelihood ratios of the reference's blocks, by set."""

    mean: Numbers  # Over the blocks, shape (S,); 0 for columns not asked for.
    largest: Numbers
    # Degrees of freedom of each column's mean over its sets, shape (W,); infinite when not asked.
    column_freedom: Numbers
    block_count: int  # With fewer than 3 nothing is known.


def measure_ratios(
    layout: Layout,
    columns: Sequence[int],
    reference: BlockCounts,
    cut: ReferenceBlocks,
) -> BlockRatios:
    """Compare each block with the rest of the reference, with no tolerance.

    With the tolerance, columns with clustered rows would look calmer than they are
    (docs/reference/statistics.md, "Design effect").
    """
    mean, largest = np.zeros((2, layout.set_starts[-1]))
    freedom = np.full(len(layout), np.inf)
    block_count = int(cut.keep.sum())
    if block_count < MINIMUM_BLOCKS:
        return BlockRatios(mean, largest, freedom, block_count)
    rows, expected_rows = cut.rows[cut.keep][:, None], cut.expected_rows[cut.keep][:, None]
    for part in layout.parts(columns, reference.hours.size):
        own = layout.select(part)
        counts = np.concatenate([reference.counts[name] for name in own.names], axis=1)
        held, expected = cut.shares(counts)
        held, expected = own.sets(held), own.sets(expected)
        known_part = own.bases(expected, np.ones_like(rows))
        known = divide(expected, known_part, 0.0)
        of = own.bases(held, rows)
        share = divide(held, of, known)
        found = likelihood_ratio(
            known,
            np.maximum(expected_rows * known_part, 1.0),
            share,
            np.maximum(of, 1.0),
            tolerance=0.0,
        )
        at = layout.places(part)
        mean[at], largest[at] = found.mean(axis=0), found.max(axis=0)
        freedom[part] = freedom_of_means(np.add.reduceat(found, own.set_starts[:-1], axis=1))
    return BlockRatios(mean, largest, freedom, block_count)
