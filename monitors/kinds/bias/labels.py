"""Checks whether the labels so far are a fair sample of each group's rows.

Recall and specificity are those of labelled rows. Where labels depend on the model's answer, as
with an outcome that comes first, they differ from those of all rows without any change in treatment
(docs/labels.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from driftline.monitors.kinds.bias.metrics import MISSING
from driftline.monitors.results.violation import percent

# Of windows whose labels lack at random, so many wait for more of them, by either side's.
LEVEL = 0.01 / 2
# A share that is off by so much of a standard deviation moves no metric by its tolerance.
LEAST_SHIFT = 0.02

Counts = NDArray[np.int64]


def unfair_labels(now: Counts, before: Counts, who: str, positive: str) -> str:
    """Return how predictions of labelled rows differ from those of all; "" where they do not.

    Where labelled rows are closer to the reference's labelled rows than all rows are, labels come
    as they came there, such as of accepted applications alone. Counts have shape (3, 3): label by
    prediction; `before` are the reference's, 0 where they are not known.
    """
    labelled, missing = now[:MISSING, :MISSING].sum(axis=0), now[MISSING, :MISSING]
    table = np.stack([labelled, missing]).astype(np.float64)
    if not table.sum(axis=0).all() or not table.sum(axis=1).all():
        return ""
    share, of_all = labelled[1] / labelled.sum(), table[:, 1].sum() / table.sum()
    usual = before[:MISSING, :MISSING].sum(axis=0)
    known = usual[1] / usual.sum() if usual.any() else np.inf
    is_off = abs(share - of_all) > LEAST_SHIFT * np.sqrt(of_all * (1.0 - of_all))
    is_usual = abs(share - known) <= abs(of_all - known) and usual.any()
    if not is_off or is_usual or chance_of_table(table) >= LEVEL:
        return ""
    return (
        f"{who}: {percent(float(labelled.sum() / table.sum()))} of the rows have labels, their "
        f'share predicted as "{positive}" is {share:.2g}, of all rows {of_all:.2g}'
    )


def chance_of_table(table: NDArray[np.float64]) -> float:
    """Return the p-value of Pearson's test of a 2 x 2 table, with Yates' correction.

    Same as `scipy.stats.chi2_contingency`, whose import takes half a second and 45 MiB.
    """
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    distance = np.maximum(np.abs(table - expected) - 0.5, 0.0)
    return float(chdtrc(1, (distance**2 / expected).sum()))
