"""The budget of false alarms, and the tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from driftline.errors import InputError

# A change of a hundredth at the median is none worth an alarm (docs/reference/statistics.md,
# "Tolerance").
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Budget:
    """How many false alarms a year are accepted, and among how many windows.

    Parameters
    ----------
    false_alarms_per_year
        Expected violations a year on data that do not change.
    windows_per_year
        How often is judged; 365 for a check that nobody scheduled.
    tolerance
        How far a share of one half may move at no cost, 0 to below 1; other shares p may move by
        ``2 tolerance sqrt(p (1 - p))``.

    Raises
    ------
    InputError
        When a number lies outside its range.
    """

    false_alarms_per_year: float = 1.0
    windows_per_year: float = 365.0
    tolerance: float = TOLERANCE

    @property
    def per_window(self) -> float:
        """False alarms accepted in one window."""
        return self.false_alarms_per_year / self.windows_per_year

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value in (
            ("false_alarms_per_year", self.false_alarms_per_year),
            ("windows_per_year", self.windows_per_year),
        ):
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} {value!r}; expected a number above 0, such as 1")
        if not 0 <= self.tolerance < 1:
            raise InputError(
                f"tolerance {self.tolerance!r}; expected a share from 0 to below 1, such as 0.01"
            )
