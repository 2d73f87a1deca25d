"""Hours of the day without rows, and rows that a regular series lacks here and there.

Shapes: D days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.blocks import BlockCounts
from driftline.capture.windows.window import Window
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.results.violation import Draft, plural

DAY_H = 24
# Days with fewer hours that have rows say nothing of the others.
LEAST_HOURS = 12
# Hours without rows, and rows lost here and there, cost this part of a monitor's false alarms each.
HOURS_PART = 0.01
# A shorter reference has not seen the hours of all weekdays often enough.
LEAST_DAYS = 27
# In a reference of less than a year, hours beside those that mostly have no rows move with the
# clocks: what opens at eight in winter opens at seven, by UTC, in summer.
YEAR_DAYS = 330
CLOSED_SHARE = 0.5
# So many of a regular series' hours that have rows have the usual number.
REGULAR_SHARE = 0.99
# Only hours of the day that lack no more of their rows in the reference count.
LACKING_SHARE = 0.02
# Hours' worth of rows that a day lacks, or more; on fewer days an outage lacks them.
LOST_LEVELS = (1, 2, 3, 4, 6)
LEAST_LOST_DAYS = 4
# Stands in the place of a feature's name.
LOST_HOURS = "Lost hours"


def lost_rows_draft(
    hours: NDArray[np.int64],
    rows: NDArray[np.int64],
    reference: BlockCounts | None,
    window: Window | None,
    budget: Budget,
) -> Draft | None:
    """Draft hours of the day without a row on any day, else rows lost anywhere.

    `hours` are hours since 1970 that have rows, ascending; `rows` their counts.
    """
    if reference is None or not reference.counts or not len(hours):
        return None
    span = int(hours[0]), int(hours[-1]) + 1
    if window is not None:
        span = int(window.start.timestamp() // 3600), int(window.end.timestamp() // 3600)
    alpha = HOURS_PART * budget.per_window
    lost = lost_hours(hours, span, reference, alpha)
    if not lost:
        found = lost_rows(hours, rows, span, reference, alpha)
        return None if found is None else _scattered_draft(found)
    days = min(one.day_count for one in lost)
    usual = min(one.reference_days_with_rows for one in lost)
    spans = " and ".join(_spans([one.hour for one in lost]))
    what = (
        f"no rows from {spans} UTC on any of {days:,} days "
        f"(reference: rows on {usual:,} of {lost[0].reference_days:,} days)"
    )
    return Draft(
        feature=LOST_HOURS,
        check="lost_hour_check",
        description=f"Hours without rows: {what}.",
        what=what,
        share=len(lost) / DAY_H,
        severity="ticket",
    )


def _scattered_draft(lost: LostRows) -> Draft:
    what = (
        f"as many rows are missing as {lost.missing:.0f} of {plural(lost.hours, 'hour')} have: "
        f"those of {plural(lost.level, 'hour')} or more on {lost.days_over} of "
        f"{plural(lost.day_count, 'day')} (reference: on {lost.reference_over:,} of "
        f"{lost.reference_days:,})"
    )
    return Draft(
        feature=LOST_HOURS,
        check="lost_hour_check",
        description=f"Rows of a regular series are missing: {what}.",
        what=what,
        share=lost.missing / lost.hours,
        severity="ticket",
    )


@dataclass(frozen=True, slots=True)
class LostHour:
    """An hour of the day, UTC, without a row on all days of a window."""

    hour: int  # 0-23.
    day_count: int  # Days of the window that could have had rows then.
    reference_days: int
    reference_days_with_rows: int


def lost_hours(
    hours: NDArray[np.int64],
    span: tuple[int, int],
    reference: BlockCounts,
    alpha: float,
) -> tuple[LostHour, ...]:
    """Find the hours of the day without a row on any day, which chance leaves out less often.

    Only days with rows in twelve hours or more count, in reference and window. An hour that is
    missing on a share q of days is missing on all of n by chance q^n. That share is the
    reference's, or that of the window's other hours that are no busier than twice as much, if that
    is larger: a stream that has shrunk leaves hours empty everywhere.

    Parameters
    ----------
    hours, span
        Hours since 1970 that have rows, ascending, and the half-open span of hours looked at.
    reference
        The reference's rows by the hour.
    alpha
        The chance of a false alarm that is accepted.
    """
    hours_known = reference.hours
    known = _by_day(hours_known, (int(hours_known[0]), int(hours_known[-1]) + 1))
    seen = _by_day(hours, span)
    days = len(known)
    if days < LEAST_DAYS:
        return ()
    with_rows = (known > 0).sum(axis=0)
    missing = 1.0 - with_rows / days
    possible = (seen >= 0).sum(axis=0)
    is_empty = (seen <= 0).all(axis=0)
    chance = (np.maximum(missing, _share_empty(seen, reference)) + 1.0 / days) ** possible
    is_lost = is_empty & (DAY_H * chance < alpha)
    is_lost &= ~_may_move(missing, days)
    return tuple(
        LostHour(int(hour), int(possible[hour]), days, int(with_rows[hour]))
        for hour in np.flatnonzero(is_lost)
    )


@dataclass(frozen=True, slots=True)
class LostRows:
    """Rows missing here and there from a series with a fixed number an hour."""

    missing: float  # In hours' worth of rows.
    hours: int  # Of the window's days that usually have all rows.
    level: int  # Hours' worth of rows that so many of the days lack, or more.
    days_over: int
    day_count: int
    reference_over: int
    reference_days: int


def lost_rows(
    hours: NDArray[np.int64],
    rows: NDArray[np.int64],
    span: tuple[int, int],
    reference: BlockCounts,
    alpha: float,
) -> LostRows | None:
    """Find that a regular series lacks rows on more days than chance has it.

    Half of one class of rows lost leaves gaps on most days. Only a series that nearly always has
    the same number of rows an hour is judged, on days that lie in the window and have rows in
    twelve hours: other rows come as they like. If a share q of the reference's days, one more
    counted, lacks so much, the chance that so many of n days do is binomial, times the levels.

    Parameters
    ----------
    hours, rows
        Hours since 1970 that have rows, ascending, and how many.
    span
        The half-open span of hours looked at.
    reference
        The reference's rows by the hour.
    alpha
        The chance of a false alarm that is accepted.
    """
    usual = reference.rows
    pace = int(np.median(usual))
    if np.count_nonzero(usual == pace) < REGULAR_SHARE * len(usual):
        return None
    whole = int(reference.hours[0]), int(reference.hours[-1]) + 1
    known = _missing(reference.hours, usual, whole, pace)
    seen = _missing(hours, rows, span, pace)
    if len(known) < LEAST_DAYS:
        return None
    # At night some series have no rows now and then.
    lacking = known.mean(axis=0)
    full = (lacking <= LACKING_SHARE) & ~_may_move(lacking, len(known))
    if np.count_nonzero(full) < LEAST_HOURS:
        return None
    known, seen = (np.round(one[:, full].sum(axis=1), 6) for one in (known, seen))
    found = []
    for level in LOST_LEVELS:
        days, before = (int(np.count_nonzero(one >= level)) for one in (seen, known))
        share = (before + 1) / (len(known) + 1)
        chance = len(LOST_LEVELS) * float(special.bdtrc(days - 1, len(seen), share))
        if days >= LEAST_LOST_DAYS and chance < alpha:
            size = int(np.count_nonzero(full)) * len(seen)
            lost = LostRows(float(seen.sum()), size, level, days, len(seen), before, len(known))
            found.append((chance, lost))
    return min(found, key=lambda one: one[0])[1] if found else None


def _may_move(missing: NDArray[np.float64], days: int) -> NDArray[np.bool_]:
    """Return which hours of the day lie next to those that mostly have no rows, shape (24,).

    A reference of a year has seen the clocks change.
    """
    closed = (missing > CLOSED_SHARE) & (days < YEAR_DAYS)
    return np.asarray(np.roll(closed, 1) | np.roll(closed, -1))


def _missing(
    hours: NDArray[np.int64], rows: NDArray[np.int64], span: tuple[int, int], pace: int
) -> NDArray[np.float64]:
    """Return the missing share of rows in each hour of a span's whole days, 0-1, (D, 24)."""
    first, last = -(-span[0] // DAY_H), span[1] // DAY_H
    found = np.zeros(max(last - first, 0) * DAY_H)
    inside = (hours >= first * DAY_H) & (hours < last * DAY_H)
    found[hours[inside] - first * DAY_H] = rows[inside]
    by_day = found.reshape(-1, DAY_H)
    by_day = by_day[np.count_nonzero(by_day, axis=1) >= LEAST_HOURS]
    return np.asarray(1.0 - np.minimum(by_day / pace, 1.0))


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
