"""Options of a backtest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from driftline.errors import InputError
from driftline.monitors.backtest.spans import moment_us

Progress = Callable[[int, int | None], None]
# Far from the ends of the calendar, where times of other zones cannot be told in UTC.
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What is asked of a backtest besides the data.

    Parameters
    ----------
    start, end
        Only windows within this half-open span, aware; None: all.
    tolerance
        For every column in place of what the constraints say.
    progress
        Called with rows read and rows in total (None when not known).
    """

    start: datetime | None = None
    end: datetime | None = None
    tolerance: float | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        for what, value in (("from", self.start), ("to", self.end)):
            if value is not None and value.tzinfo is None:
                raise InputError(f"{what} {value} has no time zone; expected one such as UTC")
            if value is not None and not FIRST <= value <= LAST:
                raise InputError(f"{what} {value}; expected a time from 1900 to 2199")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise InputError(f"from {self.start} to {self.end}; expected the end after the start")
        if self.tolerance is not None and not 0 <= self.tolerance < 1:
            raise InputError(f"tolerance {self.tolerance}; expected 0 to below 1, such as 0.01")

    @property
    def between_us(self) -> tuple[int | None, int | None]:
        """The span in microseconds since 1970."""
        return (
            None if self.start is None else moment_us(self.start),
            None if self.end is None else moment_us(self.end),
        )
