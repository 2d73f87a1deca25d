"""Columns that others are judged given: which of their values are told apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.cells import Cells

# More groups would explain what they only accompany.
CONTEXT_GROUPS = 12
BASE = -1


def context_groups(cells: Cells, counts: NDArray[np.int64] | NDArray[np.float64]) -> list[int]:
    """Return the group of each cell of a column that others are judged given.

    Numbers are grouped with their neighbours, about as many rows in each; of other values the
    most frequent stand alone, and those that are left are one group. `BASE` is the most frequent
    group, with which the others are compared, and whatever the reference does not have.

    Parameters
    ----------
    cells, counts
        Of the column, and the reference's rows in each, shape (C,).
    """
    total = counts.sum()
    if cells.is_number:
        middle = np.cumsum(counts) - counts / 2
        groups = np.floor(middle * CONTEXT_GROUPS / max(total, 1))
        # What is no number is like none of them.
        groups[-2:] = [CONTEXT_GROUPS, CONTEXT_GROUPS + 1]
    else:
        groups = np.full(counts.size, float(CONTEXT_GROUPS))
        order = np.argsort(-counts, kind="stable")[:CONTEXT_GROUPS]
        groups[order] = np.arange(order.size)
    is_known = counts > 0
    names, found = np.unique(groups[is_known], return_inverse=True)
    rows = np.bincount(found, weights=counts[is_known], minlength=names.size)
    places = np.full(counts.size, BASE)
    if names.size:
        base = int(np.argmax(rows))
        places[is_known] = np.where(found == base, BASE, found - (found > base))
    return [int(one) for one in places]


def group_members(groups: list[int]) -> NDArray[np.float64]:
    """Return which cells each group holds, as 0 or 1, shape (C, G); `BASE` is none of them."""
    return np.asarray(np.array(groups)[:, None] == np.arange(max(groups, default=BASE) + 1), float)
