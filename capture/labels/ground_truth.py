"""Ground truth that users put into a bucket, as for SageMaker: read once, and stored as labels.

Files lie in ``<place>/yyyy/mm/dd/hh/``, by the hour in which they were put there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import pyarrow as pa
from pyarrow import fs

from driftline.capture.labels.files import read_label_file
from driftline.capture.labels.labels import LABEL_SCHEMA, label_folder, put
from driftline.errors import InputError
from driftline.formats.location import Location, locate

log = logging.getLogger(__name__)

# A bucket tells times by the second: of what is younger, more may come with the same time.
_SETTLED = timedelta(seconds=2)
# Before the window or the newest file; folders may be named by another clock.
_MARGIN = timedelta(days=1)


def load_ground_truth(
    root: str, endpoint: str, place: str, since: datetime, now: Callable[[], datetime]
) -> int:
    """Store the labels of files that came since the last time; return how many there were.

    ``since``: the beginning of the first window that wants them. Files count by their times of
    change. One with an error is left out, and logged.
    """
    name = f"ground-truth/{hashlib.sha256(place.encode()).hexdigest()[:32]}"
    last = label_folder(root, endpoint).catch_up().watermark(name)
    if last:
        since = min(since, datetime.fromtimestamp(last / 1e9, UTC))
    until = int((now() - _SETTLED).timestamp() * 1e9)
    found = [
        (one, file)
        for one, file in _files(locate(place), since - _MARGIN, now())
        if last < one.mtime_ns <= until
    ]
    found.sort(key=lambda pair: (pair[0].mtime_ns, pair[0].path))
    count = 0
    for changed_at, group in groupby(found, key=lambda pair: pair[0].mtime_ns):
        labels = [table for _, file in group for table in _read(file)]
        table = pa.concat_tables([LABEL_SCHEMA.empty_table(), *labels])
        count += put(root, endpoint, table, now, (name, changed_at)).stored
    return count


def _files(place: Location, first: datetime, last: datetime) -> list[tuple[Any, Location]]:
    found = []
    for number in range((last.date() - first.date()).days + 1):
        day = place / (first + timedelta(days=number)).strftime("%Y/%m/%d")
        for one in day.listing(recursive=True, allow_not_found=True):
            if one.type == fs.FileType.File and not one.base_name.startswith((".", "_")):
                shown = day.shown + one.path.removeprefix(day.path)
                found.append((one, Location(day.system, one.path, shown)))
    return found


def _read(file: Location) -> list[pa.Table]:
    try:
        return list(read_label_file(file))
    except InputError as error:
        log.warning("ground truth left out: %s", error)
        return []
