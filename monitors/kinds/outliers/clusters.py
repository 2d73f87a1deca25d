"""How many rows of a reference hang together, as those of a session do: they count as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.store import Baseline
from driftline.stats.blocks import dispersion

# Cells that hold at most this share of the rows are rare.
RARE_SHARE = 0.02
# With fewer days shorter blocks are taken.
WANTED_BLOCKS = 28
STRETCHES = 50
# Data that were sorted look like one group: never are more rows than these taken for one.
LARGEST = 100.0
# Deviations by which stretches of a sample must vary more than chance has them.
CLEAR = 3.0


def cluster_size(baseline: Baseline, columns: Sequence[str]) -> float:
    """Return the design effect of counts of rare cells."""
    if baseline.blocks is not None and len(baseline.blocks.hours):
        hours = int(baseline.blocks.hours[-1] - baseline.blocks.hours[0]) + 1
        long = timedelta(hours=max(1, min(24, hours // WANTED_BLOCKS)))
        blocks = baseline.blocks.blocks(long)
        found = [_dispersion(blocks[name])[0] for name in columns if name in blocks]
    else:
        found = _of_sample(baseline, columns)
    return min(max([1.0, *found]), LARGEST)


def _of_sample(baseline: Baseline, columns: Sequence[str]) -> list[float]:
    """Measure parts of the sample; a group only has its sampled rows."""
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
    """Return the design effect of rare cells, and its error by chance."""
    rows = counts.sum(axis=1).astype(np.float64)
    counts, rows = counts[rows > 0], rows[rows > 0]
    total = counts.sum(axis=0)
    rare = (total > 0) & (total <= RARE_SHARE * max(float(total.sum()), 1.0))
    freedom = (len(rows) - 1) * np.count_nonzero(rare)
    if freedom < 1:
        return 1.0, 0.0
    found = dispersion(counts[:, rare].astype(np.float64), rows, binomial=False)
    return float(found.mean()), math.sqrt(2.0 / freedom)
