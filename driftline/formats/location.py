"""Where documents and data files lie: a path or a URI as a pyarrow file system and a path."""

from __future__ import annotations

import glob
import os
import uuid
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pyarrow import fs

from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.formats.buffered import spooled_bytes
from driftline.formats.formats import FORMATS
from driftline.storage import is_remote, open_uri, storage_error

# In a folder, these are data, packed or not, in letters of any size; when none is there, every file
# is taken as data.
DATA_SUFFIXES = tuple(suffix for one in FORMATS.values() for suffix in one.suffixes)
PACKED_SUFFIXES = (".gz", ".gzip", ".bz2", ".zst", ".zstd", ".lz4")
STANDARD_INPUT = "/dev/stdin"
OWN_PIPES = (STANDARD_INPUT, "/dev/fd/", "/proc/self/fd/")


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

    @property
    def _is_local(self) -> bool:
        return isinstance(self.system, fs.LocalFileSystem)

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
        UnavailableError
            When the storage does not answer.
        """
        if self.kind != fs.FileType.File:
            raise NotFoundError(f"{self.shown}: no such file")
        try:
            with self.system.open_input_stream(self.path, compression=None) as stream:
                return bytes(stream.read())
        except OSError as error:
            if is_remote(self.shown):
                raise storage_error(self.shown, error) from error
            raise

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
        if self._is_local:
            self.system.create_dir(folder, recursive=True)
        target = f"{folder}/.{name}.{uuid.uuid4().hex}" if self._is_local else self.path
        with self.system.open_output_stream(target, compression=None) as stream:
            stream.write(data)
        if self._is_local:
            Path(target).replace(self.path)

    def folders(self) -> list[str]:
        """Name the folders directly inside, sorted; none when nothing is here."""
        infos = self._inside(allow_not_found=True)
        return sorted(info.base_name for info in infos if info.type == fs.FileType.Directory)

    def remove(self, above: int = 0) -> None:
        """Remove this folder with all in it, and so many folders above as are empty then.

        Raises
        ------
        UnavailableError
            When the storage does not do it now.
        """
        try:
            self.system.delete_dir(self.path)
            # A bucket has no folders: nothing is left of one that is empty.
            parents = Path(self.path).parents[:above] if self._is_local else ()
            for parent in parents:
                if not any(parent.iterdir()):
                    parent.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(self.shown, error) from error

    def remove_file(self) -> None:
        """Remove this file, if there is one.

        Raises
        ------
        UnavailableError
            When the storage does not do it now.
        """
        if self.kind != fs.FileType.File:
            return
        try:
            self.system.delete_file(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(self.shown, error) from error

    def _inside(
        self, *, recursive: bool = False, allow_not_found: bool = False
    ) -> list[fs.FileInfo]:
        chosen = fs.FileSelector(self.path, recursive=recursive, allow_not_found=allow_not_found)
        try:
            return list(self.system.get_file_info(chosen))
        except OSError as error:
            if is_remote(self.shown):
                raise storage_error(self.shown, error) from error
            raise

    def files(self) -> list[Location]:
        """List data files inside, at any depth, sorted; hidden ones and ``_logs`` left out.

        What links lead to again and again is listed once.

        Raises
        ------
        InputError
            When a Delta table is inside: only its log knows which of its files still count.
        """
        infos = self._inside(recursive=True)
        for info in infos:
            if "_delta_log" in info.path[len(self.path) :].split("/"):
                table = info.path.partition("/_delta_log")[0]
                raise InputError(
                    f"{table}: a Delta table among other data; name its folder, and only that"
                )
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
        chosen = sorted([path for path in found if _is_data(path)] or found)
        if self._is_local:
            chosen = _once(chosen)
        remote = self.shown.rstrip("/") if is_remote(self.shown) else ""
        return [
            Location(self.system, path, f"{remote}{path[len(self.path) :]}" if remote else path)
            for path in chosen
        ]

    def matches(self) -> list[Location]:
        """List the files of a bucket that this pattern means, sorted; ``**`` is any folders."""
        parts = self.path.split("/")
        first = next(number for number, part in enumerate(parts) if is_pattern(part))
        base = Location(self.system, "/".join(parts[:first]), self.shown)
        scheme = self.shown.partition("://")[0]
        return [
            Location(self.system, info.path, f"{scheme}://{info.path}")
            for info in sorted(
                base._inside(recursive=True, allow_not_found=True), key=lambda info: info.path
            )
            if info.type == fs.FileType.File and _meets(info.path.split("/"), parts)
        ]


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

    A pipe is read to its end, into a file; "-" is what is piped into this process.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    place = locate(STANDARD_INPUT if os.fspath(where) == "-" else where)
    kind = place.kind
    if kind == fs.FileType.File:
        return [place]
    if kind == fs.FileType.Directory:
        if found := place.files():
            return found
        raise NotFoundError(
            f"{place.shown}: the folder holds no data file; expected CSV, Parquet …"
        )
    if is_pattern(place.shown):
        if is_remote(place.shown):
            found = place.matches()
        else:
            matches = sorted(glob.glob(place.path, recursive=True))  # noqa: PTH207  # As typed.
            files = _once([one for one in matches if Path(one).is_file()])
            # Where only folders match, they are meant, as when the shell names them.
            folders = [] if files else [one for one in matches if Path(one).is_dir()]
            found = [locate(one) for one in files]
            found += [file for one in _once(folders) for file in locate(one).files()]
        if found:
            return found
        raise NotFoundError(f"{place.shown}: no file matches this pattern")
    if kind == fs.FileType.Unknown:
        return [_piped(place)]
    raise NotFoundError(f"{place.shown}: no such file or folder")


def _piped(place: Location) -> Location:
    """Give the file with what comes by a pipe of this process."""
    pipe = Path(place.path)
    if not pipe.is_fifo():
        raise InputError(f"{place.shown}: neither a file nor a folder nor a pipe; expected data")
    if not place.path.startswith(OWN_PIPES):
        # One with a name is another one's tomorrow, and waits for who writes for ever.
        raise InputError(f"{place.shown}: a pipe with a name; expected a file, or - with < PIPE")
    return Location(place.system, str(spooled_bytes(pipe)), place.shown)


def _is_data(path: str) -> bool:
    """Say by a file's name whether it holds data."""
    name = path.lower()
    packed = next((one for one in PACKED_SUFFIXES if name.endswith(one)), "")
    return name.removesuffix(packed).endswith(DATA_SUFFIXES)


def _once(paths: Sequence[str]) -> list[str]:
    """Leave out what a link makes appear again: rows would count twice, in a loop forty times."""
    # The shortest name is the one without the links that lead back.
    order = sorted(paths, key=lambda path: (len(path), path), reverse=True)
    kept = set({os.path.realpath(path): path for path in order}.values())
    return [path for path in paths if path in kept]


def is_pattern(text: str) -> bool:
    """Whether a path or URI is a glob."""
    return any(sign in text for sign in "*?[")


def _meets(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Say whether the parts of a path are what a pattern means, as ``glob`` reads it."""
    if not pattern or not path:
        return list(pattern) in ([], ["**"]) and not path
    if pattern[0] == "**":
        return _meets(path, pattern[1:]) or _meets(path[1:], pattern)
    return fnmatchcase(path[0], pattern[0]) and _meets(path[1:], pattern[1:])
