"""The flip test (FT): whether rows of a group are answered as their nearest rows outside it.

Each row of the group is answered anew by its nearest neighbours among the others, by all features.
FT is the share of rows that would win by it less the share that would lose: above 0 the group's
rows are refused where the others' like them are accepted.

References
----------
Amazon SageMaker Developer Guide, "Counterfactual Fliptest (FT)"; smclarify 0.5 for the neighbours
(five, or one of fewer than ten rows; Euclidean), whose own sign is the opposite of the guide's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.formats.coercion import coerce
from driftline.monitors.kinds.bias.counts import answer_signs, facet_codes, known_cells
from driftline.monitors.kinds.bias.metrics import Measured
from driftline.monitors.kinds.bias.plan import Plan
from driftline.roles import Roles

NEIGHBOURS = 5
# Of features that are none, so many are named.
NAMED = 3
NOT_NUMERIC = "features are not numeric"
# Which columns of a window are features, and on which scale they are near, a document does not say.
NEEDS_DATA = "the flip test needs a baseline made from data, with numeric features"
# Of so few others the nearest one answers.
FEW_OTHERS = 10
# Rows of a side, at most: drawn with a seed.
SIDE_ROWS = 2_000
# Draws for its error, and neighbours of which a draw leaves five: one in ten million leaves fewer.
REPLICATES, DRAWN_NEIGHBOURS = 100, 25

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Flip:
    """The flip test of one group."""

    value: float | None = None
    error: float = 0.0  # Standard error, of both sides' rows; 0: not known.
    others: int = 0  # Rows of either side that it rests on.
    group: int = 0
    reason: str = ""  # Why it has no value.

    def limits(self, z: float) -> tuple[float, float] | None:
        """Return its limits at a normal quantile; None where it has no value or no error."""
        if self.value is None or not self.error:
            return None
        half = z * self.error
        return max(self.value - half, -1.0), min(self.value + half, 1.0)


def flip(
    features: Numbers,
    answers: NDArray[np.int64],
    others: Marks,
    group: Marks,
    *,
    like_clarify: bool = False,
) -> Flip:
    """Compare a group with others, each a mask over N rows.

    `features` have shape (N, M), `answers` (N,): 0 negative, 1 positive, 2 missing. Rows without a
    prediction or a feature are left out. Each feature is divided by its standard deviation.
    `like_clarify` uses features unscaled, all rows and smclarify's sign, and gives no error.
    """
    known = (answers < 2) & np.isfinite(features).all(axis=1)
    random = np.random.default_rng(0)
    a, d = (np.flatnonzero(side & known) for side in (others, group))
    if not len(a) or not len(d):
        reason = "no_rows_in_group" if len(a) else "no_rows_outside_group"
        if not (answers < 2).any():
            reason = "no_predictions"
        return Flip(others=len(a), group=len(d), reason=reason)
    if not like_clarify:
        a, d = (_drawn(side, random) for side in (a, d))
        scale = features[known].std(axis=0)
        features = features / np.where(scale > 0, scale, 1.0)
    count = NEIGHBOURS if len(a) >= FEW_OTHERS else 1
    # For the error more of them, of which a draw leaves some out and takes others twice.
    most = count if like_clarify else min(DRAWN_NEIGHBOURS, len(a))
    near, of_others, own = _nearest(features[a], features[d], most), answers[a], answers[d]
    value = float((_votes(of_others[near], np.ones_like(near), count) - own).mean())
    if like_clarify:
        return Flip(0.0 - value, 0.0, len(a), len(d))
    drawn = []
    for _ in range(REPLICATES):
        weights = random.multinomial(len(a), np.full(len(a), 1 / len(a)))
        rows = random.integers(0, len(d), len(d))
        some = near[rows]
        drawn.append((_votes(of_others[some], weights[some], count) - own[rows]).mean())
    return Flip(value, float(np.std(drawn)), len(a), len(d))


def _drawn(rows: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.intp]:
    return rows if len(rows) <= SIDE_ROWS else np.sort(random.choice(rows, SIDE_ROWS, False))


def _nearest(others: Numbers, group: Numbers, count: int) -> NDArray[np.int64]:
    """Return the indices of each row's nearest others, nearest first."""
    # A heavy import that only this test needs; ties are taken as smclarify's are.
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=count).fit(others).kneighbors(group, return_distance=False)
    return np.asarray(found, dtype=np.int64)


def _votes(answers: NDArray[np.int64], weights: NDArray[np.int64], count: int) -> Marks:
    """Return the majority of the nearest rows, each of which may count several times or not."""
    before = np.cumsum(weights, axis=1) - weights
    taken = np.clip(count - before, 0, weights)
    return np.asarray((taken * answers).sum(axis=1) * 2 > taken.sum(axis=1))


def flips_of(
    plan: Plan,
    table: pa.Table | None,
    roles: Roles,
    *,
    like_clarify: bool = False,
) -> list[Flip | None]:
    """Run the flip test for each group of a plan; None where none is asked or possible.

    A limit in analysis.json that cannot be evaluated gets a reason in place of a value.
    """
    if plan.features and plan.not_numeric:
        named = ", ".join(f'"{name}"' for name in plan.not_numeric[:NAMED])
        return [Flip(reason=f"{NOT_NUMERIC}: {named}")] * len(plan.groups)
    if table is None or not plan.tries_flips:
        asked = ((plan.required(group) or {}).get("FT") for group in plan.groups)
        return [None if one is None else Flip(reason=NEEDS_DATA) for one in asked]
    batches = table.combine_chunks().to_batches()
    missing = [name for name in plan.features if name not in table.column_names]
    if missing or not batches:
        reason = f'the data has no feature "{missing[0]}"' if missing and batches else "no_rows"
        return [Flip(reason=reason)] * len(plan.groups)
    [batch] = batches
    columns = [coerce(batch.column(name), "double")[0] for name in plan.features]
    features = np.column_stack([one.to_numpy(zero_copy_only=False) for one in columns])
    answers = answer_signs(batch, roles)
    found: list[Flip | None] = []
    for group in plan.groups:
        texts, codes = facet_codes(batch, group.counted)
        names = known_cells(texts, plan.reference[group.counted].values)
        inside = np.array([*(one in group.values for one in names), False])[codes]
        others = (codes < len(texts)) & ~inside
        found.append(flip(features, answers, others, inside, like_clarify=like_clarify))
    return found


def with_flip(measured: dict[str, Measured], flip: Flip | None) -> dict[str, Measured]:
    """Add the flip test, where it was run."""
    return measured if flip is None else measured | {"FT": Measured(flip.value, flip.reason)}
