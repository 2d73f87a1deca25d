"""The rows of files that others write: of a Delta table, or of a folder, as they stand when opened.

Only the files and row groups are read whose statistics say that they may hold the time asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.exceptions import DeltaError
from pyarrow import fs

from driftline.capture.windows.window import Window
from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.formats.data_files import data_files, form_of
from driftline.formats.location import Location, locate
from driftline.formats.opening import read_head
from driftline.formats.parquet.files import delta_dataset, open_parquet, scanned
from driftline.formats.source import FORM_BYTES, Source, open_source
from driftline.monitors.external.source import Access
from driftline.signature import Signature
from driftline.storage import is_remote

log = logging.getLogger(__name__)

# More than a time loses by being written in seconds.
_ROUNDING = timedelta(seconds=1)
# More than a zone is away from UTC.
_ZONE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """The column of event times, and the zone of those that say none."""

    name: str
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file of a table: another size or time of change is another state."""

    path: str
    size: int
    mtime_ns: int


class FileTable:
    """The files of a path, and what they hold.

    Raises
    ------
    InputError
        When the path is out of reach, holds no data, or files that do not go together.
    UnavailableError
        When files changed while they were looked at.
    """

    def __init__(self, path: str, access: Access, signature: Signature | None = None) -> None:
        access.check(path)
        self._path, self._access, self._signature = path, access, signature
        self.is_delta = False
        self._places: list[Location] = []
        try:
            dataset = delta_dataset(path)
        except DeltaError as error:
            raise InputError(f"{path}: a Delta table that cannot be read ({error})") from error
        self.is_delta = dataset is not None
        if isinstance(dataset, ds.FileSystemDataset):
            self._check([f"{locate(path).path}/{file}" for file in dataset.files])
        elif dataset is None:
            self._places = self._listed()
        # Before they are opened: what changes meanwhile is noticed at the end.
        self.files = self.state()
        self._rows = dataset if dataset is not None else self._opened()

    @property
    def names(self) -> list[str]:
        """The columns, those that only newer files have among them."""
        return [] if self._rows is None else list(self._rows.schema.names)

    def state(self) -> tuple[TableFile, ...]:
        """Return the files that are there now; of a Delta table none: its version is pinned."""
        if self.is_delta:
            return ()
        places = self._listed()
        if not places:
            return ()
        infos = places[0].system.get_file_info([place.path for place in places])
        return tuple(TableFile(info.path, info.size or 0, info.mtime_ns or 0) for info in infos)

    def batches(
        self, columns: Sequence[str], time: TimeColumn | None = None, window: Window | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read columns of the rows that may lie in a window, and of those without a time.

        Raises
        ------
        UnavailableError
            When files changed while they were read: their rows would be neither old nor new.
        """
        try:
            yield from self._batches(columns, time, window)
        except InputError as error:
            if self.is_delta or self.state() != self.files:
                raise self._changed(error) from error
            raise
        if self.state() != self.files:
            raise self._changed("another size or time of change")

    def _batches(
        self, columns: Sequence[str], time: TimeColumn | None, window: Window | None
    ) -> Iterator[pa.RecordBatch]:
        if self._rows is None:
            return
        if isinstance(self._rows, Source):
            for batch in self._rows.batches():
                yield batch.select(list(columns))
            return
        schema = self._rows.schema
        wanted = pa.schema([schema.field(name) for name in columns])
        bounds = None if time is None or window is None else _bounds(schema, time, window)
        files = groups = size = 0
        for fragment in self._rows.get_fragments(filter=bounds):
            chosen = fragment if bounds is None else fragment.subset(bounds, schema=schema)
            found = chosen.row_groups
            if not found:
                continue
            files += 1
            groups += len(found)
            size += sum(group.total_byte_size for group in found)
            yield from scanned(chosen, self._path, wanted, schema=schema, filter=bounds)
        log.info("source=%s files=%d row_groups=%d bytes=%d", self._path, files, groups, size)

    def _listed(self) -> list[Location]:
        try:
            places = data_files(self._path)
        except NotFoundError:
            if locate(self._path).kind != fs.FileType.Directory:
                raise
            return []  # Nothing has been written yet.
        self._check([place.path for place in places])
        return places

    def _check(self, files: Sequence[str]) -> None:
        """Refuse files that links lead to out of reach."""
        if not is_remote(self._path):
            for file in files:
                self._access.check(file)

    def _opened(self) -> ds.Dataset | Source | None:
        if not self._places:
            return None
        try:
            forms = {form_of(read_head(one, FORM_BYTES), one.shown) for one in self._places}
            if forms == {"parquet"}:
                return open_parquet(self._places)
            # Text is read whole: it does not tell what it holds.
            return open_source([one.shown for one in self._places], signature=self._signature)
        except InputError as error:
            if self.state() != self.files:
                raise self._changed(error) from error
            raise

    def _changed(self, why: object) -> UnavailableError:
        return UnavailableError(
            f"{self._path}: files changed while they were read ({why}); they are read again later"
        )


def _bounds(schema: pa.Schema, time: TimeColumn, window: Window) -> ds.Expression | None:
    """Return the filter that files and row groups are chosen by; None for times as text."""
    kind, field = schema.field(time.name).type, ds.field(time.name)
    is_date = pa.types.is_date(kind)
    if not is_date and not pa.types.is_timestamp(kind):
        return None
    is_zoned = not is_date and kind.tz is not None
    margin = _ROUNDING if is_zoned else _ZONE
    moments = [window.start - margin, window.end + margin]
    if not is_zoned:
        moments = [moment.replace(tzinfo=None) for moment in moments]
    days = pa.timestamp("s", "UTC" if is_zoned else None)
    low, high = (pa.scalar(moment.replace(microsecond=0), days).cast(kind) for moment in moments)
    return ((field >= low) & (field < high)) | field.is_null()
