"""Tests whether a classifier can tell the window's rows from the reference's (C2ST, by its AUC).

It finds changes of any form, and the columns behind them, but it also tells Monday from Sunday. So
a window's AUC is compared with those of the reference's own blocks, rows and days weighed apart
(`BlockVariation`). Without blocks rows count as independent, and Hoeffding's inequality bounds the
chance at any level.

References
----------
Lopez-Paz and Oquab, ICLR 2017 (classifier two-sample tests); Hoeffding, JASA 58, 1963, section 5b
(two-sample U-statistics); Hanley and McNeil, Radiology 143, 1982 (error of an AUC);
Newcombe, Statistics in Medicine 25, 2006 (its interval).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from driftline.one_thread import on_one_thread
from driftline.stats.blocks import variation_of_estimates, variation_of_means
from driftline.stats.intervals import auc_limits

Features = NDArray[np.float32]
Aucs = NDArray[np.float64]
# Returns what follows from a baseline and a key, made once for many windows.
Keep = Callable[[tuple[Hashable, ...], Callable[[], Aucs]], Aucs]

# Rows of the window that are looked at, and blocks of the reference that are told from the rest:
# about a second for 25 columns. Of wider tables fewer blocks, so many columns in all.
ROWS_MAX = 8_000
BLOCKS_MAX, BLOCKS_LEAST, BLOCK_COLUMNS = 24, 8, 600
FEWEST_ROWS = 200
# Blocks of the reference with fewer sampled rows, as those of a reference of years, tell nothing.
FEWEST_OF_BLOCK = 100
FEWEST_BLOCKS = 4
# Consecutive rows that stay together on one side of the split.
CHUNKS = 10
# An AUC may lie so much above what is usual.
TOLERANCE = 0.02
# AUCs beyond are taken as this: of what is told apart nearly always no more can be said.
NEARLY_ONE = 0.99
# Columns whose part in it is measured, and how many are named.
MEASURED_MAX = 100
NAMED = 3
TREES = 40
# A classifier learns from so many times the reference rows as of the window's.
BESIDE = 4
# Variance of a rank among many rows, 0-1.
ROW = 1.0 / 12.0


@dataclass(frozen=True, slots=True)
class Domain:
    """How well held-out rows of window and reference are told apart."""

    auc: float  # 0.5 when not told apart at all, with its 95% interval.
    low: float
    high: float
    usual: float  # Mean AUC of the reference's blocks; 0.5 without blocks.
    bound: float
    p_value: float
    evidence: float  # -ln of the p-value, and of the one at which a violation begins.
    needed: float
    # Blocks of the reference that were told from the rest; 0 when rows count as independent.
    blocks: int
    row_count: int  # Of the window, of those that were looked at.
    # With the loss of AUC when the column is shuffled; most first.
    columns: tuple[tuple[str, float], ...]

    @property
    def drifted(self) -> bool:
        """Whether the window is told apart better than expected."""
        return self.auc > self.bound


def judge_domain(
    names: tuple[str, ...],
    reference: Features,
    window: Features,
    blocks: NDArray[np.int64],
    *,
    alpha: float,
    seed: int = 0,
    keep: Keep = lambda _, make: make(),
) -> Domain | None:
    """Judge a window.

    Parameters
    ----------
    names
        Of the features.
    reference, window
        Shape (n, features), NaN where there is no value; rows in order of time.
    blocks
        Blocks of the reference's rows, as `sample_blocks` gives them.
    alpha
        Chance of a false violation.
    seed
        Of the choice of rows, the classifier and the shuffles.
    keep
        Where the AUCs of the reference's blocks are kept for other windows, as
        `CheckContext.kept`; they cost ten times what a window's own classifiers do.

    Returns
    -------
    Domain or None
        None with fewer than 200 rows on either side, or 100 in a usual block.
    """
    if min(len(reference), len(window)) < FEWEST_ROWS or not names:
        return None
    random = np.random.default_rng(seed)
    if len(np.unique(blocks[blocks >= 0])) >= FEWEST_BLOCKS:
        return _by_blocks(names, reference, window, blocks, alpha, seed, keep)
    size = min(len(reference), len(window), ROWS_MAX)
    ours, theirs = _some(len(reference), size, random), _some(len(window), size, random)
    rows = reference[ours], window[theirs]
    trial = _Trial.of(*rows, (_halves(size), _halves(size)), random)
    # P(AUC - 1/2 >= t) <= exp(-2 k t^2), k pairs without a row in common.
    reach = math.sqrt(math.log(1.0 / alpha) / (2.0 * min(trial.sizes)))
    excess = max(0.0, trial.auc - 0.5 - TOLERANCE)
    nats = 2.0 * min(trial.sizes) * excess**2
    return _domain(names, [trial], random, 0.5, 0.5 + TOLERANCE + reach, nats, alpha, 0, size)


def _by_blocks(
    names: tuple[str, ...],
    reference: Features,
    window: Features,
    blocks: NDArray[np.int64],
    alpha: float,
    seed: int,
    keep: Keep,
) -> Domain | None:
    """Compare with the reference's own blocks; two tests must agree.

    The window's classifier ranks the blocks' rows, too: their means show how blocks differ in that
    direction, but it is the window's own. And other classifiers tell blocks from the rest, in any
    direction.
    """
    known, counts = np.unique(blocks[blocks >= 0], return_counts=True)
    large = known[counts >= min(FEWEST_ROWS, float(np.median(counts)))]
    most = min(BLOCKS_MAX, max(BLOCKS_LEAST, BLOCK_COLUMNS // len(names)))
    chosen = large[np.unique(np.linspace(0, len(large) - 1, most).round().astype(int))]
    usual_size = int(np.median(np.bincount(blocks[blocks >= 0])[chosen]))
    if usual_size < FEWEST_OF_BLOCK:
        return None
    size = min(len(window), usual_size, ROWS_MAX)
    digests = [hashlib.blake2b(one.tobytes()).digest() for one in (reference, blocks)]
    others = keep(
        ("domain blocks", *digests, len(names), size, seed),
        partial(_block_aucs, reference, blocks, chosen, size, np.random.default_rng((seed, 1))),
    )
    random = np.random.default_rng(seed)
    theirs = _some(len(window), ROWS_MAX, random)
    trials = _trials(reference, window[theirs], random)
    auc = _auc_of(trials)
    usual = float(np.mean(others))
    centre = max(usual, 0.5) + TOLERANCE
    # As the blocks' own: where each day has a text of its own, all are told apart, and none is odd.
    distance = min(auc, NEARLY_ONE) - centre
    # Each half is told apart by what the other has learned, and both may have learned the same by
    # chance: of two trials no more is certain than of one.
    own, chance = _by_rows(len(theirs), len(reference)), _by_rows(size, BESIDE * size)
    ranks = np.empty(len(reference))
    for one in trials:
        ranks[one.held] = one.ranks
    laws = (
        variation_of_means(ranks, blocks),
        variation_of_estimates(others, np.full(len(others), chance)),
    )
    nats = min(float(law.nats(distance, own)) for law in laws)
    bound = centre + max(law.reach(alpha, own) for law in laws)
    bound = bound if bound < NEARLY_ONE else 1.0
    return _domain(names, trials, random, usual, bound, nats, alpha, len(others), len(theirs))


def _by_rows(window: int, reference: int) -> float:
    """Return the variance of an AUC without drift, with half of either side held out."""
    return 2.0 * ROW * (1.0 / window + 1.0 / reference)


def _block_aucs(
    reference: Features,
    blocks: NDArray[np.int64],
    chosen: NDArray[np.int64],
    size: int,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Separate each chosen block of the reference from the rest by a classifier of its own."""
    found = []
    for block in chosen.tolist():
        inside, rest = np.flatnonzero(blocks == block), np.flatnonzero(blocks != block)
        rest = rest[_some(len(rest), BESIDE * size, random)]
        inside = inside[_some(len(inside), size, random)]
        halves = _halves(len(rest)), _halves(len(inside))
        found.append(_Trial.of(reference[rest], reference[inside], halves, random).auc)
    return np.asarray(found)


