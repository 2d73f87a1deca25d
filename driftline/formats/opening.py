"""Files as streams of bytes: unpacked by what they hold, and turned into UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.storage import is_remote, storage_error

HEAD_BYTES = 1 << 20
IN_MEMORY_BYTES = 1 << 26
# By first bytes, since names lie; Arrow unpacks these.
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
# Text of a table is some ten times as large as its packed form.
_PACKING = 10
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16's, which begins alike.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class NotUtf8Error(InputError):
    """A line of a text is not in UTF-8, which it was read as."""

    def __init__(self, shown: str, line: int) -> None:
        super().__init__(shown, line)  # From these another process makes it again.
        self.shown, self.line = shown, line

    def __str__(self) -> str:
        return (
            f"{self.shown}: line {self.line} is not UTF-8; set encoding to the one that the text "
            "has, such as latin-1"
        )


@contextmanager
def open_bytes(file: Location) -> Iterator[pa.NativeFile]:
    """Open a file for one reading; packed ones are unpacked."""
    try:
        with file.open() as probe:
            head = probe.read(6)
        packing = next((name for mark, name in _PACKED.items() if head.startswith(mark)), None)
        with file.open(packing) as stream:
            yield stream
    except OSError as error:
        if is_remote(file.shown):
            raise storage_error(file.shown, error) from error
        raise InputError(f"{file.shown}: cannot be read ({error})") from error


def read_head(file: Location, size: int = HEAD_BYTES) -> bytes:
    """Read the first bytes, unpacked; errors as of `open_bytes`."""
    with open_bytes(file) as stream:
        return bytes(stream.read(size))


def are_small(files: Sequence[Location]) -> bool:
    """Whether text files are kept in memory as Arrow; bigger ones are read again each time."""
    return sum(map(_text_size, files)) <= IN_MEMORY_BYTES


def _text_size(file: Location) -> int:
    """Estimate how many bytes a file has once unpacked; those of one that is not are exact."""
    info = file.system.get_file_info([file.path])[0]
    with file.open() as probe:
        head = probe.read(6)
    return int(info.size or 0) * (_PACKING if head.startswith(tuple(_PACKED)) else 1)


def find_encoding(head: bytes, given: str | None = None) -> str:
    """Detect the encoding of a text by its first bytes.

    UTF-8, and UTF-16 and UTF-32 by their mark or by every other byte being zero. Other encodings
    are refused rather than guessed: Latin-1, Windows and DOS code pages read the same bytes as
    different letters, and none of them ever fails.
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
    """Open a text file for one reading as UTF-8; errors as of `open_bytes`."""
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
