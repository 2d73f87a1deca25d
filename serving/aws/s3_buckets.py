"""Buckets of the installation's own: folders of the storage root, whose files are the objects.

Where the storage is a bucket itself, its S3 holds the objects, within the folders of the settings.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyarrow import fs

from driftline.errors import ForbiddenError, InputError, NotFoundError
from driftline.formats.location import Location, locate
from driftline.serving.aws.served import WireError
from driftline.serving.context import ServerContext
from driftline.serving.resources.reach import is_below
from driftline.storage import is_bucket_name, is_remote

# S3's limits of a key; of one part of it, which is the name of a file.
_KEY_MAX, _NAME_MAX = 1024, 255
# Uploads in parts are forgotten, be they completed or not.
_ABANDONED_S = 7 * 86_400.0
# In the folder of one: the ETag of what was completed of it, nothing before.
_ETAG = "etag"
Key = tuple[str, fs.FileInfo]


class Buckets:
    """The buckets of an installation."""

    def __init__(self, context: ServerContext) -> None:
        self._reach = context.reach
        self._root, self._folder = context.settings.root, context.settings.buckets_dir
        # Beside the buckets, so that a whole file is moved there at once; no bucket has its name.
        beside = context.local_dir if is_remote(self._root) else Path(self._root)
        self._new_files = beside / "s3" / ".uploads"
        self._uploads = f"{self._root}/s3/.uploads"

    def list(self) -> list[Path]:
        """Return the folders of the own buckets."""
        folders = sorted(self._folder.glob("*/")) if self._folder else []
        return [folder for folder in folders if is_bucket_name(folder.name)]

    def create(self, name: str) -> None:
        """Make a bucket."""
        if self._folder is None or not is_bucket_name(name):
            expected = "a bucket's name" if self._folder else "it made where the storage is"
            raise WireError("InvalidBucketName", f'bucket "{name[:80]}"; expected {expected}')
        try:
            (self._folder / name).mkdir(parents=True)
        except FileExistsError:
            message = "The bucket exists already."
            raise WireError("BucketAlreadyOwnedByYou", message, 409) from None

    def remove(self, name: str) -> None:
        """Remove an own bucket that is empty."""
        self.require(name)
        if self._folder is None or next(self.keys(name, "", ""), None) is not None:
            message = "The bucket you tried to delete is not empty."
            raise WireError("BucketNotEmpty", message, 409)
        for folder in sorted((self._folder / name).glob("**/"), reverse=True):
            folder.rmdir()

    def require(self, name: str) -> None:
        """Refuse a bucket that is not there, or is another's that the settings do not name."""
        if self._folder is None:
            # Others' buckets, which the server's own keys open.
            named = (*self._reach.folders, *self._reach.outputs) if self._reach.folders else ()
            if not any(f"{uri}/".startswith(f"s3://{name}/") for uri in named):
                message = "not a bucket of [serving] data_dirs or output_dirs"
                raise ForbiddenError(f"s3://{name}: {message}")
        elif not is_bucket_name(name) or not (self._folder / name).is_dir():
            raise WireError("NoSuchBucket", "The specified bucket does not exist.", 404)

    def place(self, bucket: str, key: str, *, is_written: bool = False) -> Location:
        """Return where an object is, or would be; "" for the whole bucket, and never outside."""
        self.require(bucket)
        parts = key.removesuffix("/").split("/") if key else []
        if len(key.encode()) > _KEY_MAX or any(len(part.encode()) > _NAME_MAX for part in parts):
            raise InputError(f"key: expected {_KEY_MAX} bytes at most, {_NAME_MAX} in each part")
        # What XML cannot hold could not be listed.
        if not {"", ".", ".."}.isdisjoint(parts) or re.search("[\0-\x1f\x7f\ufffd]", key):
            raise InputError('key: expected printable names, no "..", with a "/" between each two')
        uri = f"s3://{bucket}/{key}".rstrip("/")
        (self._reach.check_output if is_written else self._reach.check_data)(uri)
        if is_below(uri, [self._root]):
            raise ForbiddenError(f"{uri}: belongs to the installation itself")
        place = locate(uri)
        # What ends with a "/" is no file, whatever is there without it.
        return place / "" if key.endswith("/") else place

    def keys(self, bucket: str, prefix: str, after: str) -> Iterator[Key]:
        """Return the keys of a bucket behind one, in S3's order; only what may be read."""
        folder = "" if self._folder else prefix.rpartition("/")[0]
        place, start = self.place(bucket, folder), folder and f"{folder}/"
        return keys_of(place, start, prefix, after, self._root.removeprefix("s3://"))

    @contextmanager
    def new_file(self) -> Iterator[Path]:
        """Yield where a file grows that is not whole yet; gone at the end unless it was moved."""
        self._new_files.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._new_files) as folder:
            yield Path(folder, "file")

    def begin(self, bucket: str, key: str) -> str:
        """Begin an upload in parts; return its id."""
        for folder in {str(self._new_files), self._uploads}:
            remove_abandoned(locate(folder))
        name = uuid.uuid4().hex
        (self._upload_of(name, bucket, key) / _ETAG).write(b"")
        return name

    def upload(self, name: str, bucket: str, key: str) -> Upload:
        """Return an upload in parts that was begun for this very key."""
        try:
            return Upload(self._upload_of(name, bucket, key))
        except NotFoundError:
            raise WireError("NoSuchUpload", "The specified upload does not exist.", 404) from None

    def _upload_of(self, name: str, bucket: str, key: str) -> Location:
        # Under another key the same id names another folder, which is not there.
        return locate(self._uploads) / sha256(f"{bucket}/{key}\n{name}".encode()).hexdigest()


