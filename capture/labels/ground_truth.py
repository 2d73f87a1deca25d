"""Ground truth that users put into a bucket, as for SageMaker: read once, and stored as labels.

Files lie in ``<place>/yyyy/mm/dd/hh/``, by the hour in which they were put there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from pyarrow import fs

from driftline.capture.labels.files import read_label_file
from driftline.capture.labels.labels import LABEL_SCHEMA, label_folder, put
from driftline.capture.tables.delta_log import read_watermarks
from driftline.capture.tables.table import FILE, FILES_KEPT
from driftline.errors import InputError
from driftline.formats.location import Location, locate

log = logging.getLogger(__name__)

# Before the window, or the last file that was read; folders may be named by another clock, and
# files put into the folder of the hour that their labels are of.
_MARGIN = timedelta(days=7)


def load_ground_truth(
    root: str, endpoint: str, place: str, since: datetime, now: Callable[[], datetime]
) -> int:
    """Store the labels of files that were not read yet; return how many there were.

    ``since``: the beginning of the first window that wants them. A file that changes is read again.
    One with an error is left out, and logged. Folders of more than a year ago are not looked at.
    """
    moment, where = now(), locate(place)
    mark = f"ground-truth/{_digest(where.path)}/"
    stored = read_watermarks(label_folder(root, endpoint).catch_up()).stored
    read = {name: at for name, at in stored.items() if name.startswith(FILE + mark)}
    last = datetime.fromtimestamp(max(read.values()) / 1000, UTC) if read else moment
    # The table still has the marks of all files that may be in these folders.
    first = max(min(since, last) - _MARGIN, moment - FILES_KEPT + timedelta(days=1))
    count = 0
    for one, file in sorted(
        _files(where, first, moment), key=lambda pair: (pair[0].mtime_ns, pair[0].path)
    ):
        name = mark + _digest(f"{one.path} {one.size} {one.mtime_ns}")
        if FILE + name in read:
            continue
        try:
            labels = [*read_label_file(file)]
        except InputError as error:
            log.warning("ground truth left out: %s", error)
            if getattr(error.__cause__, "errno", None):  # It may be readable next time.
                continue
            labels = []
        table = pa.concat_tables([LABEL_SCHEMA.empty_table(), *labels])
        count += put(root, endpoint, table, now, name).stored
    return count


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _files(place: Location, first: datetime, last: datetime) -> list[tuple[Any, Location]]:
    found = []
    for number in range((last.date() - first.date()).days + 1):
        day = place / (first + timedelta(days=number)).strftime("%Y/%m/%d")
        for one in day.listing(recursive=True, allow_not_found=True):
            if one.type == fs.FileType.File and not one.base_name.startswith((".", "_")):
                shown = day.shown + one.path.removeprefix(day.path)
                found.append((one, Location(day.system, one.path, shown)))
    return found
