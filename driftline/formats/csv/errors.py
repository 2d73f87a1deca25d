"""Explains why Arrow refused a CSV, and in which line; slow, so only then."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from driftline.errors import InputError
from driftline.formats.csv.quotes import QuoteWatch
from driftline.formats.opening import NotUtf8Error, open_text

if TYPE_CHECKING:
    from driftline.formats.csv.files import CsvFile

BLOCK_BYTES = 1 << 20


def broken_csv(
    file: CsvFile, error: pa.ArrowException | None, watch: QuoteWatch | None
) -> InputError:
    """Return the error that names the line."""
    shown, text = file.place.shown, str(error or "")
    if error is None or "UTF8" in text:
        return NotUtf8Error(shown, _line_not_utf8(file))
    if (problem := (watch and watch.problem) or quote_problem(file)) is not None:
        return InputError(f"{shown}: {problem}")
    if "Expected" in text:
        for line, count in _widths(file):
            if count != len(file.names):
                fields = "field" if count == 1 else "fields"
                return InputError(
                    f"{shown}: line {line} has {count} {fields}, expected {len(file.names)} as in "
                    "the first line; quote fields that contain the delimiter"
                )
    if "straddling" in text or "block" in text:
        return InputError(f"{shown}: a row is longer than 4 MB; expected rows of fields")
    return InputError(f"{shown}: not readable as CSV ({text.partition(chr(10))[0][:200]})")


def quote_problem(file: CsvFile) -> str | None:
    """Check all quotes of a file; None when nothing is wrong with them.

    The reader that failed may have stopped before the one that never closes.
    """
    with open_text(file.place, file.encoding) as stream:
        watch = QuoteWatch(stream, file.delimiter)
        while watch.read(BLOCK_BYTES):
            pass
    return watch.problem


def _widths(file: CsvFile) -> Iterator[tuple[int, int]]:
    """Return for each row the line that it begins on and how many fields it has."""
    with open_text(file.place, file.encoding) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", "replace", newline=None)
        for _ in range(file.blank_lines):
            text.readline()
        reader = csv.reader(text, delimiter=file.delimiter)
        before = 0
        try:
            for row in reader:
                if row:
                    yield file.blank_lines + before + 1, len(row)
                before = reader.line_num
        except csv.Error:
            return


def _line_not_utf8(file: CsvFile) -> int:
    """Count to the line with the first bytes that are no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with open_text(file.place, file.encoding) as stream:
        while block := bytes(stream.read(BLOCK_BYTES)):
            try:
                line += decoder.decode(block).count("\n")
            except UnicodeDecodeError as error:
                # The decoder had held back the beginning of a letter from the block before.
                return line + error.object.count(b"\n", 0, error.start)
    return line
