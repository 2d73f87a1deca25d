"""Moments of a time zone's clock on the wall, as cron(8) takes them when clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MINUTE = timedelta(minutes=1)


@lru_cache(maxsize=256)
def find_zone(name: str) -> tzinfo | None:
    """Return the time zone of an IANA name; None where there is none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def cron_moments(fields: str, wall: datetime, zone: tzinfo) -> list[datetime]:
    """Return when a cron expression fires in a time zone, as cron(8) does.

    At a time of the day: once, the first time, or when the gap that skips it is over. In each hour
    or minute (``*``): whenever the clock shows it, which may be twice, or never.
    """
    if zone is UTC:  # It skips and repeats nothing.
        return [wall.replace(tzinfo=UTC)]
    moments = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    is_skipped = moments[0] > moments[1]
    if any(field.startswith("*") for field in fields.split()[:2]):
        return [] if is_skipped else sorted(set(moments))
    return [_end_of_gap(wall, zone)] if is_skipped else moments[:1]


def _end_of_gap(wall: datetime, zone: tzinfo) -> datetime:
    """Return the first moment after a time that the clock on the wall skips."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    while moment.astimezone(zone).replace(tzinfo=None) != wall:
        wall += _MINUTE
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment
