"""Rows of external files, of a Delta table or a folder, as of the time they are opened.

Only files and row groups whose statistics allow rows in the window are read.
"""

from __future__ import annotations

import hashlib
import logging
import time as clock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.exceptions import DeltaError
from pyarrow import fs

from driftline.capture.windows.window import Window
from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.formats.data_files import data_files, form_of
from driftline.formats.formats import FormatName
from driftline.formats.location import Location, locate
from driftline.formats.opening import read_head
from driftline.formats.parquet.files import delta_dataset, open_parquet, scanned
from driftline.formats.source import FORM_BYTES, Source, open_source
from driftline.monitors.external.source import Access
from driftline.signature import Signature
from driftline.storage import is_remote

log = logging.getLogger(__name__)

DIGEST_BYTES = 8
# More than a time loses by being written in seconds.
_ROUNDING = timedelta(seconds=1)
# More than a zone is away from UTC.
_ZONE = timedelta(days=1)
# A file that cannot be read and is younger than this may still be written.
_WRITING = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """The column of event times, and the zone of those without one."""

    name: str
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file of a table; its size and time of change are its state."""

    path: str
    size: int = 0
    mtime_ns: int = 0

    @property
    def digest(self) -> bytes:
        """Digest of the file in this state, eight bytes."""
        return hashlib.blake2b(repr(self).encode(), digest_size=DIGEST_BYTES).digest()


class FileTable:
    """The files of a path, and what they hold.

    UnavailableError when files change while they are listed, or one may still be written.
    """

    def __init__(self, path: str, access: Access, signature: Signature | None = None) -> None:
        access.check(path)
        self._path, self._access, self._signature = path, access, signature
        try:
            self._delta = delta_dataset(path)
        except DeltaError as error:
            raise InputError(f"{path}: a Delta table that cannot be read ({error})") from error
        self._places: list[Location] = []
        # Before they are opened: what changes meanwhile is noticed at the end.
        self.files = self._state()

    @property
    def is_delta(self) -> bool:
        """Whether a Delta log lists the files: its current version is read."""
        return self._delta is not None

    @cached_property
    def _rows(self) -> ds.Dataset | Source | None:
        return self._delta if self._delta is not None else self._opened(self._places)

    @property
    def names(self) -> list[str]:
        """The columns, including those that only newer files have."""
        return [] if self._rows is None else list(self._rows.schema.names)

    def _state(self) -> tuple[TableFile, ...]:
        """Return the current files; those of a Delta table never change."""
        if isinstance(self._delta, ds.FileSystemDataset):
            self._check([f"{locate(self._path).path}/{file}" for file in self._delta.files])
            return tuple(TableFile(file) for file in self._delta.files)
        self._places = places = self._listed()
        if not places:
            return ()
        infos = places[0].system.get_file_info([place.path for place in places])
        return tuple(TableFile(info.path, info.size or 0, info.mtime_ns or 0) for info in infos)

    def _has_changed(self) -> bool:
        return not self.is_delta and self._state() != self.files

    def of(self, files: Sequence[TableFile], column: str) -> Iterator[pa.Array]:
        """Read one column of some of the files."""
        paths = {file.path for file in files}
        if self._delta is not None:
            rows: ds.Dataset | Source | None = ds.FileSystemDataset(
                [one for one in self._delta.get_fragments() if one.path in paths],
                self._delta.schema, self._delta.format, filesystem=self._delta.filesystem,
            )  # fmt: skip
        else:
            rows = self._opened([place for place in self._places if place.path in paths])
        for batch in self._scan(rows, [column], None):
            yield batch.column(0)

    def batches(
        self, columns: Sequence[str], time: TimeColumn | None = None, window: Window | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read columns of the rows that may lie in a window, and of those without a time.

        UnavailableError when files change while they are read: their rows would be neither old nor
        new.
        """
        bounds = None
        if time is not None and window is not None and isinstance(self._rows, ds.Dataset):
            bounds = _bounds(self._rows.schema, time, window)
        try:
            yield from self._scan(self._rows, columns, bounds)
        except InputError as error:
            if self.is_delta or self._has_changed():
                raise self._changed(error) from error
            self._check_whole(error)
            raise
        if self._has_changed():
            raise self._changed("another size or time of change")

    def _scan(
        self, rows: ds.Dataset | Source | None, columns: Sequence[str], bounds: ds.Expression | None
    ) -> Iterator[pa.RecordBatch]:
        if rows is None:
            return
        if isinstance(rows, Source):
            # As they stand, for plain types would take times without a zone as UTC.
            for batch in rows.reader():
                yield batch.select(list(columns))
            return
        wanted = pa.schema([rows.schema.field(name) for name in columns])
        files = groups = size = 0
        for fragment in rows.get_fragments(filter=bounds):
            chosen = fragment if bounds is None else fragment.subset(bounds, schema=rows.schema)
            found = chosen.row_groups
            if not found:
                continue
            files += 1
            groups += len(found)
            size += sum(group.total_byte_size for group in found)
            yield from scanned(chosen, self._path, wanted, schema=rows.schema, filter=bounds)
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
        """Refuse files outside of the allowed paths, also through links."""
        if not is_remote(self._path):
            for file in files:
                self._access.check(file)

    def _opened(self, places: Sequence[Location]) -> ds.Dataset | Source | None:
        if not places:
            return None
        forms = set[FormatName]()
        try:
            forms = {form_of(read_head(one, FORM_BYTES), one.shown) for one in places}
            if forms == {"parquet"}:
                return open_parquet(places)
            # Text is read whole: it does not tell what it holds.
            return open_source([one.shown for one in places], signature=self._signature)
        except InputError as error:
            if self._has_changed():
                raise self._changed(error) from error
            if len(forms) < 2:  # The first bytes, which tell the form, are written first.
                self._check_whole(error)
            raise

    def _check_whole(self, error: InputError) -> None:
        """Raise UnavailableError where the file of an error may still be written."""
        since_ns = clock.time_ns() - _WRITING // timedelta(microseconds=1) * 1000
        for file, place in zip(self.files, self._places, strict=True):
            if file.mtime_ns > since_ns and str(error).startswith(f"{place.shown}:"):
                raise UnavailableError(
                    f"{error}; it is new and perhaps not whole yet, and is read again later"
                ) from error

    def _changed(self, why: object) -> UnavailableError:
        return UnavailableError(
            f"{self._path}: files changed while they were read ({why}); they are read again later"
        )


def _bounds(schema: pa.Schema, time: TimeColumn, window: Window) -> ds.Expression | None:
    """Return the filter of files and row groups; None for times as text."""
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
