"""The windows of a backtest: by a monitor's timetable, or in equal lengths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.times import EPOCH
from driftline.errors import InputError
from driftline.monitors.schedule import UTC_NAME, Schedule

YEAR = timedelta(days=365.25)
UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# More windows than a year has minutes: a date far off, or a length that was meant otherwise.
MOST_WINDOWS = 600_000
# Firings of a timetable are counted from before the first row, also of one that fires once a year.
BEFORE_FIRST_FIRING = timedelta(days=4 * 366)

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spans:
    """The windows of a backtest."""

    # Windows start at multiples of it since 1970, UTC; None: as the schedule says.
    length: timedelta | None = None
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        if self.length is None and (self.schedule is None or not self.schedule.is_recurring):
            name = "none" if self.schedule is None else f'"{self.schedule.expression}"'
            raise InputError(f"schedule {name} cuts no windows; give their length, such as 1d")

    @property
    def windows_per_year(self) -> float:
        """How many windows a year has."""
        if self.length is not None:
            return YEAR / self.length
        assert self.schedule is not None
        return self.schedule.windows_per_year

    @property
    def usual_length(self) -> timedelta:
        """Length of a window, or the mean length over a year."""
        return self.length or YEAR / self.windows_per_year

    @property
    def label(self) -> str:
        """Describe the spans: ``1d``, or the timetable."""
        if self.schedule is not None:
            return self.schedule.expression
        assert self.length is not None
        for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
            if self.length % size == timedelta(0):
                return f"{self.length // size}{unit}"
        return f"{self.length // timedelta(minutes=1)}m"

    def cut(self, times_us: Times) -> tuple[Times, Times, Times]:
        """Return the windows of times."""
        if self.length is not None:
            step = self.length // timedelta(microseconds=1)
            found, index = np.unique(times_us // step, return_inverse=True)
            starts = found * step
            return starts, starts + step, index.astype(np.int64)
        edges = self._edges(int(times_us.min()), int(times_us.max()))
        found, index = np.unique(
            np.searchsorted(edges, times_us, side="right") - 1, return_inverse=True
        )
        return edges[found], edges[found + 1], index.astype(np.int64)

    def _edges(self, first_us: int, last_us: int) -> Times:
        """Return the timetable's firings from before the first time to after the last."""
        assert self.schedule is not None
        first = time_of(first_us)
        begin = self.schedule.fired_before(first) or first - BEFORE_FIRST_FIRING
        edges = [moment_us(begin)]
        for fired in self.schedule.firings(begin):
            edges.append(moment_us(fired))
            if edges[-1] > last_us:
                return np.asarray(edges, np.int64)
            if len(edges) > MOST_WINDOWS:
                raise InputError(
                    f"times from {first:%Y-%m-%d} to {time_of(last_us):%Y-%m-%d}: more than "
                    f"{MOST_WINDOWS:,} windows; expected fewer: give a shorter span, or longer "
                    "windows"
                )
        # The timetable ends in a certain year; what is later lies in no window of it.
        raise InputError(
            f'schedule "{self.schedule.expression}" fires for the last time on '
            f"{time_of(edges[-1]):%Y-%m-%d}, the data go on to {time_of(last_us):%Y-%m-%d}; "
            "give an earlier end"
        )


def spans_of(window: str, time_zone: str = UTC_NAME) -> Spans:
    """Read a length or a timetable; `zone` is the time zone of a cron expression."""
    kind = window.strip().casefold()[:4]
    if kind not in ("cron", "rate"):
        return Spans(window_length(window))
    return Spans(schedule=Schedule(window, time_zone if kind == "cron" else UTC_NAME))


def window_length(text: str) -> timedelta:
    """Read a length such as ``1h``, ``30m``, ``1d`` or ``2w``; else raise InputError."""
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if found is None or int(found[1]) == 0:
        raise InputError(f'window "{text}"; expected a length such as 30m, 1h, 1d or 1w')
    return timedelta(seconds=int(found[1]) * UNITS_S[found[2]])


def moment_us(moment: datetime) -> int:
    """Return microseconds since 1970-01-01T00:00Z."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def time_of(moment: int) -> datetime:
    """Return the aware time of microseconds since 1970-01-01T00:00Z."""
    try:
        return EPOCH + timedelta(microseconds=int(moment))
    except OverflowError:
        raise InputError(
            f"a window at {moment} microseconds since 1970 lies past the years 1 to 9999; leave "
            "such rows out with a shorter span"
        ) from None
