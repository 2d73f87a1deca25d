"""The storage root as tables need it: opened, listed, with its options for delta-rs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.exceptions import DeltaError

from driftline.errors import UnavailableError, UndecidedError
from driftline.formats.location import Location
from driftline.storage import is_remote, open_uri, storage_error


class StorageError(UnavailableError):
    """The storage root cannot be read or written now."""


class DamagedError(StorageError, UndecidedError):
    """The disk answers, but the table's log or files cannot be read."""


def open_storage(root: str) -> tuple[pafs.FileSystem, str]:
    """Open a storage root given as a path or URI; return its file system and the path in it.

    The options of buckets are those of ``driftline.storage.use_options``.
    """
    filesystem, path = open_uri(root)
    return filesystem, path.rstrip("/") or path


def list_folders(root: str, name: str) -> list[str]:
    """Return the folders in ``<root>/<name>``, in order; none where there is no such folder."""
    filesystem, path = open_storage(root)
    with reaching(root):
        entries = filesystem.get_file_info(
            pafs.FileSelector(f"{path}/{name}", allow_not_found=True)
        )
    return sorted(e.base_name for e in entries if e.type == pafs.FileType.Directory)


def put_file(root: str, folder: str, name: str, data: bytes) -> None:
    """Write ``<root>/<folder>/<name>`` atomically, replacing what was there."""
    filesystem, path = open_storage(root)
    with reaching(f"{root}/{folder}"):
        filesystem.create_dir(f"{path}/{folder}", recursive=True)
        replace_object(filesystem, f"{path}/{folder}/{name}", data)


def replace_object(filesystem: pafs.FileSystem, path: str, data: bytes) -> None:
    """Write a file atomically, replacing what was there; its folder is there."""
    Location(filesystem, path, path).replace(data)


def get_file(root: str, folder: str, name: str) -> bytes | None:
    """Read ``<root>/<folder>/<name>``; None where there is no such file."""
    filesystem, path = open_storage(root)
    file = f"{path}/{folder}/{name}"
    # Between the two looks another process may remove it.
    with reaching(f"{root}/{folder}"), suppress(FileNotFoundError):
        if filesystem.get_file_info(file).type == pafs.FileType.File:
            with filesystem.open_input_stream(file, compression=None) as stream:
                return bytes(stream.read())
    return None


@contextmanager
def reaching(where: str) -> Iterator[None]:
    """Turn a storage's errors into a StorageError of one sentence."""
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise trouble(where, error) from error


def trouble(where: str, error: BaseException) -> StorageError:
    """Describe in one sentence why a table or folder cannot be read or written."""
    if is_remote(where):
        return StorageError(str(storage_error(where, error)))
    # What delta-rs says without an error of the system is about what it has read.
    is_damaged = isinstance(error, DeltaError) and "os error" not in str(error)
    return (DamagedError if is_damaged else StorageError)(f'table "{where}": {error}')
