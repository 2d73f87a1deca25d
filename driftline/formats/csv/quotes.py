"""Checks that quotes in a CSV open and close properly, while it is read.

Readers of CSV take a quote that never closes as a field that goes on to the end of the file, and
what follows a closing quote as more of its field: rows would vanish silently.
"""

from __future__ import annotations

import codecs
import io

import numpy as np
import pyarrow as pa

QUOTE = ord('"')
_NEWLINE = ord("\n")
_ODD_NUMBERS = (b"0x", b"0X", b"n(", b"N(")


class QuoteWatch(io.RawIOBase):
    """A stream that hands bytes on and looks at the quotes in them."""

    def __init__(self, stream: pa.NativeFile, delimiter: str) -> None:
        self._stream = stream
        self._outside = np.zeros(256, dtype=bool)
        # What may stand beside a quote that opens or closes a field.
        self._outside[[ord(delimiter), ord("\n"), ord("\r"), QUOTE]] = True
        # The last two bytes: the first was judged, the second waits for what follows it.
        self._held = b""
        self._lines = 0
        # Bytes before the block at hand, and where the latest quote that means something stood.
        self._offset = 0
        self._last = -1
        self._is_inside = False
        self._opened_line = 0
        self._problem: str | None = None
        self._is_done = False
        # Whether anything in it may be a number to Arrow that is none: see `is_plainly_read`.
        self.has_odd_numbers = False
        self._tail = b""

    @property
    def problem(self) -> str | None:
        """The first problem, with its line; None when there is none."""
        if self._problem is None and self._is_inside:
            return f"line {self._opened_line}: a quote opens there and never closes"
        return self._problem

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        # Not read(): it takes memory for all that was asked for, however little there is.
        found: bytes = self._stream.read_buffer(None if size < 0 else size).to_pybytes()
        if self._problem is None and not self._is_done:
            self._is_done = not found
            self._look(found or b"\n")
        # With the last byte of the block before: a sign may lie across both.
        seen = self._tail + found
        self.has_odd_numbers |= any(sign in seen for sign in _ODD_NUMBERS)
        self._tail = found[-1:]
        return found

    def _look(self, found: bytes) -> None:
        """Judge the bytes that have one on both sides."""
        if not self._held:
            self._held, found = b"\n", found.removeprefix(codecs.BOM_UTF8)
        block = self._held + found
        if b'"' in block:
            data = np.frombuffer(block, dtype=np.uint8)
            self._follow(data, np.flatnonzero(data[1:-1] == QUOTE) + 1)
        self._lines += block.count(b"\n", 1, len(block) - 1)
        self._offset += len(block) - 2
        self._held = block[-2:]

    def _follow(self, data: np.ndarray, at: np.ndarray) -> None:
        """Follow the quotes: all at once, then one by one from the first that is odd."""
        if not len(at):
            return
        closes = (np.arange(len(at)) % 2 == 1) ^ self._is_inside
        fits = self._outside[np.where(closes, data[at + 1], data[at - 1])]
        fits[0] &= self._is_inside or self._opens(data, int(at[0]))
        odd = len(at) if fits.all() else int(np.argmin(fits))
        if odd:
            self._is_inside ^= odd % 2 == 1
            self._last = self._offset + int(at[odd - 1])
        for place in at[odd:].tolist():
            if self._is_inside and not self._outside[data[place + 1]]:
                self._problem = (
                    f"line {self._line(data, place)}: text follows a closing quote; inside of "
                    "a quoted field a quote is written twice"
                )
                return
            if self._is_inside or self._opens(data, place):
                self._is_inside = not self._is_inside
                self._last = self._offset + place
        if self._is_inside and self._last > self._offset:
            self._opened_line = self._line(data, self._last - self._offset)

    def _opens(self, data: np.ndarray, place: int) -> bool:
        """Whether a quote opens a field, or continues one after a doubled quote.

        A quote in the middle of an unquoted field is a letter like any other.
        """
        if data[place - 1] == QUOTE:
            return self._last == self._offset + place - 1
        return bool(self._outside[data[place - 1]])

    def _line(self, data: np.ndarray, at: int) -> int:
        return self._lines + 1 + int(np.count_nonzero(data[1:at] == _NEWLINE))
