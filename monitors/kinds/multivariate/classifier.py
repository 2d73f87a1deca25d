"""Whether a classifier can tell the window's rows from the reference's (C2ST, by its AUC).

It finds changes of any form, and says by which columns it found them. It also finds that Monday is
no Sunday: every stretch of the reference differs from all others. So a window's AUC is compared
with the AUC of the reference's own blocks, each told from the rest in the same way with as many
rows. Without blocks rows count as independent, and Hoeffding's inequality bounds the chance at any
level.

References
----------
Lopez-Paz and Oquab, ICLR 2017 (classifier two-sample tests); Hoeffding, JASA 58, 1963, section 5b
(two-sample U-statistics); Hanley and McNeil, Radiology 143, 1982 (error of an AUC);
Newcombe, Statistics in Medicine 25, 2006 (its interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # Has no types.

from driftline.stats.blocks import BlockVariation
from driftline.stats.intervals import auc_limits

Features = NDArray[np.float32]

# Rows of either side, and blocks of the reference that are told from the rest: about a second each
# way for 25 columns.
ROWS_MAX = 8_000
BLOCKS_MAX = 8
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


@dataclass(frozen=True, slots=True)
class Domain:
    """How well window and reference are told apart on rows that were held out."""

    auc: float  # 0.5 when not told apart at all, with its 95% interval.
    low: float
    high: float
    usual: float  # Mean AUC of the reference's blocks; 0.5 without blocks.
    bound: float
    p_value: float
    evidence: float  # -ln of the p-value, and of the one at which a violation begins.
    needed: float
    blocks: int  # Blocks of the reference; 0 when rows count as independent.
    row_count: int
    # With the loss of AUC when the column is shuffled; most first.
    columns: tuple[tuple[str, float], ...]

    @property
    def drifted(self) -> bool:
        """Whether the window is told apart better than is usual."""
        return self.auc > self.bound


def judge_domain(
    names: tuple[str, ...],
    reference: Features,
    window: Features,
    blocks: NDArray[np.int64],
    *,
    alpha: float,
    seed: int = 0,
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

    Returns
    -------
    Domain or None
        None with fewer than 200 rows on either side, or 100 in a usual block.
    """
    if min(len(reference), len(window)) < FEWEST_ROWS or not names:
        return None
    random = np.random.default_rng(seed)
    known = np.unique(blocks[blocks >= 0])
    if len(known) >= FEWEST_BLOCKS:
        return _by_blocks(names, reference, window, blocks, alpha, random)
    size = min(len(reference), len(window), ROWS_MAX)
    ours, theirs = _some(len(reference), size, random), _some(len(window), size, random)
    trial = _Trial.of(reference[ours], window[theirs], random)
    tested = min(trial.sizes)
    # P(AUC - 1/2 >= t) <= exp(-2 k t^2), k pairs without a row in common.
    reach = math.sqrt(math.log(1.0 / alpha) / (2.0 * tested))
    excess = max(0.0, trial.auc - 0.5 - TOLERANCE)
    nats = 2.0 * tested * excess**2
    return _domain(names, trial, random, 0.5, 0.5 + TOLERANCE + reach, nats, alpha, 0, len(theirs))


def _by_blocks(
    names: tuple[str, ...],
    reference: Features,
    window: Features,
    blocks: NDArray[np.int64],
    alpha: float,
    random: np.random.Generator,
) -> Domain | None:
    """Compare with the AUC that the reference's own blocks reach."""
    known, counts = np.unique(blocks[blocks >= 0], return_counts=True)
    large = known[counts >= min(FEWEST_ROWS, float(np.median(counts)))]
    places = np.unique(np.linspace(0, len(large) - 1, BLOCKS_MAX).round().astype(int))
    chosen = large[places]
    usual_size = int(np.median(np.bincount(blocks[blocks >= 0])[chosen]))
    if usual_size < FEWEST_OF_BLOCK:
        return None
    size = min(len(window), usual_size, ROWS_MAX)
    others = []
    for block in chosen.tolist():
        inside, rest = np.flatnonzero(blocks == block), np.flatnonzero(blocks != block)
        trial = _Trial.of(
            reference[rest[_some(len(rest), 4 * size, random)]],
            reference[inside[_some(len(inside), size, random)]],
            random,
        )
        others.append(trial.auc)
    ours, theirs = _some(len(reference), 4 * size, random), _some(len(window), size, random)
    trial = _Trial.of(reference[ours], window[theirs], random)
    scale = special.logit(np.clip(others, 1 - NEARLY_ONE, NEARLY_ONE))
    # With few blocks their spread may come out small by chance: never under that of ranks alone.
    chance = 4.0 * math.sqrt((sum(trial.sizes) + 1) / (12.0 * math.prod(trial.sizes)))
    among = max(float(scale.std(ddof=1)), chance)
    spread = math.sqrt(BlockVariation(among**2, blocks=len(others)).added)
    centre = float(special.logit(min(special.expit(scale.mean()) + TOLERANCE, NEARLY_ONE)))
    # As the blocks' own: where each day has a text of its own, all are told apart, and none is odd.
    now = float(special.logit(np.clip(trial.auc, 1 - NEARLY_ONE, NEARLY_ONE)))
    freedom = len(others) - 1
    nats = -float(stats.t.logsf((now - centre) / spread, freedom))
    bound = float(special.expit(centre + spread * stats.t.isf(alpha, freedom)))
    bound = bound if bound < NEARLY_ONE else 1.0
    usual = float(special.expit(scale.mean()))
    return _domain(names, trial, random, usual, bound, nats, alpha, len(others), len(theirs))


