"""The data files that a path, glob, folder or URI means, and the format that each is in."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from operator import attrgetter
from pathlib import Path

from pyarrow import fs

from driftline.errors import InputError, NotFoundError
from driftline.formats.buffered import spooled_bytes
from driftline.formats.formats import FORMATS, FormatName, sniff
from driftline.formats.location import Location, is_pattern, locate
from driftline.formats.media_types import TEXT_MEDIA_TYPES
from driftline.formats.opening import find_encoding
from driftline.storage import is_remote

# In a folder, these are data, packed or not, in letters of any size; when none is there, every file
# is taken as data.
DATA_SUFFIXES = tuple(suffix for row in FORMATS.values() for suffix in row.suffixes)
PACKED_SUFFIXES = (".gz", ".gzip", ".bz2", ".zst", ".zstd", ".lz4")
STANDARD_INPUT = "/dev/stdin"
OWN_PIPES = (STANDARD_INPUT, "/dev/fd/", "/proc/self/fd/")
_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xfd7zXZ": "packed by xz",
    b"Rar!": "a RAR archive",
}
# The first file in a ZIP archive that is a workbook of Excel's or LibreOffice's, and its place.
_WORKBOOK = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"mimetype")
_FIRST_NAME = 30
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
# What a server sends in place of a file that it has not, or wants a password for.
_PAGE = re.compile(r"<!doctype\s+html|<html[\s>]", re.IGNORECASE)


def data_files(where: str | os.PathLike[str]) -> list[Location]:
    """List the data files that a path, glob, folder or URI means.

    A pipe is read to its end, into a file; "-" is standard input.
    """
    place = locate(STANDARD_INPUT if os.fspath(where) == "-" else where)
    kind = place.kind
    if kind == fs.FileType.File:
        return [place]
    if kind == fs.FileType.Directory:
        if found := _files_in(place):
            return found
        raise NotFoundError(
            f"{place.shown}: the folder holds no data file; expected CSV, Parquet …"
        )
    if is_pattern(place.shown):
        if is_remote(place.shown):
            found = _matches(place)
        else:
            matches = sorted(glob.glob(place.path, recursive=True))  # noqa: PTH207  # As typed.
            files = _once([one for one in matches if Path(one).is_file()])
            # Where only folders match, they are meant, as when the shell names them.
            folders = [] if files else [one for one in matches if Path(one).is_dir()]
            found = [locate(one) for one in files]
            found += [file for one in _once(folders) for file in _files_in(locate(one))]
        if found:
            return found
        raise NotFoundError(f"{place.shown}: no file matches this pattern")
    if kind == fs.FileType.Unknown:
        return [_piped(place)]
    raise NotFoundError(f"{place.shown}: no such file or folder")


def _piped(place: Location) -> Location:
    """Return the file with what comes by a pipe of this process."""
    pipe = Path(place.path)
    if not pipe.is_fifo():
        raise InputError(f"{place.shown}: neither a file nor a folder nor a pipe; expected data")
    if not place.path.startswith(OWN_PIPES):
        # One with a name is another one's tomorrow, and waits for who writes for ever.
        raise InputError(f"{place.shown}: a pipe with a name; expected a file, or - with < PIPE")
    return Location(place.system, str(spooled_bytes(pipe)), place.shown)


def form_of(head: bytes, shown: str, encoding: str | None = None) -> FormatName:
    """Return a file's format by its first bytes, never by its name; of text CSV or JSON."""
    form = sniff(head)
    if form not in TEXT_MEDIA_TYPES and FORMATS[form].open_files is not None:
        return form
    is_zip = head.startswith(b"PK\x03\x04")
    if head.startswith(_OLD_EXCEL) or (is_zip and head[_FIRST_NAME:].startswith(_WORKBOOK)):
        raise InputError(f"{shown}: a workbook such as Excel's; save its sheet as CSV")
    for mark, name in _ARCHIVES.items():
        if head.startswith(mark):
            raise InputError(f"{shown}: {name}; expected data, unpack it first")
    found = find_encoding(head, encoding)
    text = head.decode(found, "replace").lstrip("\ufeff \t\r\n")
    if not text:
        raise InputError(f"{shown}: the file is empty; expected rows")
    if "\x00" in text or head.startswith((b"FEA1", b"\x89")):
        raise InputError(f"{shown}: binary content; expected CSV, JSON Lines, Parquet or Arrow")
    if _PAGE.match(text):
        raise InputError(
            f"{shown}: a page of HTML, perhaps a server's error or its login; expected CSV, JSON "
            "Lines, Parquet or Arrow"
        )
    return "json" if text[0] in "{[" else "csv"


def _files_in(folder: Location) -> list[Location]:
    """List data files inside, at any depth, sorted; hidden ones and ``_logs`` left out.

    Cyclic links are listed once.
    """
    infos = sorted(folder.listing(recursive=True), key=attrgetter("path"))
    for info in infos:
        if "_delta_log" in info.path[len(folder.path) :].split("/"):
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
            for part in info.path[len(folder.path) :].split("/")
            if part and "=" not in part
        )
    ]
    chosen = sorted([path for path in found if _is_data(path)] or found)
    if folder.is_local:
        chosen = _once(chosen)
    remote = folder.shown.rstrip("/") if is_remote(folder.shown) else ""
    return [
        Location(folder.system, path, f"{remote}{path[len(folder.path) :]}" if remote else path)
        for path in chosen
    ]


def _matches(pattern: Location) -> list[Location]:
    """List the files of a bucket that this pattern means, sorted; ``**`` is any folders."""
    parts = pattern.path.split("/")
    first = next(number for number, part in enumerate(parts) if is_pattern(part))
    base = Location(pattern.system, "/".join(parts[:first]), pattern.shown)
    scheme = pattern.shown.partition("://")[0]
    return [
        Location(pattern.system, info.path, f"{scheme}://{info.path}")
        for info in sorted(
            base.listing(recursive=True, allow_not_found=True), key=lambda info: info.path
        )
        if info.type == fs.FileType.File and _meets(info.path.split("/"), parts)
    ]


def _is_data(path: str) -> bool:
    """Whether a file holds data, by its name."""
    name = path.lower()
    packed = next((one for one in PACKED_SUFFIXES if name.endswith(one)), "")
    return name.removesuffix(packed).endswith(DATA_SUFFIXES)


def _once(paths: Sequence[str]) -> list[str]:
    """Leave out what a link makes appear again: rows would count twice, in a loop forty times."""
    # The shortest name is the one without the links that lead back.
    order = sorted(paths, key=lambda path: (len(path), path), reverse=True)
    kept = set({os.path.realpath(path): path for path in order}.values())
    return [path for path in paths if path in kept]


def _meets(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path are what a pattern means, as ``glob`` reads it."""
    if not pattern or not path:
        return list(pattern) in ([], ["**"]) and not path
    if pattern[0] == "**":
        return _meets(path, pattern[1:]) or _meets(path[1:], pattern)
    return fnmatchcase(path[0], pattern[0]) and _meets(path[1:], pattern[1:])
