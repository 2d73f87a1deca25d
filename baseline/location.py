"""Where documents and data files lie: a path or a URI as a pyarrow file system and a path."""

from __future__ import annotations

import glob
import os
import uuid
from pathlib import Path

from pyarrow import fs

from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.storage import is_remote, open_uri, storage_error

__all__ = ["Location", "data_files", "locate"]

# In a folder, these are data; when none is there, every file is taken as data.
DATA_SUFFIXES = (
    ".csv", ".tsv", ".txt", ".parquet", ".pq", ".json", ".jsonl", ".ndjson", ".arrow", ".feather",
)  # fmt: skip


class Location:
    """A folder or file on some pyarrow file system.

    Parameters
    ----------
    system
        The file system.
    path
        Its path there.
    shown
        What the user typed, for messages.
    """

    __slots__ = ("path", "shown", "system")

    def __init__(self, system: fs.FileSystem, path: str, shown: str) -> None:
        self.system = system
        self.path = path
        self.shown = shown

    def __truediv__(self, name: str) -> Location:
        return Location(self.system, f"{self.path.rstrip('/')}/{name}", f"{self.shown}/{name}")

    @property
    def kind(self) -> fs.FileType:
        """Whether a file, a folder or nothing is here."""
        return self._info(self.path).type

    def _info(self, path: str) -> fs.FileInfo:
        try:
            return self.system.get_file_info([path])[0]
        except OSError as error:
            raise storage_error(self.shown, error) from error

    def read(self) -> bytes:
        """Read the whole file.

        Raises
        ------
        NotFoundError
            When there is no such file.
        """
        if self.kind != fs.FileType.File:
            raise NotFoundError(f"{self.shown}: no such file")
        with self.system.open_input_stream(self.path, compression=None) as stream:
            return bytes(stream.read())

    def write(self, data: bytes) -> None:
        """Write the whole file; a reader sees the old one or the new one, never a part.

        Folders above are made. On stores without rename the upload itself is all or nothing.

        Raises
        ------
        InputError
            When a file stands where a folder is needed, or the place may not be written.
        UnavailableError
            When the storage does not take it now.
        """
        try:
            self._write(data)
        except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
            raise InputError(f"{self.shown}: cannot be written ({error})") from error
        except OSError as error:
            if is_remote(self.shown):
                raise storage_error(self.shown, error) from error
            raise UnavailableError(f"{self.shown}: cannot be written now ({error})") from error

    def _write(self, data: bytes) -> None:
        folder, _, name = self.path.rpartition("/")
        local = isinstance(self.system, fs.LocalFileSystem)
        if local:
            self.system.create_dir(folder, recursive=True)
        target = f"{folder}/.{name}.{uuid.uuid4().hex}" if local else self.path
        with self.system.open_output_stream(target, compression=None) as stream:
            stream.write(data)
        if local:
            Path(target).replace(self.path)

    def folders(self) -> list[str]:
        """Name the folders directly inside, sorted; none when nothing is here."""
        chosen = fs.FileSelector(self.path, allow_not_found=True)
        infos = self.system.get_file_info(chosen)
        return sorted(info.base_name for info in infos if info.type == fs.FileType.Directory)

    def files(self) -> list[Location]:
        """List data files inside, at any depth, sorted; hidden ones and ``_logs`` left out."""
        infos = self.system.get_file_info(fs.FileSelector(self.path, recursive=True))
        found = [
            info.path
            for info in infos
            if info.type == fs.FileType.File
            and not any(
                part.startswith((".", "_"))
                for part in info.path[len(self.path) :].split("/")
                if part and "=" not in part
            )
        ]
        chosen = [path for path in found if path.removesuffix(".gz").endswith(DATA_SUFFIXES)]
        return [Location(self.system, path, path) for path in sorted(chosen or found)]


def locate(where: str | os.PathLike[str]) -> Location:
    """Open a path or URI (``file:``, ``s3://``, …); nothing need be there yet.

    Raises
    ------
    InputError
        When the URI's scheme is unknown or it cannot be read.
    """
    shown = os.fspath(where)
    return Location(*open_uri(shown), shown)


def data_files(where: str | os.PathLike[str]) -> list[Location]:
    """List the data files that a path, glob, folder or URI means.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    place = locate(where)
    kind = place.kind
    if kind == fs.FileType.File:
        return [place]
    if kind == fs.FileType.Directory:
        if found := place.files():
            return found
        raise NotFoundError(
            f"{place.shown}: the folder holds no data file; expected CSV, Parquet …"
        )
    if any(sign in place.shown for sign in "*?["):
        matches = sorted(glob.glob(place.path, recursive=True))  # noqa: PTH207  # As typed.
        found = [locate(match) for match in matches if Path(match).is_file()]
        if found:
            return found
        raise NotFoundError(f"{place.shown}: no file matches this pattern")
    raise NotFoundError(f"{place.shown}: no such file or folder")
