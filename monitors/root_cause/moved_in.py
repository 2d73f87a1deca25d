"""Tests whether the violating column changed in a segment alone, or beside it as well.

The violating rows may have come from one segment anyway: all flights after 23 left from one
airport. Then it proves nothing that the segment holds them all now, but the column's other values
do: where they are unchanged beside the segment, and changed in it, the change lies in it.

References
----------
Sokal, Rohlf, Biometry, 1981, ch. 17 (the G-test, whose power the noncentral chi-squared gives).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, chndtr

from driftline.monitors.root_cause.row_sample import Bools, CodedColumn
from driftline.stats.changed_levels import CHANCE, g_statistic
from driftline.stats.decomposition import FALSE_SINGLE

# So much of the change of a row in a segment, found in other rows too, is all rows'.
ELSEWHERE = 0.25

Sides = tuple[Bools, Bools]  # Rows of the window, and of the reference's sample.


@dataclass(frozen=True, slots=True)
class MovedIn:
    """Change of a column in a segment, and in the rows around it."""

    found: tuple[float, float]  # G of its cells, by the design effect.
    rows: tuple[tuple[float, float], tuple[float, float]]  # Of the window and of the reference.
    freedom: float

    @classmethod
    def of(cls, own: CodedColumn, inside: Sides, around: Sides, effect: float) -> MovedIn | None:
        """Compare a column with its reference in some rows and around; `effect`: design effect."""
        if own.reference is None:
            return None
        found, sizes = [], []
        for side in (True, False):
            rows, known = (
                whole & (held == side) for held, whole in zip(inside, around, strict=True)
            )
            counts = (
                np.bincount(codes, minlength=own.home.size).astype(np.float64)
                for codes in (own.reference[known], own.codes[rows])
            )
            found.append(g_statistic(*counts) / effect)
            sizes.append((float(rows.sum()), float(known.sum())))
        freedom = max(int(np.count_nonzero(own.counts + own.reference_counts)) - 1, 1)
        return cls((found[0], found[1]), (sizes[0], sizes[1]), float(freedom))

    @property
    def inside(self) -> float:
        """Change per row of the window inside."""
        return self.found[0] / self.rows[0][0]

    @property
    def beside(self) -> float:
        """Change per row of the window around it."""
        return self.found[1] / self.rows[1][0]

    @property
    def is_quiet_beside(self) -> bool:
        """Whether the rows around it may be distributed as before."""
        return bool(chdtrc(self.freedom, self.found[1]) > CHANCE)

    def is_alone(self, tried: int) -> bool:
        """Whether nothing changed beside it, with enough power; `tried` segments were tested."""
        if not self.is_quiet_beside or 0 in (*self.rows[0], *self.rows[1]):
            return False
        if chdtrc(self.freedom, self.found[0]) > FALSE_SINGLE / tried:
            return False
        inside, beside = (1 / (1 / window + 1 / known) for window, known in self.rows)
        shown = max(self.found[0] - self.freedom, 0.0) * ELSEWHERE * beside / inside
        return bool(chndtr(self.found[1], self.freedom, shown) < FALSE_SINGLE / tried)
