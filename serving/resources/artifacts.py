"""Files that resources name: what they hold, told by a digest, and the server's own copies."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath

from pyarrow import fs

from driftline.errors import ConflictError, InputError, UnavailableError
from driftline.formats.data_files import data_files
from driftline.formats.location import Location, locate
from driftline.serving.resources.reach import Reach
from driftline.storage import is_remote, open_uri, storage_error

# Of a folder: beyond, somebody has named a folder of other things.
FILES_MAX, BYTES_MAX = 10_000, 64 << 30


class ModelStore:
    """The models under the storage root; those in a bucket are fetched into a local folder once."""

    def __init__(self, root: str, local_dir: Path | None = None) -> None:
        self._remote: Location | None = None
        if is_remote(root):
            if local_dir is None:
                raise InputError(f'storage root "{root}": models need a folder of this machine')
            self._remote, self._folder = locate(root), local_dir
        else:
            self._folder = Path(open_uri(root)[1])
        # Folders of models that were put or needed here, and those not needed at the last look.
        self._known: set[str] = set()
        self._unneeded: set[str] = set()

    @property
    def local_folder(self) -> Path:
        """The folder of this machine that models are served from."""
        return self._folder

    def path(self, file: str) -> Path:
        """Return where a model lies, or will lie; its path is relative to the storage root."""
        return self._folder / file

    def fetch(self, file: str) -> Path:
        """Fetch a model to this machine; return its path."""
        path = self.path(file)
        if self._remote is None or path.exists():
            return path
        with _growing(path) as half:
            copy_here(self._remote / file, half)
            if model_digest(half) != path.parent.name:
                raise UnavailableError(
                    f"{(self._remote / file).shown}: not the bytes that were put there"
                )
        return path

    def put(self, name: str, source: Path, digest: str) -> str:
        """Copy a model of a digest, never seen half; return its path below the storage root."""
        folder = model_folder(name, digest)
        self._known.add(folder)
        file = f"{folder}/{source.name}"
        target = self._folder / file
        if not target.exists():
            with _growing(target) as half:
                for name, one in model_files(source).items():
                    place = half / name if name else half
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(one, place)
                if model_digest(half) != digest:
                    raise ConflictError(f"{source} changed while it was copied; apply it again")
        if self._remote is not None and not _is_whole(remote := self._remote / file, target):
            with _errors_of(remote):
                fs.copy_files(
                    str(target), remote.path,
                    source_filesystem=fs.LocalFileSystem(), destination_filesystem=remote.system,
                )  # fmt: skip
        return file

    def remove_unneeded(self, needed: set[str]) -> None:
        """Remove the models that are not needed, and were not at the last call.

        Folders that were neither put nor needed here may be another installation's.
        """
        self._known |= needed
        unneeded = self._known - needed
        for folder in unneeded & self._unneeded:
            self.remove(folder)
            self._known.remove(folder)
        self._unneeded = unneeded & self._known

    def remove(self, folder: str) -> None:
        """Remove a model's folder, here and there; that it stays is no error, only waste."""
        shutil.rmtree(self._folder / folder, ignore_errors=True)
        with suppress(OSError):  # Other models of this name lie beside it.
            (self._folder / folder).parent.rmdir()
        if self._remote is not None:
            with suppress(UnavailableError):
                (self._remote / folder).remove()


def model_folder(name: str, digest: str) -> str:
    """Return the folder of a model's copy, relative to the storage root."""
    return f"models/{name.casefold()}/{digest}"


