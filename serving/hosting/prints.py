"""What models print: read from a pipe, so that it can neither forge lines of the log nor flood it.

Read by the process that started the worker: what a worker says when it dies is read, too. Lines go
to the log file of the endpoint's variant, and the first ones of them to the server's log. Of those
printed faster than the limits allow, the file has the last ones and the count of the others.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from driftline.serving.hosting.log_file import LogFile

log = logging.getLogger(__name__)

# Of a line in the log file, and in the server's log.
LINE_BYTES, SHOWN_SIGNS = 8192, 500
# In the server's log: a traceback at once, and then a line a second.
BURST, LINES_PER_S = 100, 1.0
# In the log file, in bytes; a short line counts as this many, for it costs as much.
FILE_BURST, FILE_PER_S, LEAST_BYTES = float(4 << 20), float(256 << 10), 256
TOLD_EVERY_S = 60.0
# Of the lines that the file has no room for, so many of the last, as long as in the server's log,
# are written when nothing more has come for so long.
LAST_LINES, QUIET_S = 100, 1.0
# Of the first lines of a command, which are added to each file that it comes to print to.
FIRST_BYTES = 16 << 10


class _Allowance:
    """So much at once, and so much a second."""

    def __init__(self, burst: float, per_s: float, now_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left, self._counted_s = burst, now_s

    def has(self, amount: float, now_s: float) -> bool:
        """Whether there is so much left now."""
        grown = (now_s - self._counted_s) * self._per_s
        self._left, self._counted_s = min(self._burst, self._left + grown), now_s
        return self._left >= amount

    def take(self, amount: float, now_s: float) -> bool:
        """Take it, if there is so much left."""
        if not self.has(amount, now_s):
            return False
        self._left -= amount
        return True


class Prints:
    """Keeps and logs the lines of one worker process under its model's name, within limits."""

    def __init__(self, name: str = "", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._monotonic = monotonic
        self._file: LogFile | None = None
        self._worker: Callable[[], int] = lambda: 0
        self._is_private = False
        self._container = ""
        self._line, self._is_cut = b"", False
        self._first: list[str] = []
        self._first_left = FIRST_BYTES
        now = monotonic()
        self._allowed = _Allowance(float(BURST), LINES_PER_S, now)
        self._file_allowed = _Allowance(FILE_BURST, FILE_PER_S, now)
        self._left_out = self._not_kept = 0
        self._last: deque[bytes] = deque(maxlen=LAST_LINES)  # Of those not kept.
        self._told_s = now - TOLD_EVERY_S
        self._lock = threading.Lock()

    def open(self) -> int:
        """Return the end of a pipe to print into; the other end is read until nobody has it."""
        reading, writing = os.pipe()
        thread = threading.Thread(target=self._read, args=(reading,), name="prints", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # No thread is left for it.
            os.close(reading)
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
        """Set whose lines they are from now on, and which file they go to.

        ``worker``: what returns its number, which need not be known before it prints.
        ``is_private``: they go nowhere else, for they may hold secrets. They are a command's, which
        brings its first lines along: it was started before the endpoint has it, and starts once.
        """
        with self._lock:
            before, self._file = self._file, file
            self._last.clear()
            self.name, self._worker, self._is_private = name, worker, is_private
            self._container = container
            if file is not None:
                file.hold()
                if is_private and self._first:
                    file.write(worker(), self._first, container)
        if before is not None:
            before.let_go()

    def feed(self, data: bytes) -> None:
        """Take the lines that are whole; of a long one the beginning."""
        now = self._monotonic()
        whole, end, rest = data.rpartition(b"\n")
        with self._lock:
            if end:
                self._take(whole, now)
            self._add(rest)
        self.tell()

    def end(self) -> None:
        """Take what stands without a line end, and tell what was left out."""
        with self._lock:
            if self._line:
                self._take(b"", self._monotonic())
        self.tell(is_over=True)
        self.keep(self.name, self._worker, None, is_private=self._is_private)

    def tell(self, *, is_quiet: bool = False, is_over: bool = False) -> None:
        """Report how many lines were left out, once in a while, and the last when it is quiet."""
        now = self._monotonic()
        with self._lock:
            if self._not_kept and (is_quiet or is_over):
                last = [_shown(one[:SHOWN_SIGNS]) + " …" * (len(one) > SHOWN_SIGNS)
                        for one in self._last if one.strip()]  # fmt: skip
                self._keep(last, self._not_kept - len(last))
                self._file_allowed.take(float(LEAST_BYTES * len(last)), now)
                self._not_kept = 0
                self._last.clear()
            if self._left_out and (is_over or now - self._told_s >= TOLD_EVERY_S):
                log.warning("model=%s printed_more_lines=%d left out", self.name, self._left_out)
                self._left_out, self._told_s = 0, now

    def _read(self, reading: int) -> None:
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        try:
            while True:
                # Without a word for a while there may still be something to tell.
                wait_s = QUIET_S if self._not_kept else TOLD_EVERY_S if self._left_out else None
                if not poll.poll(None if wait_s is None else wait_s * 1000):
                    self.tell(is_quiet=True)
                elif data := os.read(reading, 1 << 16):
                    self.feed(data)
                else:
                    self.end()
                    return
        finally:
            os.close(reading)

    def _take(self, whole: bytes, now: float) -> None:
        """Keep and log lines, the first of which has begun before."""
        is_kept = self._file is not None and self._file_allowed.has(LEAST_BYTES, now)
        is_shown = not self._is_private and self._allowed.has(1.0, now)
        if not is_kept and not is_shown:
            # With a look at the last alone: whoever prints so much must not slow down others.
            self._miss(whole.count(b"\n") + 1)
            last = (self._line + whole).rsplit(b"\n", LAST_LINES)[-LAST_LINES:]
            self._last.extend(one[: SHOWN_SIGNS + 1] for one in last)
            self._line, self._is_cut = b"", False
            return
        kept: list[str] = []
        missed, self._not_kept = self._not_kept, 0
        for part in whole.split(b"\n"):
            self._add(part)
            line, cut = self._line, " …" if self._is_cut else ""
            self._line, self._is_cut = b"", False
            if not line.strip():
                continue
            text = _shown(line)
            if self._is_private and self._first_left > 0:
                self._first.append(text + cut)
                self._first_left -= len(text)
            if self._file is not None:
                if self._file_allowed.take(max(len(line), LEAST_BYTES), now):
                    kept.append(text + cut)
                    self._last.clear()
                else:
                    self._not_kept += 1
                    self._last.append(line[: SHOWN_SIGNS + 1])
            if not self._is_private:
                self._log(text, cut, now)
        if kept:
            self._keep(kept, missed)
        else:
            self._not_kept += missed

    def _miss(self, count: int) -> None:
        self._not_kept += count if self._file is not None else 0
        self._left_out += 0 if self._is_private else count

    def _keep(self, lines: list[str], missed: int) -> None:
        assert self._file is not None
        told = [f"{missed:,} lines were printed too fast and left out"] if missed else []
        self._file.write(self._worker(), told + lines, self._container)

    def _log(self, text: str, cut: str, now: float) -> None:
        if not self._allowed.take(1.0, now):
            self._left_out += 1
            return
        if len(text) > SHOWN_SIGNS:
            text, cut = text[:SHOWN_SIGNS], " …"
        log.info("model=%s printed: %s%s", self.name, text, cut)

    def _add(self, data: bytes) -> None:
        room = LINE_BYTES - len(self._line)
        self._is_cut |= len(data) > room
        self._line += data[:room]


def _shown(line: bytes) -> str:
    """Write signs that a terminal, or a reader of lines, would act on as escapes."""
    text = line.decode(errors="backslashreplace").rstrip()
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
