"""Buckets of the installation's own: folders of the storage root, whose files are the objects.

Where the storage is a bucket itself, its S3 holds the objects, within the folders of the settings.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pyarrow import fs

from driftline.errors import ConflictError, ForbiddenError, InputError, NotFoundError
from driftline.formats.location import Location, locate
from driftline.serving.context import ServerContext
from driftline.serving.resources.reach import is_below
from driftline.serving.resources.store import ChangedError
from driftline.storage import is_bucket_name

# S3's limits of a key; of one part of it, which is the name of a file.
KEY_MAX, NAME_MAX = 1024, 255
PARTS_MAX = 10_000
# Uploads in parts that nobody has completed are forgotten.
_ABANDONED_S = 7 * 86_400.0
Key = tuple[str, fs.FileInfo]


class NoBucketError(NotFoundError):
    """There is no such bucket."""


class NoUploadError(NotFoundError):
    """There is no such upload in parts."""


class BadPartsError(InputError):
    """The parts of an upload are not there, or not in order."""


class Buckets:
    """The buckets of an installation."""

    def __init__(self, context: ServerContext) -> None:
        self._reach = context.reach
        self._root, self._folder = context.settings.root, context.settings.buckets_dir
        # Beside the buckets, so that a whole file is moved there at once; no bucket has its name.
        self._uploads = (self._folder or context.local_dir / "s3") / ".uploads"

    def list(self) -> list[tuple[str, float]]:
        """Return the names of the own buckets, and when each was changed last."""
        if self._folder is None or not self._folder.is_dir():
            return []
        found = [one for one in sorted(self._folder.iterdir()) if is_bucket_name(one.name)]
        return [(one.name, one.stat().st_mtime) for one in found if one.is_dir()]

    def create(self, name: str) -> None:
        """Make a bucket; ConflictError if there is one of its name."""
        if self._folder is None or not is_bucket_name(name):
            where = "a bucket's name" if self._folder else "it made where the storage is"
            raise InputError(f'bucket "{name[:80]}"; expected {where}')
        try:
            (self._folder / name).mkdir(parents=True)
        except FileExistsError:
            raise ConflictError(f'bucket "{name}" exists already') from None

    def bucket(self, name: str) -> Location:
        """Return where the objects of a bucket are."""
        is_here = is_bucket_name(name) and (self._folder is None or (self._folder / name).is_dir())
        if not is_here:
            raise NoBucketError(f'The specified bucket does not exist: "{name[:80]}"')
        if self._folder is not None:
            return locate(self._folder / name)
        # Others' buckets, which the server's own keys open: only what the settings name.
        named = (*self._reach.folders, *self._reach.outputs) if self._reach.folders else ()
        if not any(f"{one}/".startswith(f"s3://{name}/") for one in named):
            raise ForbiddenError(f"s3://{name}: not a bucket of [serving] data_dirs or output_dirs")
        return locate(f"s3://{name}")

    def keys(self, bucket: str, prefix: str, after: str) -> Iterator[Key]:
        """Return the keys of a bucket behind one, in S3's order; only what may be read."""
        place, folder = self.bucket(bucket), prefix.rpartition("/")[0]
        if self._folder is None:
            self._check((place / folder if folder else place).shown)
        return keys_of(place, prefix, after, hidden=self._root.removeprefix("s3://"))

    def _check(self, uri: str, *, is_written: bool = False) -> None:
        (self._reach.check_output if is_written else self._reach.check_uri)(uri)
        if is_below(uri, [self._root]):
            raise ForbiddenError(f"{uri}: belongs to the installation itself")

    def object(self, bucket: str, key: str, *, is_written: bool = False) -> Location:
        """Return where an object is, or would be; never outside of its bucket."""
        folder, parts = self.bucket(bucket), key.removesuffix("/").split("/")
        longest = max(len(part.encode()) for part in parts)
        if len(key.encode()) > KEY_MAX or longest > NAME_MAX:
            raise InputError(f"key: expected {KEY_MAX} bytes at most, {NAME_MAX} in each part")
        if not {"", ".", ".."}.isdisjoint(parts) or "\0" in key:
            raise InputError('key: expected names with a single "/" between them, and no ".."')
        place = folder / "/".join(parts)
        if self._folder is None:
            self._check(place.shown, is_written=is_written)
        elif not _is_inside(place, folder):
            raise NotFoundError(f'"{key}" is a link to elsewhere')
        return place

    def new_file(self) -> Path:
        """Return where a file grows that is not whole yet."""
        self._uploads.mkdir(parents=True, exist_ok=True)
        return self._uploads / f"file-{uuid.uuid4().hex}"

    def begin(self, target: str) -> str:
        """Begin an upload in parts; return its id."""
        folder = self.new_file().with_name(uuid.uuid4().hex)
        for one in self._uploads.iterdir():
            with suppress(FileNotFoundError):  # Another request has moved or removed it just now.
                if one.stat().st_mtime < time.time() - _ABANDONED_S:
                    forget(one) if one.is_dir() else one.unlink()
        folder.mkdir()
        (folder / "target").write_text(target, encoding="utf-8")
        return folder.name

    def upload(self, name: str, target: str) -> Path:
        """Return the folder of an upload in parts, if it is for this target."""
        file = self._uploads / name / "target"
        is_known = re.fullmatch(r"[0-9a-f]{32}", name) and file.is_file()
        if not is_known or file.read_text(encoding="utf-8") != target:
            raise NoUploadError("The specified multipart upload does not exist.")
        return file.parent

    def join(self, folder: Path, numbers: Sequence[int], place: Location) -> fs.FileInfo:
        """Make an object of the parts of an upload, and forget the upload."""
        files = [part_of(folder, number) for number in numbers]
        if not files or list(numbers) != sorted({*numbers}):
            raise BadPartsError("expected the numbers of parts in ascending order")
        if missing := [file.name for file in files if not file.is_file()]:
            raise BadPartsError(f"part {int(missing[0])} was not uploaded")
        whole = folder / "whole"
        with whole.open("wb") as target:
            for file in files:
                with file.open("rb") as part:
                    shutil.copyfileobj(part, target, 1 << 20)
        found = commit(whole, place)
        forget(folder)
        return found


