"""Files that resources name: what they hold, told by a digest, and the server's own copies."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from pyarrow import fs

from driftline.errors import InputError

__all__ = ["ModelCopy", "absolute", "data_fingerprint", "model_digest", "storage_folder"]

_CHUNK = 1 << 20


def storage_folder(root: str) -> Path:
    """Give the storage root as a folder of this machine: workers load models from files.

    Raises
    ------
    InputError
        When the root is a URI of another place.
    """
    if "://" not in root and not root.startswith("file:"):
        return Path(root)
    system, path = fs.FileSystem.from_uri(root)
    if not isinstance(system, fs.LocalFileSystem):
        raise InputError(f'storage root "{root}": models are served from local folders only')
    return Path(path)


def model_digest(file: Path) -> str:
    """Give the digest of a model file's bytes."""
    return _digest([file], file.parent)


class ModelCopy:
    """The server's own copy of a model file under the storage root.

    Parameters
    ----------
    folder
        The storage root.
    name
        Of the model.
    file, digest
        What is copied, and the digest of its bytes.

    Attributes
    ----------
    path
        Where the copy lies, relative to the storage root.
    """

    def __init__(self, folder: Path, name: str, file: Path, digest: str) -> None:
        self.path = f"models/{name}/{digest}/{file.name}"
        self._target = folder / self.path
        self._is_new = False
        self._source = file

    def make(self) -> None:
        """Copy the file, unless the same bytes lie there; a half copy is never seen."""
        if self._target.exists():
            return
        self._is_new = True
        self._target.parent.mkdir(parents=True, exist_ok=True)
        half = self._target.with_name(f".{uuid.uuid4().hex}")
        shutil.copyfile(self._source, half)
        half.replace(self._target)

    def undo(self) -> None:
        """Remove the copy, whole or half, if ``make`` made it, and folders that are empty then."""
        if not self._is_new or not self._target.parent.exists():
            return
        shutil.rmtree(self._target.parent)
        for folder in (self._target.parents[1], self._target.parents[2]):
            if not any(folder.iterdir()):
                folder.rmdir()


def data_fingerprint(data: str | Sequence[str]) -> str:
    """Give a digest that changes when reference data change.

    Of local files (a path, a folder, a glob, or a list of them) the names and all bytes count; of
    other URIs the names, sizes and times of change.

    Raises
    ------
    InputError
        When a path is relative, or nothing lies there.
    """
    sources = [data] if isinstance(data, str) else list(data)
    if not sources:
        raise InputError("data: no paths; expected at least one file or folder")
    found = hashlib.blake2b(digest_size=16)
    for source in sources:
        if "://" in source:
            found.update(_remote(source).encode())
            continue
        path = absolute(source, "data")
        files = _local_files(path)
        found.update(_digest(files, path if path.is_dir() else path.parent).encode())
    return found.hexdigest()


def absolute(path: str, what: str) -> Path:
    """Refuse a path that would depend on the folder in which the server was started.

    Raises
    ------
    InputError
        When the path is relative.
    """
    found = Path(path)
    if not found.is_absolute():
        raise InputError(
            f'{what} "{path}" is a relative path; the server runs elsewhere, give an absolute one'
        )
    return found


def _local_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file())
    else:
        found = sorted(Path(name) for name in glob.glob(str(path)))  # noqa: PTH207 - an absolute pattern
    if not found:
        raise InputError(f"data {path}: no such file, and no file matches it")
    return found


def _digest(files: Sequence[Path], folder: Path) -> str:
    found = hashlib.blake2b(digest_size=16)
    for file in files:
        try:
            with file.open("rb") as stream:
                if len(files) > 1:
                    found.update(os.fsencode(os.path.relpath(file, folder)) + b"\0")
                while chunk := stream.read(_CHUNK):
                    found.update(chunk)
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    return found.hexdigest()


def _remote(uri: str) -> str:
    """Describe what lies at a URI without reading it."""
    try:
        system, path = fs.FileSystem.from_uri(uri)
        infos = system.get_file_info([path])
        if infos[0].type == fs.FileType.Directory:
            infos = system.get_file_info(fs.FileSelector(path, recursive=True))
    except (OSError, ValueError) as error:
        raise InputError(f"data {uri}: cannot be read ({error})") from error
    if all(info.type == fs.FileType.NotFound for info in infos):
        raise InputError(f"data {uri}: no such file or folder")
    return repr(sorted((info.path, info.size, info.mtime_ns) for info in infos if info.is_file))
