"""Hours of the day without rows, which no share of a column shows.

Shapes: D days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US, BlockCounts
from driftline.baseline.value_runs import TimeOrder
from driftline.capture.windows.window import Window
from driftline.monitors.results.violation import Draft

DAY_H = 24
# Days with fewer hours that have rows say nothing of the others.
LEAST_HOURS = 12
# Hours without rows cost this part of a monitor's false alarms.
HOURS_PART = 0.01
# A shorter reference has not seen the hours of all weekdays often enough.
LEAST_DAYS = 27
# In a reference of less than a year, hours beside those that mostly have no rows move with the
# clocks: what opens at eight in winter opens at seven, by UTC, in summer.
YEAR_DAYS = 330
CLOSED_SHARE = 0.5
# Stands in the place of a feature's name.
LOST_HOURS = "Lost hours"


@dataclass(slots=True, eq=False)
class HourCounter:
    """The hours since 1970-01-01T00:00Z in which a window has rows, ascending; parts add up."""

    hours: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def update(self, order: TimeOrder) -> None:
        """Add rows, given their order in time."""
        self.hours = np.union1d(self.hours, order.times_us // HOUR_US)

    def merge(self, other: HourCounter) -> HourCounter:
        """Return the hours of the rows of both; neither input changes."""
        return HourCounter(np.union1d(self.hours, other.hours))

    def span_hours(self, window: Window | None) -> float | None:
        """Return the hours of a window; None where unknown."""
        if window is not None:
            return window.length.total_seconds() / 3600
        return float(self.hours[-1] - self.hours[0] + 1) if len(self.hours) else None


def lost_hours_drafts(
    hours: NDArray[np.int64],
    reference: BlockCounts | None,
    window: Window | None,
    per_window: float,
) -> list[Draft]:
    """Draft the hours of the day without a row on any day, which chance leaves out less often.

    Only days with rows in twelve hours or more count, in reference and window. An hour that is
    missing on a share q of days is missing on all of n by chance q^n. That share is the
    reference's, or that of the window's other hours that are no busier than twice as much, if that
    is larger: a stream that has shrunk leaves hours empty everywhere.

    Parameters
    ----------
    hours, window
        Hours since 1970 that have rows, ascending, of a window; None where its span is theirs.
    reference
        The reference's rows by the hour.
    per_window
        False alarms that are accepted in a window.
    """
    if reference is None or not reference.counts or not len(hours):
        return []
    span = int(hours[0]), int(hours[-1]) + 1
    if window is not None:
        span = int(window.start.timestamp() // 3600), int(window.end.timestamp() // 3600)
    known = _by_day(reference.hours, (int(reference.hours[0]), int(reference.hours[-1]) + 1))
    seen, days = _by_day(hours, span), len(known)
    if days < LEAST_DAYS:
        return []
    with_rows = (known > 0).sum(axis=0)
    missing = 1.0 - with_rows / days
    possible = (seen >= 0).sum(axis=0)
    chance = (np.maximum(missing, _share_empty(seen, reference)) + 1.0 / days) ** possible
    closed = (missing > CLOSED_SHARE) & (days < YEAR_DAYS)
    is_lost = (seen <= 0).all(axis=0) & (DAY_H * chance < HOURS_PART * per_window)
    lost = np.flatnonzero(is_lost & ~np.roll(closed, 1) & ~np.roll(closed, -1))
    if not len(lost):
        return []
    what = (
        f"no rows from {' and '.join(_spans(lost.tolist()))} UTC on any of "
        f"{possible[lost].min():,} days "
        f"(reference: rows on {with_rows[lost].min():,} of {days:,} days)"
    )
    return [
        Draft(
            feature=LOST_HOURS,
            check="lost_hour_check",
            description=f"Hours without rows: {what}.",
            what=what,
            share=len(lost) / DAY_H,
            severity="ticket",
        )
    ]


def _share_empty(seen: NDArray[np.int8], reference: BlockCounts) -> NDArray[np.float64]:
    """Return the share of days without rows in a window's comparable hours, shape (24,)."""
    rows = np.bincount(reference.hours % DAY_H, reference.rows, minlength=DAY_H)
    # Hours by hours: those that have rows in the window, and are no busier than twice as much.
    comparable = (rows <= 2.0 * rows[:, None]) & (seen > 0).any(axis=0)
    empty, whole = (seen == 0).sum(axis=0), (seen >= 0).sum(axis=0)
    return np.asarray((comparable @ empty + 1.0) / (comparable @ whole + 1.0))


def _by_day(hours: NDArray[np.int64], span: tuple[int, int]) -> NDArray[np.int8]:
    """Return for each day, shape (D, 24): 1 an hour has rows, 0 it has none, -1 not in the span.

    Days with rows in fewer than twelve hours are left out.
    """
    first, last = span[0] // DAY_H, -(-span[1] // DAY_H)
    found = np.zeros((last - first) * DAY_H, np.int8)
    inside = hours[(hours >= span[0]) & (hours < span[1])]
    found[inside - first * DAY_H] = 1
    found[: span[0] - first * DAY_H] = -1
    found[span[1] - first * DAY_H :] = -1
    by_day = found.reshape(-1, DAY_H)
    return np.asarray(by_day[(by_day > 0).sum(axis=1) >= LEAST_HOURS])


def _spans(hours: Iterable[int]) -> list[str]:
    """Write hours of the day as spans: ``07:00 to 09:00``."""
    spans: list[tuple[int, int]] = []
    for hour in hours:
        if spans and spans[-1][1] == hour:
            spans[-1] = (spans[-1][0], hour + 1)
        else:
            spans.append((hour, hour + 1))
    return [f"{first:02}:00 to {last:02}:00" for first, last in spans]
