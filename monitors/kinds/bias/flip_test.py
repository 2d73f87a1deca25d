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

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.monitors.kinds.bias.counts import facet_codes, predicted_signs, read_numbers
from driftline.monitors.kinds.bias.metrics import MISSING, GroupMetric
from driftline.monitors.kinds.bias.plan import Plan
from driftline.roles import Roles

FT = "FT"
# Of so few others the nearest one answers.
NEIGHBOURS, FEW_OTHERS = 5, 10
# Of features that are none, so many are named.
NAMED = 3
NOT_NUMERIC = "features are not numeric"
# Which columns of a window are features, and on which scale they are near, a document does not say.
NEEDS_DATA = "the flip test needs a baseline made from data, with numeric features"
# Rows of a side, at most: drawn with a seed.
SIDE_ROWS = 2_000

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]


def flip(
    features: Numbers,
    answers: NDArray[np.int64],
    others: Marks,
    group: Marks,
    *,
    like_clarify: bool = False,
) -> GroupMetric:
    """Compare a group with others, each a mask over N rows.

    `features` have shape (N, M), `answers` (N,): 0 negative, 1 positive, 2 missing. Rows without a
    prediction or a feature are left out. Each feature is divided by its standard deviation.
    `like_clarify` uses features unscaled, all rows and smclarify's sign.
    """
    # A heavy import that only this test needs; ties are taken as smclarify's are.
    from sklearn.neighbors import KNeighborsClassifier

    known = (answers < MISSING) & np.isfinite(features).all(axis=1)
    a, d = (np.flatnonzero(side & known) for side in (others, group))
    if not len(a) or not len(d):
        reason = "no_rows_in_group" if len(a) else "no_rows_outside_group"
        return GroupMetric(None, reason if (answers < MISSING).any() else "no_predictions")
    if not like_clarify:
        random = np.random.default_rng(0)
        a, d = (
            side if len(side) <= SIDE_ROWS else np.sort(random.choice(side, SIDE_ROWS, False))
            for side in (a, d)
        )
        scale = features[known].std(axis=0)
        features = features / np.where(scale > 0, scale, 1.0)
    model = KNeighborsClassifier(NEIGHBOURS if len(a) >= FEW_OTHERS else 1)
    by_others = model.fit(features[a], answers[a]).predict(features[d])
    gain = float((by_others - answers[d]).mean())
    return GroupMetric(0.0 - gain if like_clarify else gain)


def flips_of(
    plan: Plan, table: pa.Table | None, roles: Roles, *, like_clarify: bool = False
) -> list[dict[str, GroupMetric]]:
    """Run the flip test for each group of a plan: by its name, nothing where none is possible.

    A limit in analysis.json that cannot be evaluated gets a reason in place of a value.
    """
    if plan.features and plan.not_numeric:
        named = ", ".join(f'"{name}"' for name in plan.not_numeric[:NAMED])
        return [{FT: GroupMetric(None, f"{NOT_NUMERIC}: {named}")}] * len(plan.groups)
    if table is None or not plan.tries_flips:
        asked = ((plan.required(group) or {}).get(FT) for group in plan.groups)
        return [{} if one is None else {FT: GroupMetric(None, NEEDS_DATA)} for one in asked]
    if missing := [name for name in plan.features if name not in table.column_names]:
        reason = f'the data has no feature "{missing[0]}"' if len(table) else "no_rows"
        return [{FT: GroupMetric(None, reason)}] * len(plan.groups)
    features = np.column_stack([read_numbers(table, name) for name in plan.features])
    answers = predicted_signs(table, roles)
    found = []
    for group in plan.groups:
        values, cell = facet_codes(table, group.counted, plan.reference[group.counted].values)
        inside = np.array([*(one in group.values for one in values), False])[cell]
        others = (cell < len(values)) & ~inside
        found.append({FT: flip(features, answers, others, inside, like_clarify=like_clarify)})
    return found