class Upload:
    """An upload in parts: a folder of the storage root, where any server finds it."""

    def __init__(self, folder: Location) -> None:
        self._folder = folder
        self.etag = (folder / _ETAG).read().decode()

    def require_open(self) -> None:
        """Refuse an upload that was completed."""
        if self.etag:
            raise WireError("NoSuchUpload", "The specified upload is completed.", 404)

    def part(self, number: int) -> Location:
        """Return where a part is, or would be."""
        return self._folder / "parts" / str(number)

    def complete(self, etag: str) -> None:
        """Keep the ETag, for a client that asks again because the answer was lost."""
        (self._folder / _ETAG).write(etag.encode())
        (self._folder / "parts").remove()

    def abort(self) -> None:
        """Forget an upload, with its parts."""
        self._folder.remove()


def remove_abandoned(place: Location) -> None:
    """Remove each folder here whose files are all too old."""
    newest: dict[str, float] = {}
    for info in place.listing(recursive=True, allow_not_found=True):
        if info.is_file:
            name = info.path.removeprefix(f"{place.path}/").partition("/")[0]
            newest[name] = max(newest.get(name, 0.0), info.mtime.timestamp())
    for name, timestamp in newest.items():
        if timestamp < time.time() - _ABANDONED_S:
            (place / name).remove()


def info_of(place: Location) -> fs.FileInfo:
    """Return size and time of an object."""
    info: fs.FileInfo = place.system.get_file_info([place.path])[0]
    if not info.is_file or place.path.endswith("/"):
        raise WireError("NoSuchKey", "The specified key does not exist.", 404)
    return info


def open_object(place: Location) -> tuple[Any, fs.FileInfo]:
    """Open an object; return size and time, too: of what was opened, if it is replaced now."""
    info = info_of(place)
    if not place.is_local:
        return place.open_seekable(), info
    try:
        source = Path(place.path).open("rb")  # noqa: SIM115 - closed by who sends it.
    except FileNotFoundError as error:
        raise WireError("NoSuchKey", "The specified key does not exist.", 404) from error
    status = os.fstat(source.fileno())
    return source, fs.FileInfo(
        place.path, fs.FileType.File, mtime_ns=status.st_mtime_ns, size=status.st_size
    )


def etag_of(info: fs.FileInfo) -> str:
    """Return the ETag of an object: with a hyphen, so that nobody takes it for an MD5."""
    return f'"{info.mtime_ns:x}-{info.size:x}"'


def commit(file: Path, place: Location, *, is_new: bool) -> str:
    """Put a whole file where an object lies, for ``is_new`` only where is none; return its ETag."""
    info = info_of(locate(file))  # That of the object, too, where it is moved.
    if place.path.endswith("/"):
        if info.size:
            raise InputError('a key that ends with "/", an empty folder, has no content')
    elif not place.is_local:
        if is_new:
            raise WireError("NotImplemented", "If-None-Match is not served of this storage.", 501)
        fs.copy_files(str(file), place.path, fs.LocalFileSystem(), place.system)
        info = info_of(place)
    else:
        target = Path(place.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(file) if is_new else file.replace(target)
        except FileExistsError:
            raise WireError("PreconditionFailed", "The object exists already.", 412) from None
    return etag_of(info)


def delete(place: Location, key: str) -> None:
    """Delete an object, if there is one, with the folders that are empty without it."""
    if not key.endswith("/"):
        place.remove_file()
    with suppress(OSError):  # The first folder that is not empty.
        for folder in Path(f"{place.path}_").parents[: key.count("/")] if place.is_local else ():
            folder.rmdir()


def keys_of(place: Location, start: str, prefix: str, after: str, hidden: str) -> Iterator[Key]:
    """Yield the keys of a folder behind one, in S3's order, reading one folder after the other.

    Left out are the folder whose path is ``hidden``, and links: they may lead out, or round.
    """
    keys = [
        (start + info.base_name + "/" * (info.type == fs.FileType.Directory), info)
        for info in place.listing(allow_not_found=True)
        if info.path != hidden and not (place.is_local and Path(info.path).is_symlink())
    ]
    for key, info in sorted(keys, key=itemgetter(0)):  # As their bytes in UTF-8 are.
        if info.type == fs.FileType.Directory:
            is_near = key.startswith(prefix) or prefix.startswith(key)
            if is_near and (key > after or after.startswith(key)):
                yield from keys_of(place / info.base_name, key, prefix, after, hidden)
        elif key > after and key.startswith(prefix):
            yield key, info


def groups_of(
    keys: Iterator[Key], prefix: str, delimiter: str, after: str
) -> Iterator[tuple[str, fs.FileInfo | None]]:
    """Yield keys, and once what several begin with up to a delimiter."""

    def group_of(key: Key) -> tuple[str, bool]:
        end = key[0].find(delimiter, len(prefix)) if delimiter else -1
        return (key[0], False) if end < 0 else (key[0][: end + len(delimiter)], True)

    for (name, is_group), members in groupby(keys, group_of):
        if name != after:
            yield name, None if is_group else next(members)[1]
