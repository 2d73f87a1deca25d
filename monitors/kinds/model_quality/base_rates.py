"""What a moved share of positives takes from Brier skill, beside scores that did not follow it.

Days whose base rate moves differ in skill by the square of the move: a law with one long tail,
which few days do not show. The move itself is seen in each of them, so its part is taken out: what
is judged is the skill had the scores' log-odds moved as far as the share of positives did. Only
what scores did not follow counts, and only up to where the share moved: a model that says another
thing of the same labels is worse. Shapes: B sets of rows, C cells of log-odds.

References
----------
docs/reference/statistics.md, "Moved base rates"; Elkan, IJCAI 2001, theorem 2 (another base rate
moves a score's log-odds by a constant).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.block_series import SeriesVariation

Numbers = NDArray[np.float64]

# Log-odds in cells of a tenth, as far as a score of 6 in a million.
FARTHEST, A_UNIT = 12, 10
CELLS = np.arange(-FARTHEST * A_UNIT, FARTHEST * A_UNIT + 1) / A_UNIT
BISECTIONS = 40
# So many standard deviations out all else makes as many times its own, and a move's square as many
# times that.
FAR = 3.0
TINY = float(np.finfo(np.float64).tiny)


def count_odds(
    label: NDArray[np.bool_], probability: Numbers, weights: Numbers | None, rows: float
) -> Odds:
    """Count rows of both classes by the log-odds of their scores.

    Parameters
    ----------
    label, probability
        Whether a row is positive, and what is said of that, shape (rows,).
    weights
        Of mean 1, shape (rows,); None: all count alike.
    rows
        How many rows they are worth.
    """
    odds = np.clip(special.logit(np.clip(probability, 0.0, 1.0)), -FARTHEST, FARTHEST)
    place = np.rint((odds + FARTHEST) * A_UNIT).astype(np.intp)
    counts = np.bincount(place + len(CELLS) * label, weights, 2 * len(CELLS))
    return Odds(counts.reshape(1, 2, -1) / max(float(counts.sum()), TINY), np.array([rows]))


@dataclass(frozen=True)
class Odds:
    """Scores of sets of rows with both classes, by log-odds."""

    counts: Numbers  # Shares of all rows, negative ones and positive ones, shape (B, 2, C).
    rows: Numbers  # How many independent ones each set is worth, shape (B,).

    def of_more(self, times: float) -> Odds:
        """Return the same shares with a multiple of the rows."""
        return replace(self, rows=self.rows * times)

    @cached_property
    def share(self) -> Numbers:
        """Share of positives, shape (B,)."""
        return np.asarray(self.counts[:, 1].sum(axis=1))

    def moved_to(self, share: Numbers) -> Numbers:
        """Return the shift of all log-odds that gives their mean this share, (B,)."""
        said = self.counts.sum(axis=1)
        low, high = (np.full(len(said), sign * 2.0 * FARTHEST) for sign in (-1, 1))
        for _ in range(BISECTIONS):
            middle = (low + high) / 2.0
            is_low = np.einsum("bc,bc->b", said, _chances(middle)) < share
            low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
        return np.asarray((low + high) / 2.0)

    @cached_property
    def own_move(self) -> Numbers:
        """Shift that gives the observed share of positives, shape (B,)."""
        return self.moved_to(self.share)

    @cached_property
    def chance(self) -> Numbers:
        """Variance of that shift by the rows' chance, shape (B,)."""
        said = _chances(self.own_move)
        spread = np.einsum("bc,bc->b", self.counts.sum(axis=1), said * (1.0 - said))
        return np.asarray(1.0 / np.maximum(self.rows * spread, TINY))

    def gain(self, move: Numbers) -> Numbers:
        """Return what shifted scores add to -ln(1 - skill), at least 0, shape (B,)."""
        return np.maximum(np.log(self._loss(0.0 * move) / self._loss(move)), 0.0)

    def variance(self, move: Numbers) -> Numbers:
        """Return the variance of -ln(1 - skill) of shifted scores by their rows, shape (B,)."""
        share = self.share
        steep = (1.0 - 2.0 * share) / (share * (1.0 - share))
        losses = _losses(move) / self._loss(move)[:, None, None]
        parts = np.stack([-steep * share, steep * (1.0 - share)], axis=1)[:, :, None] - losses
        mean = np.einsum("bkc,bkc->b", self.counts, parts)
        squares = (parts - mean[:, None, None]) ** 2
        return np.asarray(np.einsum("bkc,bkc->b", self.counts, squares) / self.rows)

    def _loss(self, move: Numbers) -> Numbers:
        return np.asarray(np.maximum(np.einsum("bkc,bkc->b", self.counts, _losses(move)), TINY))


