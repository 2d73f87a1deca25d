"""JSON texts of any size as documents with the lines that they begin on.

One document a line; documents over many lines; or one list of documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from driftline.errors import InputError
from driftline.formats.json.parsing import LONG_DIGITS, fault_of, has_long_number, parse
from driftline.formats.location import Location
from driftline.formats.opening import NotUtf8Error, open_text

Document = tuple[int, Any]
"""The line that a document begins on, and what it holds."""

BLOCK_BYTES = 1 << 22
LARGEST_BYTES = 1 << 28
_SPACE = re.compile(r"[ \t\r\n]*")
_MARK = b"\xef\xbb\xbf"


def documents(place: Location, encoding: str) -> Iterator[Document]:
    """Read one document after the other; memory holds the text of a file that is not by line."""
    with open_text(place, encoding) as stream:
        head = bytes(stream.read(BLOCK_BYTES)).removeprefix(_MARK)
        blocks = _blocks(head, stream)
        if _begins_with_document(head):
            yield from _by_line(place, blocks)
        else:
            yield from _Sequence(place, _text(place, blocks))


def _blocks(head: bytes, stream: Any) -> Iterator[bytes]:  # noqa: ANN401 # A stream of Arrow.
    while head:
        yield head
        head = bytes(stream.read(BLOCK_BYTES))


def _begins_with_document(head: bytes) -> bool:
    """Whether the first line that is not blank is a document by itself."""
    line, end, _ = head.lstrip().partition(b"\n")
    if not end and len(head) >= BLOCK_BYTES:
        return False
    try:
        json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def _by_line(place: Location, blocks: Iterator[bytes]) -> Iterator[Document]:
    number, rest, was_long = 1, b"", False
    for block in blocks:
        # Not splitlines: JSON texts may hold other line ends, such as U+2028, as they are.
        is_long = has_long_number(rest[-LONG_DIGITS:] + block)
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if len(rest) > LARGEST_BYTES:
            raise _too_large(place, number)
        for line in lines:
            if not line.isspace() and line:
                yield number, _parsed(place, number, line, has_long=is_long or was_long)
            number += 1
        # What is left over may hold a long number of this block, or of those before.
        was_long = is_long or (was_long and not lines)
    if rest and not rest.isspace():
        yield number, _parsed(place, number, rest, has_long=True)


def _parsed(place: Location, number: int, line: bytes, *, has_long: bool) -> Any:  # noqa: ANN401
    try:
        return parse(line, has_long=has_long)
    except UnicodeDecodeError as error:
        raise NotUtf8Error(place.shown, number) from error
    except (ValueError, RecursionError) as error:
        raise _no_json(place, number, error) from error


def _no_json(place: Location, number: int, error: Exception) -> InputError:
    told = error.msg if isinstance(error, json.JSONDecodeError) else fault_of(error)
    return InputError(f"{place.shown}: line {number} is no JSON ({told})")


def _text(place: Location, blocks: Iterator[bytes]) -> str:
    """Return a whole file that is not one document a line."""
    whole = bytearray()
    for block in blocks:
        whole += block
        if len(whole) > LARGEST_BYTES:
            raise _too_large(place, 1)
    try:
        return whole.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8Error(place.shown, 1 + whole.count(b"\n", 0, error.start)) from error


def _too_large(place: Location, number: int) -> InputError:
    return InputError(
        f"{place.shown}: what begins on line {number} is larger than 256 MB; "
        "expected one row a line"
    )


class _Sequence:
    """Documents over many lines, or the elements of one list, of a text in memory."""

    def __init__(self, place: Location, text: str) -> None:
        self._place = place
        self._text = text
        self._at = 0
        self._line = 1
        self._decode = json.JSONDecoder().raw_decode

    def __iter__(self) -> Iterator[Document]:
        while self._peek():
            if self._peek() == "[":
                yield from self._elements()
            else:
                yield self._document()

    def _elements(self) -> Iterator[Document]:
        """Read a list of rows; a list of plain values is one row."""
        start, values = self._line, []
        self._move(self._at + 1)
        while self._peek() != "]":
            line, value = self._document()
            if isinstance(value, dict | list):
                yield line, value
            else:
                values.append(value)
            if self._peek() == ",":
                self._move(self._at + 1)
            elif self._peek() != "]":
                raise self._wrong("Expecting ',' or ']'")
        self._move(self._at + 1)
        if values:
            yield start, values

    def _document(self) -> Document:
        self._peek()
        line = self._line
        try:
            value, end = self._decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise self._wrong(error.msg, error.pos) from error
        except (ValueError, RecursionError) as error:
            raise self._wrong(fault_of(error)) from error
        self._move(end)
        return line, value

    def _peek(self) -> str:
        """Return the next character that is no blank; nothing at the end."""
        found = _SPACE.match(self._text, self._at)
        assert found is not None  # It matches nothing, too.
        self._move(found.end())
        return self._text[self._at : self._at + 1]

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _wrong(self, told: str, at: int | None = None) -> InputError:
        line = self._line + self._text.count("\n", self._at, self._at if at is None else at)
        what = f"line {line} is no JSON ({told})"
        return InputError(f"{self._place.shown}: {what}")
