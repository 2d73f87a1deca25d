"""Both sides' rows on common bins: the baseline's cells, equal parts of the reference, levels.

References
----------
docs/distances.md, "Binned".
"""

from __future__ import annotations

import numpy as np

from driftline.stats.distances.counts import Counts, EmptyDistributionError
from driftline.stats.distances.sample import Levels, Numbers, Sample

# Equal parts of the reference's numbers; a value with as large a share is a bin of its own.
BINS = 20


# Rows per bin of the reference and of the window, those that hold a value; shapes (K,).
Bins = tuple[Counts, Counts]


def bins_of(reference: Sample, window: Sample) -> Bins:
    """Count two sides of a kind on common bins, exactly where it can be.

    Numbers are counted on the baseline's cells if both were counted on the same; else on 20 equal
    parts of the reference. Levels are counted one by one; where a profile has too many to list
    them, on the baseline's cells, or the listed ones beside one bin for all others.

    Raises
    ------
    EmptyDistributionError
        When a side holds no value.
    """
    bins: Bins | None = None
    if reference.numbers is not None and window.numbers is not None:
        bins = _on_cells(reference, window)
        bins = bins or _in_parts(reference.numbers, window.numbers)
    elif reference.levels is not None and window.levels is not None:
        first, second = reference.levels, window.levels
        exact = first.error == 0 and second.error == 0
        bins = None if exact else _on_cells(reference, window)
        bins = bins or _by_level(first, second)
    if bins is None or not all(side.sum() > 0 for side in bins):
        raise EmptyDistributionError("distance of no values; expected some on both sides")
    return bins


def _on_cells(reference: Sample, window: Sample) -> Bins | None:
    """Return the counts on the same cells; None where they were counted on others."""
    first, second = reference.cells, window.cells
    if first is None or second is None or first.id != second.id:
        return None
    return (first.counts, second.counts)


def _in_parts(reference: Numbers, window: Numbers) -> Bins:
    """Cut numbers into equal parts of the reference."""
    if not reference.count or not window.count:
        return (np.zeros(1), np.zeros(1))
    share = reference.weights / reference.count
    reached = np.cumsum(share)
    at = np.searchsorted(reached, np.arange(1, BINS) / BINS - 1e-12)
    cuts = reference.values[np.minimum(at, reference.values.size - 1)]
    atoms = reference.values[share >= 1 / BINS]
    edges = np.unique(np.concatenate([cuts, atoms, np.nextafter(atoms, np.inf)]))
    first, second = (
        np.bincount(
            np.searchsorted(edges, side.values, side="right"), side.weights, edges.size + 1
        ).astype(np.float64)
        for side in (reference, window)
    )
    return (first, second)


def _by_level(reference: Levels, window: Levels) -> Bins:
    size = 1 + max(int(side.codes.max(initial=-1)) for side in (reference, window))
    sides = []
    for level_side in (reference, window):
        counts = np.zeros(size + 1)
        counts[level_side.codes] = level_side.counts
        counts[-1] = max(0.0, level_side.count - counts.sum())
        sides.append(counts)
    exact = reference.error == 0 and window.error == 0
    if exact:
        sides = [side[:-1] for side in sides]
    return (sides[0], sides[1])