def _domain(
    names: tuple[str, ...],
    trial: _Trial,
    random: np.random.Generator,
    usual: float,
    bound: float,
    nats: float,
    alpha: float,
    blocks: int,
    rows: int,
) -> Domain:
    low, high = auc_limits(trial.auc, trial.sizes)
    return Domain(
        auc=trial.auc,
        low=low,
        high=high,
        usual=usual,
        bound=bound,
        p_value=min(1.0, math.exp(-nats)),
        evidence=nats,
        needed=-math.log(alpha),
        blocks=blocks,
        row_count=rows,
        columns=trial.reasons(names, random) if trial.auc > bound else (),
    )


class _Trial:
    """One classifier, fitted on half of the rows and asked about the others."""

    def __init__(self, model: object, features: Features, is_window: NDArray[np.bool_]) -> None:
        self._model, self._features, self._is_window = model, features, is_window
        self.auc = self._auc(features)
        window = int(is_window.sum())
        self.sizes = (len(is_window) - window, window)

    @classmethod
    def of(cls, reference: Features, window: Features, random: np.random.Generator) -> _Trial:
        """Fit on every second stretch of either side, and keep the others to ask about."""
        # A heavy package that only this question needs.
        from sklearn.ensemble import HistGradientBoostingClassifier

        ours, theirs = _halves(len(reference)), _halves(len(window))
        fitted = np.vstack([reference[ours], window[theirs]])
        is_window = np.repeat([False, True], [int(ours.sum()), int(theirs.sum())])
        model = HistGradientBoostingClassifier(
            max_iter=TREES,
            max_leaf_nodes=15,
            learning_rate=0.2,
            early_stopping=False,
            class_weight="balanced",
            random_state=int(random.integers(1 << 31)),
        )
        with threadpool_limits(1):  # Threads that wait for each other cost more than such rows.
            model.fit(fitted, is_window)
        held = np.vstack([reference[~ours], window[~theirs]])
        is_held = np.repeat([False, True], [int((~ours).sum()), int((~theirs).sum())])
        return cls(model, held, is_held)

    def _auc(self, features: Features) -> float:
        with threadpool_limits(1):
            found = self._model.predict_proba(features)[:, 1]  # type: ignore[attr-defined] # Untyped.
        ranks = stats.rankdata(found)
        window = int(self._is_window.sum())
        above = ranks[self._is_window].sum() - window * (window + 1) / 2
        return float(above / (window * (len(ranks) - window)))

    def reasons(
        self, names: tuple[str, ...], random: np.random.Generator
    ) -> tuple[tuple[str, float], ...]:
        """Shuffle one column after the other, and see how much of the AUC is lost."""
        losses = []
        for place, name in enumerate(names[:MEASURED_MAX]):
            changed = self._features.copy()
            random.shuffle(changed[:, place])
            losses.append((name, self.auc - self._auc(changed)))
        ranked = sorted(losses, key=lambda pair: (-pair[1], pair[0]))
        return tuple((name, loss) for name, loss in ranked[:NAMED] if loss > 0)


def _some(rows: int, size: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Choose rows without order among them being lost."""
    if rows <= size:
        return np.arange(rows)
    return np.sort(random.choice(rows, size, replace=False))


def _halves(rows: int) -> NDArray[np.bool_]:
    """Mark every second of ten stretches, so that neighbours are seldom parted."""
    return np.asarray(np.arange(rows) * CHUNKS // max(rows, 1) % 2 == 0)
