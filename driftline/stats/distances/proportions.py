"""Shares of rows: without a value, and of a level never seen, by counts (docs/distances.md)."""

from __future__ import annotations

import numpy as np

from driftline.stats.distances.counts import EmptyDistributionError
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.sample import Sample

NOT_KEPT = "a profile does not keep how many values are new; compare the rows themselves"


def missing(reference: Sample, window: Sample) -> Distance:
    """Measure the difference of the shares of rows without a value (null, NaN, empty text).

    Returns
    -------
    Distance
        A share, 0-1, not signed; both shares stand in the note.

    Raises
    ------
    EmptyDistributionError
        When a side holds no rows.
    """
    if min(reference.row_count, window.row_count) <= 0:
        raise EmptyDistributionError("missing of no rows; expected rows on both sides")
    before = reference.missing_count / reference.row_count
    now = window.missing_count / window.row_count
    note = f"{now:.3g} of the rows, {before:.3g} in the reference"
    return Distance("missing", abs(now - before), "share", note)


def unseen(reference: Sample, window: Sample) -> Distance:
    """Measure the share of the window's values that the reference never held, 0-1.

    Without a change a share of about f / n is new, f being the values that the reference holds
    once.

    References
    ----------
    Good, Biometrika 40, 1953; docs/reference/statistics.md, "Unseen values".
    """
    first, second = reference.levels, window.levels
    if first is None or second is None or not first.count or not second.count:
        raise EmptyDistributionError("unseen of no values; expected some on both sides")
    if first.error or second.error:
        return Distance("unseen", None, "share", NOT_KEPT)
    is_seen = np.isin(second.codes, first.codes)
    count, once = int(second.counts[~is_seen].sum()), int((first.counts == 1).sum())
    note = f"about {once / first.count:.3g} is new without a change (Good-Turing)"
    return Distance("unseen", count / second.count, "share", note)
