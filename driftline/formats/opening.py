"""Files as streams of bytes: unpacked by what they hold, and turned into UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from driftline.errors import InputError
from driftline.formats.formats import sniff
from driftline.formats.location import Location
from driftline.storage import is_remote, storage_error

HEAD_BYTES = 1 << 20
# By first bytes, since names lie; Arrow unpacks these.
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
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
# Text of a table is some ten times as large as its packed form.
_PACKING = 10
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16's, which begins alike.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def open_bytes(file: Location) -> Iterator[pa.NativeFile]:
    """Open a file for one reading; packed ones are unpacked.

    Raises
    ------
    InputError
        When it cannot be read or unpacked, also later while it is read.
    UnavailableError
        When the storage does not answer.
    """
    try:
        with file.system.open_input_stream(file.path, compression=None) as probe:
            head = probe.read(6)
        packing = next((name for mark, name in _PACKED.items() if head.startswith(mark)), None)
        with file.system.open_input_stream(file.path, compression=packing) as stream:
            yield stream
    except OSError as error:
        if is_remote(file.shown):
            raise storage_error(file.shown, error) from error
        raise InputError(f"{file.shown}: cannot be read ({error})") from error


def read_head(file: Location, size: int = HEAD_BYTES) -> bytes:
    """Read the first bytes, unpacked; errors as of `open_bytes`."""
    with open_bytes(file) as stream:
        return bytes(stream.read(size))


def text_size(file: Location) -> int:
    """Estimate how many bytes a file has once unpacked; those of one that is not are exact."""
    info = file.system.get_file_info([file.path])[0]
    with file.system.open_input_stream(file.path, compression=None) as probe:
        head = probe.read(6)
    return int(info.size or 0) * (_PACKING if head.startswith(tuple(_PACKED)) else 1)


def find_encoding(head: bytes, given: str | None = None) -> str:
    """Tell how text is written, by its first bytes.

    Found are UTF-8, and UTF-16 and UTF-32 by their mark or by every other byte being zero. Text in
    none of them is refused rather than guessed at: Latin-1, Windows and DOS code pages read the
    same bytes as different letters, and none of them ever fails.

    Parameters
    ----------
    head
        The first bytes.
    given
        What the user says; a mark at the beginning knows better.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if given is not None:
        return codecs.lookup(given).name
    start = head[:1000]
    if b"\x00" in start and len(start) > 1:
        even, odd = start[::2].count(0), start[1::2].count(0)
        if odd > len(start) * 0.3 and not even:
            return "utf-16-le"
        if even > len(start) * 0.3 and not odd:
            return "utf-16-be"
    return "utf-8"


@contextmanager
def open_text(file: Location, encoding: str) -> Iterator[pa.NativeFile]:
    """Open a text file for one reading as UTF-8; errors as of `open_bytes`.

    Raises
    ------
    InputError
        When the text is not of this encoding. Of one that is said to be UTF-8 whoever reads it
        finds out.
    """
    with open_bytes(file) as stream:
        if encoding == "utf-8":
            yield stream
            return
        try:
            with pa.transcoding_input_stream(stream, encoding, "utf-8") as text:
                yield text
        except UnicodeError as error:
            told = error.reason if isinstance(error, UnicodeDecodeError) else error
            raise InputError(f"{file.shown}: the text is not {encoding} ({told})") from error


def form_of(head: bytes, shown: str, encoding: str | None = None) -> str:
    """Tell a file's form by its first bytes: Parquet, Arrow, JSON or CSV; names lie.

    Raises
    ------
    InputError
        When it is none of them.
    """
    form = sniff(head)
    if form in ("parquet", "arrow"):
        return form.capitalize()
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
    return "JSON" if text[0] in "{[" else "CSV"
