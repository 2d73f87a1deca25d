"""In how many rows at once rare things come: sessions and retries repeat what one of them has.

A reference of independent rows has the counts of its rare cells vary by chance from hour to hour;
where rows come in groups that share their values, they vary by the size of a group more, however
rare the cell is. So that is how many rows count as one outlier. Without times, stretches of the
sample in the order of the data take the place of hours.

References
----------
Kish, Survey Sampling, 1965 (design effect); drift-methods.md section 6.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.store import Baseline

# Cells that hold at most this share of the rows are rare.
RARE_SHARE = 0.02
# With fewer blocks of the window's length shorter ones are taken.
WANTED_BLOCKS = 28
STRETCHES = 50
# Data that were sorted look like one group: never are more rows than these taken for one.
LARGEST = 100.0
# Deviations by which stretches of a sample must vary more than chance has them.
CLEAR = 3.0


def cluster_size(baseline: Baseline, columns: Sequence[str], length: timedelta) -> float:
    """Give how many times more the counts of rare cells vary than those of independent rows.

    Parameters
    ----------
    columns
        The columns that are looked at; the one whose rare cells vary most counts.
    length
        The window's, a whole number of hours.

    Returns
    -------
    float
        From 1 to 100; 1 where nothing is known.
    """
    if baseline.blocks is not None and len(baseline.blocks.hours):
        hours = int(baseline.blocks.hours[-1] - baseline.blocks.hours[0]) + 1
        most = max(1, hours // WANTED_BLOCKS)
        long = timedelta(hours=max(1, min(length // timedelta(hours=1), most)))
        blocks = baseline.blocks.blocks(long)
        found = [_dispersion(blocks[name])[0] for name in columns if name in blocks]
    else:
        found = _of_sample(baseline, columns)
    return min(max([1.0, *found]), LARGEST)


def _of_sample(baseline: Baseline, columns: Sequence[str]) -> list[float]:
    """Measure stretches of the sample; of a group only as many rows are there as were drawn."""
    sample, found = baseline.sample, []
    if sample is None or len(sample) < STRETCHES:
        return []
    stretch = np.arange(len(sample)) * STRETCHES // len(sample)
    for name in columns:
        size = baseline.cells[name].size
        flat = np.bincount(stretch * size + sample.codes[name], minlength=STRETCHES * size)
        effect, error = _dispersion(flat.reshape(STRETCHES, size))
        if effect > 1 + CLEAR * error:
            found.append(1 + (effect - 1) * sample.row_count / len(sample))
    return found


def _dispersion(counts: NDArray[np.integer]) -> tuple[float, float]:
    """Give chi-squared of the rare cells over its degrees of freedom, and how far 1 is by chance.

    Parameters
    ----------
    counts
        Shape (blocks, cells).
    """
    rows, held = counts.sum(axis=1, keepdims=True), counts.sum(axis=0)
    share = held / max(float(held.sum()), 1.0)
    rare = (held > 0) & (share <= RARE_SHARE)
    freedom = (np.count_nonzero(rows) - 1) * np.count_nonzero(rare)
    if freedom < 1:
        return 1.0, 0.0
    expected = np.maximum(rows * share[rare], np.finfo(np.float64).tiny)
    found = float(np.sum((counts[:, rare] - rows * share[rare]) ** 2 / expected)) / freedom
    return found, math.sqrt(2.0 / freedom)
