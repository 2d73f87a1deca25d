"""A series: values at times, sparse; and the span that a question is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Values at times; where there is no value, there is no time."""

    times: Times  # Starts of periods, seconds since 1970, ascending, each once; shape (n,).
    values: Values  # Finite; shape (n,).
    period_s: int
    label: str = ""  # What members of an array are called after.

    def __len__(self) -> int:
        """Count the points."""
        return len(self.times)

    @classmethod
    def of(cls, points: Mapping[int, float], period_s: int, label: str = "") -> Series:
        """Create a series of values by time, in any order."""
        ordered = sorted(points.items())
        return cls(
            np.array([time for time, _ in ordered], dtype=np.int64),
            np.array([value for _, value in ordered], dtype=np.float64),
            period_s,
            label,
        )

    @classmethod
    def empty(cls, period_s: int, label: str = "") -> Series:
        """Create a series without points."""
        return cls.of({}, period_s, label)

    def as_dict(self) -> dict[int, float]:
        """Return the values by time, as plain numbers."""
        return dict(zip(self.times.tolist(), self.values.tolist(), strict=True))

    def labelled(self, label: str) -> Series:
        """Return the same points under another label."""
        return replace(self, label=label)


@dataclass(frozen=True, slots=True)
class Span:
    """The span of a query: [start, end) in steps."""

    start: int  # Seconds since 1970, half-open.
    end: int
    period_s: int  # Steps of series that are made of a number alone.

    def times(self, period_s: int) -> Times:
        """Return the starts of all periods of that length, counted from the start."""
        return np.arange(self.start, self.end, period_s, dtype=np.int64)
