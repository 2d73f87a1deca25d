"""Both sides' rows on common bins: the baseline's cells, equal parts of the reference, levels.

References
----------
Cochran, Biometrics 10, 1954 (five expected rows a bin); docs/distances.md, "Binned".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftline.stats.distances.counts import Counts, EmptyDistributionError
from driftline.stats.distances.sample import Levels, Numbers, Sample

# Equal parts of the reference's numbers; a value with as large a share is a bin of its own.
BINS = 20
# A bin with fewer rows to be expected on a side has no normal law (Cochran, 1954).
EXPECTED_COUNT = 5.0


@dataclass(frozen=True)
class Bins:
    """Rows per bin, those that hold a value; shapes (K,).

    Parameters
    ----------
    reference, window
        Rows per bin.
    source
        Where the bins are from.
    rest
        Bins that stand for "any other value": seen in the reference or not they are pooled as
        one, since the reference's own choice of levels makes the unseen rarer there.
    """

    reference: Counts
    window: Counts
    source: Literal["cells", "parts", "levels"]
    rest: NDArray[np.bool_] | None = None

    @property
    def rows(self) -> tuple[float, float]:
        """Rows of the reference, n, and of the window, m."""
        return float(self.reference.sum()), float(self.window.sum())

    @cached_property
    def pooled(self) -> tuple[Counts, Counts]:
        """Both sides with the bins joined that expect fewer than five rows on a side."""
        n, m = self.rows
        total = self.reference + self.window
        needed = EXPECTED_COUNT * (n + m) / min(n, m)
        joined = total < needed
        if self.rest is not None:
            joined = joined | self.rest
        sides = [
            np.append(side[~joined], side[joined].sum()) for side in (self.reference, self.window)
        ]
        both = sides[0] + sides[1]
        if both[-1] < needed and both.size > 1:  # The joined ones are still too few.
            least = int(np.argmin(both[:-1]))
            for side in sides:
                side[least] += side[-1]
            return sides[0][:-1], sides[1][:-1]
        return sides[0], sides[1]

    @property
    def is_constant(self) -> bool:
        """Whether all rows of both sides are in one bin."""
        return int(np.count_nonzero(self.reference + self.window)) == 1


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
    if bins is None or min(bins.rows) <= 0:
        raise EmptyDistributionError("distance of no values; expected some on both sides")
    return bins


def _on_cells(reference: Sample, window: Sample) -> Bins | None:
    """Return the counts on the same cells; None where they were counted on others."""
    first, second = reference.cells, window.cells
    if first is None or second is None or first.id != second.id:
        return None
    return Bins(first.counts, second.counts, "cells", first.is_rest)


def _in_parts(reference: Numbers, window: Numbers) -> Bins:
    """Cut numbers into equal parts of the reference."""
    if not reference.count or not window.count:
        return Bins(np.zeros(1), np.zeros(1), "parts")
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
    return Bins(first, second, "parts")


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
    return Bins(sides[0], sides[1], "levels")