@contextmanager
def _growing(target: Path) -> Iterator[Path]:
    """Yield a hidden name for a model while it grows; it gets its own when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{uuid.uuid4().hex}")
    try:
        yield half
        try:
            half.replace(target)
        except OSError:  # Another server has put the folder there meanwhile.
            if not target.is_dir():
                raise
    finally:
        if half.is_dir():
            shutil.rmtree(half, ignore_errors=True)
        else:
            half.unlink(missing_ok=True)


@contextmanager
def _errors_of(place: Location) -> Iterator[None]:
    """Name a place in a bucket in what is wrong with it."""
    try:
        yield
    except OSError as error:
        if not is_remote(place.shown):
            raise
        raise storage_error(place.shown, error) from error


def _is_whole(place: Location, model: Path) -> bool:
    """Whether all files of a model lie in the bucket: each comes whole, a folder one by one."""
    if not model.is_dir():
        return bool(place.kind == fs.FileType.File)
    there = {
        info.path.removeprefix(f"{place.path}/"): info.size
        for info in place.listing(recursive=True, allow_not_found=True)
        if info.is_file
    }
    return there == {name: file.stat().st_size for name, file in model_files(model).items()}


def copy_here(place: Location, target: Path) -> None:
    """Copy a model's file or folder out of a bucket; refuse what is none's by its size."""
    if place.kind == fs.FileType.NotFound:
        raise InputError(f"{place.shown}: no such file")
    if place.kind == fs.FileType.Directory:
        infos = place.listing(recursive=True)
        if len(infos) > FILES_MAX or sum(info.size or 0 for info in infos) > BYTES_MAX:
            raise InputError(_too_large(place.shown))
        for info in infos:
            name = PurePosixPath(info.path.removeprefix(f"{place.path}/"))
            if name.is_absolute() or ".." in name.parts:  # Keys of objects may be any text.
                raise UnavailableError(f"{place.shown} holds {str(name)[:80]!r}, no name of a file")
    with _errors_of(place):
        fs.copy_files(
            place.path, str(target),
            source_filesystem=place.system, destination_filesystem=fs.LocalFileSystem(),
        )  # fmt: skip


def data_fingerprint(data: str | Sequence[str], reach: Reach) -> str:
    """Return a digest of reference data: of bytes here, of sizes and times in a bucket."""
    sources = [data] if isinstance(data, str) else list(data)
    if not sources:
        raise InputError("data: no paths; expected at least one file or folder")
    found = hashlib.blake2b(digest_size=16)
    for source in sources:
        reach.check_data(source)
        for info in _files_of(source):
            known: tuple[object, ...] = info.path, info.size, info.mtime_ns
            if not is_remote(source):
                reach.check(Path(info.path))
                name = os.path.relpath(info.path, locate(source).path)
                known = name, _file_digest(Path(info.path))
            found.update(repr(known).encode())
    return found.hexdigest()


def _files_of(source: str) -> list[fs.FileInfo]:
    place = locate(source)
    with _errors_of(place):
        # A table's log says which ones are rows.
        if (place / "_delta_log").kind == fs.FileType.Directory:
            infos = place.listing(recursive=True)
        else:
            infos = place.system.get_file_info([one.path for one in data_files(source)])
    return sorted((info for info in infos if info.is_file), key=lambda info: info.path)


def model_files(model: Path) -> Mapping[str, Path]:
    """Return a model's files by their paths inside it; refuse links, devices and pipes."""
    if not model.is_dir():
        if not model.is_file():
            raise InputError(f"{model}: no regular file; expected a model's")
        return {"": model}
    files: dict[str, Path] = {}
    size_bytes = 0
    for file in _below(model):
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(
                f"{file}: no regular file; expected a model's files and folders (cp -RL makes a "
                "copy without links)"
            )
        size_bytes += found.st_size
        files[file.relative_to(model).as_posix()] = file
        if len(files) > FILES_MAX or size_bytes > BYTES_MAX:
            raise InputError(_too_large(str(model)))
    return dict(sorted(files.items()))


def _too_large(shown: str) -> str:
    return f"{shown} holds more than {FILES_MAX:,} files or {BYTES_MAX >> 30} GiB; expected a model"


def _below(top: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(top, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(path, name).is_symlink()]
        yield from (Path(path, name) for name in (*files, *links) if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise error


def model_digest(model: Path) -> str:
    """Return a digest of a model's bytes; of a folder's, of the names in it, too."""
    files = model_files(model)
    if not model.is_dir():
        return _file_digest(model).hex()
    found = hashlib.blake2b(digest_size=16)
    for name, file in files.items():
        # No name holds a NUL, and digests have one length: no other tree reads the same.
        found.update(os.fsencode(name) + b"\0" + _file_digest(file))
    return found.hexdigest()


def _file_digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, partial(hashlib.blake2b, digest_size=16)).digest()
