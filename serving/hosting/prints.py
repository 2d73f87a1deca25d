"""Output of models: read from a pipe, so that it can neither forge lines of the log nor flood it.

The process that started the worker reads it, so the last words of a dying worker are read, too.
Lines go to the log file of the variant, or else to the server's log. Lines above the rate limit are
counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from io import BufferedReader

from driftline.serving.hosting.log_file import LogFile

log = logging.getLogger(__name__)

# Of a line in bytes; a short one counts as this many, for it costs as much.
LINE_BYTES, LEAST_BYTES = 8192, 256
# Bytes at once, and then a second: in the log file, and in the server's log a line a second.
FILE_LIMIT, LOG_LIMIT = (4 << 20, 256 << 10), (100 * LEAST_BYTES, LEAST_BYTES)
# Of the first lines of a command, which are added to each file that it comes to print to.
FIRST_BYTES = 16 << 10


class Prints:
    """Keeps the lines of one worker process under its model's name, within a limit."""

    def __init__(self, name: str = "", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._monotonic = monotonic
        self._file: LogFile | None = None
        self._worker: Callable[[], int] = lambda: 0
        self._is_private = False
        self._container = ""
        self._first: list[str] = []
        self._left, self._counted_s = float(LOG_LIMIT[0]), monotonic()
        self._left_out = 0
        self._lock = threading.Lock()

    def open(self) -> int:
        """Return the end of a pipe to print into; the other end is read until nobody has it."""
        reading, writing = os.pipe()
        pipe = os.fdopen(reading, "rb")
        thread = threading.Thread(target=self.read, args=(pipe,), name="prints", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # No thread is left for it.
            pipe.close()
            os.close(writing)
            raise
        return writing

    def keep(
        self,
        name: str,
        worker: Callable[[], int],
        file: LogFile | None,
        *,
        is_private: bool,
        container: str = "",
    ) -> None:
        """Set whose lines these are from now on, and which file they go to.

        ``worker``: returns the worker's number, which need not be known before it prints.
        ``is_private``: they go nowhere else, for they may hold secrets. They are a command's, which
        brings its first lines along: it was started before the endpoint has it, and starts once.
        """
        with self._lock:
            before, self._file = self._file, file
            self.name, self._worker, self._is_private = name, worker, is_private
            self._container = container
            self._left = float((LOG_LIMIT if file is None else FILE_LIMIT)[0])
            if file is not None:
                file.hold()
                if is_private and self._first:
                    file.write(worker(), self._first, container)
        if before is not None:
            before.let_go()

    def read(self, pipe: BufferedReader) -> None:
        """Take lines until the other end is closed; of a long one the beginning."""
        with pipe:
            while True:
                if self._has_room():
                    line = pipe.readline(LINE_BYTES + 1)
                    self._take(line.rstrip(b"\r\n"), is_cut=len(line) > LINE_BYTES)
                else:  # At once: whoever prints so much must not slow down others.
                    line = pipe.read1(1 << 16)
                    self._left_out += line.count(b"\n") + (line[-1:] not in b"\n")
                is_whole = line.endswith(b"\n")
                while line and not is_whole:
                    line = pipe.readline(LINE_BYTES)
                    is_whole = line.endswith(b"\n")
                if not line:
                    break
        with self._lock:
            self._report_left_out()
        self.keep(self.name, self._worker, None, is_private=self._is_private)

    def _has_room(self) -> bool:
        now = self._monotonic()
        burst, per_s = LOG_LIMIT if self._file is None else FILE_LIMIT
        self._left = min(float(burst), self._left + (now - self._counted_s) * per_s)
        self._counted_s = now
        return self._left >= LEAST_BYTES

    def _take(self, line: bytes, *, is_cut: bool) -> None:
        if not line.strip():
            return
        text = _shown(line[:LINE_BYTES]) + " …" * is_cut
        with self._lock:
            self._left -= max(len(line), LEAST_BYTES)
            if self._is_private and sum(map(len, self._first)) < FIRST_BYTES:
                self._first.append(text)
            self._report_left_out()
            self._write(text)

    def _report_left_out(self) -> None:
        if self._left_out:
            self._write(f"{self._left_out:,} lines were printed too fast and left out")
            self._left_out = 0

    def _write(self, text: str) -> None:
        if self._file is not None:
            self._file.write(self._worker(), [text], self._container)
        elif not self._is_private:
            log.info("model=%s printed: %s", self.name, text)


def _shown(line: bytes) -> str:
    """Write signs that a terminal, or a reader of lines, would act on as escapes."""
    text = line.decode(errors="backslashreplace").rstrip()
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