def _chances(move: Numbers) -> Numbers:
    return np.asarray(special.expit(CELLS + move[:, None]))


def _losses(move: Numbers) -> Numbers:
    """Return the squared errors of negative and of positive rows, shape (B, 2, C)."""
    said = _chances(move)
    return np.stack([said**2, (1.0 - said) ** 2], axis=1)


@dataclass(frozen=True)
class Moves:
    """Moves of the share of positives in a reference's blocks, relative to their scores."""

    usual: Odds  # Of the whole reference.
    variation: SeriesVariation  # Of the blocks' moves.
    mean: float
    part: float  # Of the squares of what far moves and all else make of skill, that of moves.

    def explained(self, odds: Odds, chance: float = 0.0) -> tuple[Numbers, Numbers]:
        """Return what moves take from -ln(1 - skill), and moves, as far as days' differ by them.

        Parameters
        ----------
        chance
            Of a move so far to either side that none of it is explained.
        """
        moves = _moves(odds, self.usual)
        if chance > 0.0:
            known = float(self.variation.chance) / (self.variation.beside or 1.0)
            far = self.variation.reach(chance / 2.0, float(odds.chance[0]) + known)
            moves = np.where(np.abs(moves - self.mean) > far, 0.0, moves)
        return self.part * odds.gain(moves), self.part * moves

    def of_longer(self, times: float, spread: float, days: int) -> Moves:
        """Return those of longer blocks, whose moves spread by this fraction."""
        known, values = self.variation, np.array(self.variation.values)
        chance = float(known.chance) / times
        whole = (float(known.variance) + float(known.chance)) * spread**2
        variation = replace(
            known, variance=whole - chance, chance=chance, days=days,
            values=tuple((spread * values).tolist()), beside=(known.beside or 1.0) / times,
        )  # fmt: skip
        return replace(self, variation=variation)


def moves_of(
    blocks: Sequence[Odds], values: Numbers, whole: Odds, beside: float, days: int
) -> Moves:
    """Learn the moves of at least two blocks.

    Parameters
    ----------
    values
        Of the blocks, -ln(1 - skill), shape (B,).
    beside, days
        As of `SeriesVariation`.
    """
    odds = joined(blocks)
    moves, chance = _moves(odds, whole), float(np.median(odds.chance))
    mean = float(moves.mean())
    variation = SeriesVariation(
        float(moves.var(ddof=1)) - chance, chance, len(moves), beside=beside,
        values=tuple((moves - mean).tolist()), days=days,
    )  # fmt: skip
    shared = max(float(variation.variance), 0.0)
    taken = odds.gain(moves)
    far = (FAR * float(taken.mean()) * shared / (shared + chance)) ** 2
    rest = float((values + taken).var(ddof=1))
    part = far**2 / max(far**2 + rest**2, TINY)  # In between both are paid for: it is steep.
    return Moves(whole, variation, mean, part)


def joined(some: Sequence[Odds]) -> Odds:
    """Concatenate sets of rows."""
    return Odds(
        np.concatenate([one.counts for one in some]), np.concatenate([one.rows for one in some])
    )


def _moves(odds: Odds, usual: Odds) -> Numbers:
    """Return the smaller of the share's move and of what scores did not follow, shape (B,)."""
    own = odds.own_move
    left = own - usual.own_move
    moved = own - odds.moved_to(np.broadcast_to(usual.share, own.shape))
    nearer = np.sign(left) * np.minimum(np.abs(left), np.abs(moved))
    return np.asarray(np.where(left * moved > 0.0, nearer, 0.0))
