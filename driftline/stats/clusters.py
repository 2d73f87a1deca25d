"""Rows that may share their fate: those of one day, hour or minute."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftline.stats.blocks import DAY_US, HOUR_US, NO_TIME

# Spans whose rows may share their fate, longest first.
CLUSTER_SPANS = (DAY_US, HOUR_US, 60_000_000)
# So many clusters give intervals that can be believed (Cameron and Miller, Journal of Human
# Resources 50, 2015); a decision rather takes few of the longest, and Student's t for so few.
SHOWN_CLUSTERS, DECIDING_CLUSTERS = 20, 5


def cluster_rows(
    time_us: NDArray[np.int64] | None, *, least: int = SHOWN_CLUSTERS
) -> NDArray[np.intp] | None:
    """Put rows of one day, hour or minute into one cluster: the longest span with enough of them.

    From times in microseconds since 1970, shape (rows,), `NO_TIME` where unknown, each row's
    cluster, 0 ..., of the same shape; None without times. `least` clusters are enough. Rows
    without a time are dealt to the clusters in turn.

    References
    ----------
    Cameron and Miller, Journal of Human Resources 50, 2015 (how many clusters are enough).
    """
    if time_us is None:
        return None
    known = time_us != NO_TIME
    for span in CLUSTER_SPANS:
        # Numbered without holes, so that counting by cluster needs no room for empty ones.
        places, dense = np.unique(time_us[known] // span, return_inverse=True)
        if len(places) >= least:
            codes = np.empty(len(time_us), np.intp)
            codes[known] = dense
            # They vary as rows by themselves do, and neither make a cluster nor swell one.
            codes[~known] = np.arange(len(codes) - len(dense)) % len(places)
            return codes
    return None
