"""Time zones by the names that CloudWatch takes: IANA's, or an offset such as +01:30."""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from functools import lru_cache

from driftline.alerts.errors import AlarmError
from driftline.local_time import find_zone

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """Return the zone of a name."""
    if (offset := _OFFSET.fullmatch(name)) is not None:
        hours, minutes = int(offset[2]), int(offset[3])
        if hours < 24 and minutes < 60 and minutes % 5 == 0:
            sign = -1 if offset[1] == "-" else 1
            return timezone(sign * timedelta(hours=hours, minutes=minutes))
    if (found := find_zone(name)) is not None:
        return found
    raise AlarmError(
        f'time zone "{name[:80]}"; expected a name such as Europe/Berlin or an offset in steps '
        "of 5 minutes such as +01:30"
    )
