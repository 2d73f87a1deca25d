"""What a change does to the rows after its onset.

A mutation takes random numbers, the values after the onset, their hours since then, and the hours
of a window; it gives the changed values. Numbers are 50 + 10 z; levels are codes from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from tests.monitors.drift_test.simulation.rows import DAY_H

Random = np.random.Generator
Mutation = Callable[[Random, np.ndarray, np.ndarray, int], np.ndarray]
CENTRE, DEVIATION = 50.0, 10.0
NEW_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of drift, of a stated size.

    Parameters
    ----------
    apply
        The mutation.
    words
        What it is, with its size.
    text
        Whether it is one of levels, else of numbers.
    """

    apply: Mutation
    words: str
    text: bool = False


def _shift(size: float) -> Mutation:
    """Add so many standard deviations."""
    return lambda rng, values, since_h, length_h: values + size * DEVIATION


def _widen(factor: float) -> Mutation:
    """Multiply the distance from the centre."""
    return lambda rng, values, since_h, length_h: CENTRE + factor * (values - CENTRE)


def _fatten(part: float) -> Mutation:
    """Replace a part of the rows by ones of the top 2%."""

    def apply(rng: Random, values: np.ndarray, since_h: np.ndarray, length_h: int) -> np.ndarray:
        high = CENTRE + DEVIATION * special.ndtri(1 - 0.02 * rng.random(values.size))
        return np.where(rng.random(values.size) < part, high, values)

    return apply


def _swap(part: float) -> Mutation:
    """Exchange the second and the third level in a part of the rows."""

    def apply(rng: Random, values: np.ndarray, since_h: np.ndarray, length_h: int) -> np.ndarray:
        moved = np.where(values == 1, 2, np.where(values == 2, 1, values))
        return np.where(rng.random(values.size) < part, moved, values)

    return apply


def _replace(part: float, by: float) -> Mutation:
    """Put one value into a part of the rows."""
    return lambda rng, values, since_h, length_h: np.where(
        rng.random(values.size) < part, np.asarray(by).astype(values.dtype), values
    )


def _ramp(rng: Random, values: np.ndarray, since_h: np.ndarray, length_h: int) -> np.ndarray:
    return values + DEVIATION * np.minimum(since_h / (7.0 * DAY_H), 1.0)


def _burst(rng: Random, values: np.ndarray, since_h: np.ndarray, length_h: int) -> np.ndarray:
    return values + np.where(since_h < max(6, length_h), 1.5 * DEVIATION, 0.0)


def _unit(rng: Random, values: np.ndarray, since_h: np.ndarray, length_h: int) -> np.ndarray:
    return values * 1000.0


CHANGES: Mapping[str, Change] = {
    "mean": Change(_shift(0.5), "mean + 0.5 sd"),
    "variance": Change(_widen(1.5), "sd x 1.5"),
    "tail": Change(_fatten(0.06), "top 2% become 8%"),
    "swap": Change(_swap(1.0), "levels of 30% and 15% swapped", text=True),
    "unseen": Change(_replace(0.02, NEW_LEVEL), "2% of rows with a new level", text=True),
    "missing": Change(_replace(0.05, np.nan), "5% more rows empty"),
    "unit": Change(_unit, "unit x 1000"),
    "gradual": Change(_ramp, "mean + 1 sd, in even steps over 7 days"),
    "burst": Change(_burst, "mean + 1.5 sd for 6 hours (daily windows: for a day)"),
}
