"""Seasons: hours of working and free days, and how far each usually lies from the level."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import numpy as np
from numpy.typing import NDArray

from driftline.alerts.math.series import Times, Values

HOURS = 24
DAY_S, HOUR_S = 86_400, 3_600
SLOTS = 2 * HOURS
GAUSS = 1.4826  # From the median of absolute deviations to a standard deviation.

# Reference 6: fewer days make no seasons.
_FEWEST_DAYS = 3


def local_of(middles: Times, zone: tzinfo) -> Times:
    """Return what clocks of the zone show, counted in seconds as if it were UTC."""
    # Zones change their offset by the quarter of an hour at the finest; so few are looked up.
    quarters, which = np.unique(middles // 900, return_inverse=True)
    offsets = np.array(
        [_offset_s(int(quarter) * 900, zone) for quarter in quarters.tolist()], dtype=np.int64
    )
    return middles + offsets[which]


def slots_of(local: Times, period_s: int) -> NDArray[np.int64]:
    """Return the hour of each: 0 to 23 on working days, 24 to 47 on Saturdays and Sundays."""
    if period_s >= DAY_S:
        # Whole days have no hours, and longer periods no kind of day either.
        local = local // DAY_S * DAY_S if period_s == DAY_S else np.zeros_like(local)
    is_free = (local // DAY_S + 3) % 7 >= 5
    slots: NDArray[np.int64] = local // HOUR_S % HOURS + HOURS * is_free
    return slots


def seasons_of(
    values: Values, slots: NDArray[np.int64], days: NDArray[np.int64]
) -> tuple[Values | None, float]:
    """Return each slot's usual distance from the level, or None when the history is too short."""
    level = float(np.median(values))
    numbers, which = np.unique(days, return_inverse=True)
    is_free = np.zeros(len(numbers), dtype=np.bool_)
    is_free[which] = slots >= HOURS
    if len(numbers) < _FEWEST_DAYS:
        return None, level
    own = min(is_free.sum(), (~is_free).sum()) >= _FEWEST_DAYS
    groups = slots if own else slots % HOURS
    seasons, days_levels = np.zeros(SLOTS), np.zeros(len(numbers))
    for _ in range(3):
        # Hours within their day, days without their hours, in turns: half a day, or a trend from
        # day to day, must not look like a season.
        days_levels = medians_of(values - seasons[groups], which, len(numbers))
        seasons = medians_of(values - days_levels[which], groups, SLOTS)
    flat = values - days_levels[which]
    seasons *= _reality(flat, seasons, groups, which)
    if not own:
        return np.tile(seasons[:HOURS], 2), level
    seasons[HOURS:] += _of_free_days(days_levels, numbers, is_free)
    return seasons, level


def nearest_seen(seen: NDArray[np.bool_], period_s: int) -> NDArray[np.int64]:
    """Return, for each hour, the hour that stands for it: itself or one of the same long period."""
    found = np.arange(SLOTS)
    reach = min(HOURS // 2, -(-period_s // (2 * HOUR_S))) if period_s > HOUR_S else 0
    for slot in np.flatnonzero(~seen).tolist():
        day, hour = divmod(slot, HOURS)
        near = (
            day * HOURS + (hour + sign * away) % HOURS
            for away in range(1, reach + 1)
            for sign in (1, -1)
        )
        found[slot] = next((one for one in near if seen[one]), slot)
    return found


def medians_of(values: Values, groups: NDArray[np.int64], count: int) -> Values:
    """Return the median of each group; 0 for one without members."""
    found = np.zeros(count)
    for group in np.unique(groups).tolist():
        found[group] = np.median(values[groups == group])
    return found


def _offset_s(time: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(time, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def _of_free_days(levels: Values, numbers: Times, is_free: NDArray[np.bool_]) -> float:
    """Return how far free days lie from the working days beside them, where that is no chance."""
    working, at = levels[~is_free], numbers[~is_free]
    contrasts = []
    for level, number in zip(levels[is_free], numbers[is_free], strict=True):
        place = int(np.searchsorted(at, number))
        contrasts.append(level - working[max(0, place - 1) : place + 1].mean())
    found = np.array(contrasts)
    usual = float(np.median(found))
    chance = np.pi / 2 * (GAUSS * float(np.median(np.abs(found - usual)))) ** 2 / len(found)
    # The square of what is next to nothing is nothing.
    return 0.0 if usual**2 <= chance else usual * (1.0 - chance / usual**2)


def _reality(
    flat: Values, seasons: Values, groups: NDArray[np.int64], days: NDArray[np.int64]
) -> float:
    """Return what share of the seasons is more than chance (as James and Stein would shrink it)."""
    seen = np.unique(groups)
    if len(seen) < 2:
        return 1.0
    sigma = GAUSS * float(np.median(np.abs(flat - seasons[groups])))
    # Points of one hour go together; four a day tell as much as sixty.
    counts = np.array(
        [min((groups == one).sum(), 4 * len(np.unique(days[groups == one]))) for one in seen]
    )
    chance = float(np.mean(np.pi / 2 * sigma**2 / counts))
    found = float(seasons[seen].var(ddof=1))
    return max(0.0, 1.0 - chance / found) if found > 0 else 1.0
