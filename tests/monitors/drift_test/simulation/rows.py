"""The rows of a simulated stream: how many come in each hour, and in which hour each one lies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

import numpy as np

# A Monday; hours are counted from here.
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY_H = 24
Traffic = Literal["even", "daily", "weekly"]


def hour_of_day(hours: np.ndarray) -> np.ndarray:
    """Return 0-23 for hours since ``START``."""
    return np.asarray(hours % DAY_H)


def is_weekend(hours: np.ndarray) -> np.ndarray:
    """Return whether hours since ``START`` lie on a Saturday or Sunday."""
    return np.asarray(hours // DAY_H % 7 >= 5)


@dataclass(frozen=True)
class Rows:
    """How many rows each hour has.

    Parameters
    ----------
    counts
        int64, shape (hours,).
    """

    counts: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, hours: int, per_hour: float, traffic: Traffic) -> Rows:
        """Draw Poisson counts; ``per_hour`` is their mean over the weeks."""
        at = np.arange(hours)
        shape = np.ones(hours)
        if traffic != "even":
            shape = 1 + 0.8 * np.sin(2 * np.pi * (hour_of_day(at) - 8) / DAY_H)
        if traffic == "weekly":
            shape = np.where(is_weekend(at), 0.6 * shape, shape)
            shape *= 7 / 6.2
        return cls(rng.poisson(per_hour * shape))

    @property
    def total(self) -> int:
        """All rows."""
        return int(self.counts.sum())

    @cached_property
    def hour(self) -> np.ndarray:
        """Each row's hour, int64, shape (total,), ascending."""
        return np.repeat(np.arange(self.counts.size), self.counts)

    @property
    def per_hour(self) -> float:
        """Mean rows of an hour."""
        return self.total / self.counts.size

    def first_of(self, hour: int) -> int:
        """Return the index of the first row at or after an hour."""
        return int(self.counts[:hour].sum())
