"""Where documents and data files lie: a path or a URI as a pyarrow file system and a path."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from driftline.errors import InputError, NotFoundError, UnavailableError, reason_of
from driftline.storage import is_remote, open_uri, storage_error


class Location:
    """A folder or file on some pyarrow file system."""

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
        try:
            return self.system.get_file_info([self.path])[0].type
        except OSError as error:
            raise storage_error(self.shown, error) from error

    @property
    def is_local(self) -> bool:
        """Whether this is on a disk, not in a bucket."""
        return isinstance(self.system, fs.LocalFileSystem)

    def open(self, packing: str | None = None) -> pa.NativeFile:
        """Open the file for one reading, unpacked by Arrow's codec of this name."""
        with self._required():
            return self.system.open_input_stream(self.path, compression=packing)

    def open_seekable(self) -> pa.NativeFile:
        """Open the file for reading at any place."""
        with self._required():
            return self.system.open_input_file(self.path)

    @contextmanager
    def _required(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.shown}: no such file") from error

    def read(self, most: int | None = None) -> bytes:
        """Read the whole file; refuse one that has more than so many bytes."""
        if self.kind != fs.FileType.File:
            raise NotFoundError(f"{self.shown}: no such file")
        try:
            with self.open() as stream:
                found = bytes(stream.read(None if most is None else most + 1))
        except OSError as error:
            if is_remote(self.shown):
                raise storage_error(self.shown, error) from error
            raise
        if most is not None and len(found) > most:
            raise InputError(f"{self.shown}: too long; expected at most {most} bytes")
        return found

    def write(self, data: bytes) -> None:
        """Write the whole file; a reader sees the old one or the new one, never a part.

        Parent folders are created. On stores without rename the upload itself is all or nothing.
        """
        try:
            if self.is_local:
                self.system.create_dir(self.path.rpartition("/")[0], recursive=True)
            self.replace(data)
        except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
            raise InputError(
                f"{self.shown}: cannot be written ({reason_of(error)}); expected a folder or file "
                "where you may write"
            ) from error
        except OSError as error:
            if is_remote(self.shown):
                raise storage_error(self.shown, error) from error
            raise UnavailableError(
                f"{self.shown}: cannot be written now ({reason_of(error)})"
            ) from error

    def replace(self, data: bytes) -> None:
        """Write the whole file as `write` does, in a folder that is there; errors are OSError."""
        # A bucket shows an object when it is whole; a folder shows a file as soon as it is made.
        folder, _, name = self.path.rpartition("/")
        target = f"{folder}/.{name}.{uuid.uuid4().hex}" if self.is_local else self.path
        try:
            with self.system.open_output_stream(target, compression=None) as stream:
                stream.write(data)
            if self.is_local:
                Path(target).replace(self.path)
        except OSError:  # Of a full disk; what was written would fill it further at each attempt.
            if self.is_local:
                with suppress(OSError):
                    Path(target).unlink()
            raise

    def folders(self) -> list[str]:
        """Return the names of the folders directly inside, sorted; none when nothing is here."""
        infos = self.listing(allow_not_found=True)
        return sorted(info.base_name for info in infos if info.type == fs.FileType.Directory)

    def remove(self, above: int = 0) -> None:
        """Remove this folder with all in it, and so many folders above as are empty then."""
        try:
            self.system.delete_dir(self.path)
            # A bucket has no folders: nothing is left of one that is empty.
            parents = Path(self.path).parents[:above] if self.is_local else ()
            for parent in parents:
                if not any(parent.iterdir()):
                    parent.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(self.shown, error) from error

    def remove_file(self) -> None:
        """Remove this file, if there is one."""
        if self.kind != fs.FileType.File:
            return
        try:
            self.system.delete_file(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(self.shown, error) from error

    def listing(
        self, *, recursive: bool = False, allow_not_found: bool = False
    ) -> list[fs.FileInfo]:
        """Return what is in this folder."""
        chosen = fs.FileSelector(self.path, recursive=recursive, allow_not_found=allow_not_found)
        try:
            return list(self.system.get_file_info(chosen))
        except OSError as error:
            if is_remote(self.shown):
                raise storage_error(self.shown, error) from error
            raise


class Body(Location):
    """Bytes at hand, read like a file; what looks packed stays so."""

    __slots__ = ("content",)

    def __init__(self, content: bytes, shown: str) -> None:
        super().__init__(fs.LocalFileSystem(), "", shown)
        self.content = content

    def open(self, packing: str | None = None) -> pa.NativeFile:
        """Open the bytes."""
        return pa.BufferReader(self.content)


def locate(where: str | os.PathLike[str]) -> Location:
    """Open a path or URI (``file:``, ``s3://``, …); nothing need be there yet."""
    shown = os.fspath(where)
    return Location(*open_uri(shown), shown)


def is_pattern(text: str) -> bool:
    """Whether a path or URI is a glob."""
    return any(sign in text for sign in "*?[")
