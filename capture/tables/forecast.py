"""Forecast of an endpoint's table size from its last whole days."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.rewriting import held_files

_DAYS = 7


@dataclass(frozen=True, slots=True)
class Forecast:
    """The size of a table now, and at the end of retention if traffic stays the same.

    ``bytes_now``: bytes of the files that hold its rows; ``bytes_per_day``: median of the last
    seven whole UTC days, empty ones included (their mean where most are); None before the first
    whole day; ``bytes_at_retention``: bytes when the oldest day is as old as retention allows.
    """

    bytes_now: int
    bytes_per_day: int | None
    bytes_at_retention: int | None
    days: int


def forecast(root: str, endpoint: str, *, retention_days: int, now: datetime) -> Forecast:
    """Forecast the size of an endpoint's table at the end of retention.

    Replaced files that are not deleted yet, and the log, add to it for a day.
    """
    folder = Dataset(root, endpoint)
    folder.catch_up()
    if folder.table is None:
        return Forecast(0, None, None, 0)
    sizes: Counter[str] = Counter()
    for file in held_files(folder.table):
        sizes[file.part] += file.size
    today = now.astimezone(UTC).date()
    past = [day for day in sizes if day < today.isoformat()]
    whole = [(today - timedelta(days=back)).isoformat() for back in range(1, _DAYS + 1)]
    # Of a table that is younger than a week, the days since its first.
    daily_sizes = [sizes[day] for day in whole if past and day >= min(past)]
    if not daily_sizes:
        return Forecast(sizes.total(), None, None, 0)
    # Where most days have no records, a few days still fill the disk.
    daily = round(statistics.median(daily_sizes) or statistics.fmean(daily_sizes))
    return Forecast(sizes.total(), daily, daily * retention_days, len(daily_sizes))