def _domain(
    names: tuple[str, ...],
    trials: Sequence[_Trial],
    random: np.random.Generator,
    usual: float,
    bound: float,
    nats: float,
    alpha: float,
    blocks: int,
    rows: int,
) -> Domain:
    auc = _auc_of(trials)
    low, high = auc_limits(auc, trials[0].sizes)
    return Domain(
        auc=auc,
        low=low,
        high=high,
        usual=usual,
        bound=bound,
        p_value=min(1.0, math.exp(-nats)),
        evidence=nats,
        needed=-math.log(alpha),
        blocks=blocks,
        row_count=rows,
        columns=trials[0].reasons(names, random) if auc > bound else (),
    )


class _Trial:
    """One classifier, fitted on some rows and tested on others."""

    def __init__(
        self, model: object, held: NDArray[np.intp], reference: Features, window: Features
    ) -> None:
        self._model, self.held = model, held
        self._reference, self._window = reference, window
        scores = self._scores(reference)
        self._sorted = np.sort(scores)
        # Of each reference row that was asked about among all of them, 0-1.
        self.ranks = self._ranks_of(scores)
        self.auc = float(self._ranks_of(self._scores(window)).mean())
        self.sizes = len(reference), len(window)

    @classmethod
    def of(
        cls,
        reference: Features,
        window: Features,
        halves: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        random: np.random.Generator,
    ) -> _Trial:
        """Fit on these rows of either side, and hold out the others."""
        # A heavy package that only this question needs.
        from sklearn.ensemble import HistGradientBoostingClassifier

        ours, theirs = halves
        shown = np.flatnonzero(ours)
        shown = shown[_some(len(shown), BESIDE * int(theirs.sum()), random)]
        fitted = np.vstack([reference[shown], window[theirs]])
        is_window = np.repeat([False, True], [len(shown), int(theirs.sum())])
        model = HistGradientBoostingClassifier(
            max_iter=TREES,
            max_leaf_nodes=15,
            learning_rate=0.2,
            early_stopping=False,
            class_weight="balanced",
            random_state=int(random.integers(1 << 31)),
        )
        with on_one_thread():
            model.fit(fitted, is_window)
        return cls(model, np.flatnonzero(~ours), reference[~ours], window[~theirs])

    def _scores(self, features: Features) -> NDArray[np.float64]:
        with on_one_thread():
            found = self._model.predict_proba(features)[:, 1]  # type: ignore[attr-defined] # Untyped.
        return np.asarray(found)

    def _ranks_of(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of the reference's rows with a lower score; equal ones count half."""
        below = np.searchsorted(self._sorted, scores, "left")
        upto = np.searchsorted(self._sorted, scores, "right")
        return np.asarray((below + upto) / (2.0 * len(self._sorted)))

    def reasons(
        self, names: tuple[str, ...], random: np.random.Generator
    ) -> tuple[tuple[str, float], ...]:
        """Permute one column after the other among all rows; return the loss of AUC."""
        some = _some(len(self._reference), len(self._window), random)
        held, reference = self.held[some], self._reference[some]
        whole = _Trial(self._model, held, reference, self._window).auc
        losses, rows = [], np.vstack([reference, self._window])
        for place, name in enumerate(names[:MEASURED_MAX]):
            changed = rows.copy()
            random.shuffle(changed[:, place])
            again = _Trial(self._model, held, changed[: len(some)], changed[len(some) :])
            losses.append((name, whole - again.auc))
        ranked = sorted(losses, key=lambda pair: (-pair[1], pair[0]))
        return tuple((name, loss) for name, loss in ranked[:NAMED] if loss > 0)


def _trials(reference: Features, window: Features, random: np.random.Generator) -> list[_Trial]:
    """Fit on every second part of either side and test on the others, then the reverse."""
    ours, theirs = _halves(len(reference)), _halves(len(window))
    ways = (ours, theirs), (~ours, ~theirs)
    return [_Trial.of(reference, window, halves, random) for halves in ways]


def _auc_of(trials: Sequence[_Trial]) -> float:
    """Return the AUC over all tested rows, each ranked within its trial."""
    rows = [one.sizes[1] for one in trials]
    return float(np.average([one.auc for one in trials], weights=rows))


def _some(rows: int, size: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Choose rows without order among them being lost."""
    if rows <= size:
        return np.arange(rows)
    return np.sort(random.choice(rows, size, replace=False))


def _halves(rows: int) -> NDArray[np.bool_]:
    """Mark every second of ten parts, so that neighbours are seldom separated."""
    return np.asarray(np.arange(rows) * CHUNKS // max(rows, 1) % 2 == 0)
