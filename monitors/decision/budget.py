"""How much care is asked for: false alarms a year, and the change that is none yet."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How many false alarms a year are accepted, and among how many windows.

    Parameters
    ----------
    false_alarms_per_year
        Expected violations a year on data that do not change.
    windows_per_year
        How often is judged; 365 for a check that nobody scheduled.
    """

    false_alarms_per_year: float = 1.0
    windows_per_year: float = 365.0
