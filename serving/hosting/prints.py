"""What models print: read from a pipe, so that it can neither forge lines of the log nor flood it.

Read by the process that started the worker: what a worker says when it dies is read, too.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LINE_BYTES = 500
# A traceback at once, and then a line a second.
BURST, LINES_PER_S = 100, 1.0
TOLD_EVERY_S = 60.0


class Prints:
    """Logs the lines of one worker process under its model's name, within limits."""

    def __init__(self, name: str = "", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._monotonic = monotonic
        self._line, self._is_cut = b"", False
        self._allowed, self._counted_s = float(BURST), monotonic()
        self._left_out, self._told_s = 0, monotonic() - TOLD_EVERY_S

    def open(self) -> int:
        """Return the end of a pipe to print into; the other end is read until nobody has it."""
        reading, writing = os.pipe()
        threading.Thread(target=self._read, args=(reading,), name="prints", daemon=True).start()
        return writing

    def feed(self, data: bytes) -> None:
        """Log the lines that are whole; of a long one the beginning."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._add(line)
            self._end_line()
        self._add(rest)

    def end(self) -> None:
        """Log what stands without a line end, and what was left out."""
        if self._line:
            self._end_line()
        self.tell(is_over=True)

    def tell(self, *, is_over: bool = False) -> None:
        """Log how many lines were left out, once in a while."""
        now = self._monotonic()
        if self._left_out and (is_over or now - self._told_s >= TOLD_EVERY_S):
            log.warning("model=%s printed_more_lines=%d left out", self.name, self._left_out)
            self._left_out, self._told_s = 0, now

    def _read(self, reading: int) -> None:
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        try:
            while True:
                # Without a word for a while there may still be something to tell.
                if not poll.poll(TOLD_EVERY_S * 1000 if self._left_out else None):
                    self.tell()
                elif data := os.read(reading, 1 << 16):
                    self.feed(data)
                else:
                    self.end()
                    return
        finally:
            os.close(reading)

    def _add(self, data: bytes) -> None:
        room = LINE_BYTES - len(self._line)
        self._is_cut |= len(data) > room
        self._line += data[:room]

    def _end_line(self) -> None:
        line, is_cut = self._line, self._is_cut
        self._line, self._is_cut = b"", False
        now = self._monotonic()
        self._allowed = min(BURST, self._allowed + (now - self._counted_s) * LINES_PER_S)
        self._counted_s = now
        if self._allowed < 1:
            self._left_out += 1
            self.tell()
        elif line.strip():
            self._allowed -= 1
            log.info("model=%s printed: %s%s", self.name, _shown(line), " …" if is_cut else "")


def _shown(line: bytes) -> str:
    """Write signs that a terminal, or a reader of lines, would act on as escapes."""
    text = line.decode(errors="backslashreplace").rstrip()
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