def part_of(folder: Path, number: int) -> Path:
    """Return the file of a part of an upload."""
    if not 1 <= number <= PARTS_MAX:
        raise BadPartsError(f"part {number}; expected 1 to {PARTS_MAX}")
    return folder / f"{number:05d}"


def forget(folder: Path) -> None:
    """Remove an upload in parts; another request may do so at the same time."""
    shutil.rmtree(folder, ignore_errors=True)


def info_of(place: Location) -> fs.FileInfo | None:
    """Return size and time of an object, if there is one."""
    found: fs.FileInfo = place.system.get_file_info([place.path])[0]
    return found if found.is_file else None


def commit(file: Path, place: Location, *, is_new: bool = False) -> fs.FileInfo:
    """Put a whole file where an object lies; ``is_new``: ChangedError where there is one."""
    if not place.is_local:
        if is_new:
            raise InputError("If-None-Match is not served of this storage")
        fs.copy_files(str(file), place.path, fs.LocalFileSystem(), place.system)
    else:
        target = Path(place.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(file) if is_new else file.replace(target)
        except FileExistsError:
            raise ChangedError("the object exists already") from None
    found = info_of(place)
    if found is None:
        raise ConflictError("the object was deleted at the same time")
    return found


def delete(place: Location) -> None:
    """Delete an object, if there is one."""
    if info_of(place) is not None:
        place.system.delete_file(place.path)


def keys_of(bucket: Location, prefix: str, after: str, hidden: str = "") -> Iterator[Key]:
    """Return the keys behind one, in S3's order, reading one folder after the other.

    ``hidden``: the path of a folder that is left out, as links are: they may lead out, or round.
    """
    folder = prefix.rpartition("/")[0]
    if folder and not {"", ".", ".."}.isdisjoint(folder.split("/")):
        return
    levels = [_sorted(bucket, folder, hidden)]
    while levels:
        key, info = next(levels[-1], ("", None))
        if info is None:
            levels.pop()
        elif info.type == fs.FileType.Directory:
            is_past = key <= after and not after.startswith(key)
            if not is_past and (key.startswith(prefix) or prefix.startswith(key)):
                levels.append(_sorted(bucket, key.rstrip("/"), hidden))
        elif key > after and key.startswith(prefix):
            yield key, info


def _is_inside(place: Location, bucket: Location) -> bool:
    return Path(place.path).resolve().is_relative_to(Path(bucket.path).resolve())


def _sorted(bucket: Location, folder: str, hidden: str) -> Iterator[Key]:
    start = f"{folder}/" if folder else ""
    place = bucket / folder if folder else bucket
    if place.is_local and not _is_inside(place, bucket):
        return iter(())
    found = [
        (start + info.base_name + "/" * (info.type == fs.FileType.Directory), info)
        for info in place.listing(allow_not_found=True)
        if info.path != hidden and not (place.is_local and Path(info.path).is_symlink())
    ]
    return iter(sorted(found, key=lambda one: one[0].encode()))


def groups_of(
    keys: Iterator[Key], prefix: str, delimiter: str, after: str
) -> Iterator[tuple[str, fs.FileInfo | None]]:
    """Return keys, and once what several begin with up to a delimiter."""
    last = after
    for key, info in keys:
        start, sign, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not sign:
            yield key, info
        elif (group := prefix + start + sign) != last:
            last = group
            yield group, None
