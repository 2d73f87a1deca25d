"""What workers print: read from a pipe, so that it can neither forge lines of the log nor flood it.

The lines of a variant's workers are kept in a file of a bounded size, and the file before it, a
line of JSON for each::

    {"time":"2026-01-15T06:00:00.000000Z","variant":"AllTraffic","worker":4711,"message":"…"}

Of a variant of several containers also which one ("container"). The process that started a worker
reads its output, so the last words of a dying worker are read, too.
"""

from __future__ import annotations

import heapq
import json
import logging
import operator
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from driftline.serving.resources.worker_spec import WorkerSpec

log = logging.getLogger(__name__)

# Of a file, and of the one before it.
LARGEST_BYTES = 8 << 20
_OLDER = ".1"
# Of a line in bytes; a short one counts as this many, for it costs as much.
LINE_BYTES, LEAST_BYTES = 8192, 256
# Bytes at once, and then a second: in the log file, and in the server's log a line a second.
_FILE_LIMIT, _LOG_LIMIT = (4 << 20, 256 << 10), (100 * LEAST_BYTES, LEAST_BYTES)


@dataclass(frozen=True, slots=True, order=True)
class LogLine:
    """One line that a worker has printed."""

    time: datetime
    file: str  # That it stands in: with the time, it tells lines apart.
    variant: str
    worker: int  # The number of its process.
    message: str
    container: str = ""  # Of a variant of several: the one that it works for.


class LogFile:
    """The file of a variant; where two servers start a new one at once, lines may be lost."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.path = folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', name) or 'model'}.log"
        self._lock = threading.Lock()
        self._last = datetime.min.replace(tzinfo=UTC)
        self._is_removed = False

    def write(self, worker: int, messages: Sequence[str], container: str = "") -> None:
        """Add lines that a worker has printed; their times only grow."""
        with self._lock, suppress(OSError):  # A full disk must not stop who prints.
            if self._is_removed:
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = "".join(self._line(worker, one, container) for one in messages).encode()
            with suppress(FileNotFoundError):
                if self.path.stat().st_size + len(text) > LARGEST_BYTES:
                    self.path.replace(f"{self.path}{_OLDER}")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(self.path, flags, 0o600), "wb", buffering=0) as file:
                file.write(text)

    def remove(self) -> None:
        """Delete the files; lines that come later are dropped."""
        with self._lock, suppress(OSError):
            self._is_removed = True
            for path in (self.path, Path(f"{self.path}{_OLDER}")):
                path.unlink(missing_ok=True)
            self._folder.rmdir()  # Unless other variants have lines there.

    def _line(self, worker: int, message: str, container: str) -> str:
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        where = {"variant": self._name} | ({"container": container} if container else {})
        line = {
            "time": f"{self._last:%Y-%m-%dT%H:%M:%S.%fZ}",
            **where,
            "worker": worker,
            "message": message,
        }
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


class OutputReader:
    """Reads what one worker prints, within a limit; ``file`` None: into the server's log."""

    def __init__(self, spec: WorkerSpec, worker: int, file: LogFile | None) -> None:
        self._spec, self._worker, self._file = spec, worker, file
        self._burst, self._per_s = _LOG_LIMIT if file is None else _FILE_LIMIT
        self._left, self._counted_s = float(self._burst), time.monotonic()
        self._left_out = 0

    def start(self, pipe: BinaryIO) -> None:
        """Read a pipe in a thread until nobody has the other end."""
        threading.Thread(target=self.read, args=(pipe,), name="output", daemon=True).start()

    def read(self, pipe: BinaryIO) -> None:
        """Take lines until the end; of a long one the beginning."""
        with pipe:
            rest = b""
            while data := pipe.read(1 << 16):
                *lines, rest = (rest + data).split(b"\n")
                self._take(lines)
                rest = rest[: LINE_BYTES + 1]  # So that it is seen to be cut.
            self._take([rest])
            self._left = LEAST_BYTES
            self._take([])

    def _take(self, lines: Sequence[bytes]) -> None:
        now, texts = time.monotonic(), []
        self._left = min(self._burst, self._left + (now - self._counted_s) * self._per_s)
        self._counted_s = now
        if self._left_out and self._left >= LEAST_BYTES:
            texts.append(f"{self._left_out:,} lines were printed too fast and left out")
            self._left_out = 0
        for line in filter(bytes.strip, lines):
            if self._left < LEAST_BYTES:
                self._left_out += 1
                continue
            self._left -= max(min(len(line), LINE_BYTES), LEAST_BYTES)
            texts.append(_shown(line[:LINE_BYTES]) + " …" * (len(line) > LINE_BYTES))
        if self._file is not None and texts:
            self._file.write(self._worker, texts, self._spec.container)
        elif self._spec.command is None:  # What a command prints may hold secrets.
            for text in texts:
                log.info("model=%s printed: %s", self._spec.name, text)


def read_lines(
    folder: Path,
    *,
    limit: int,
    variant: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: tuple[datetime, str] | None = None,
    newest_first: bool = True,
) -> list[LogLine]:
    """Return lines of an endpoint's folder; ``after``: time and file of the last one before."""
    paths = {folder / path.name.removesuffix(_OLDER) for path in folder.glob("*.log*")}
    if variant is not None:
        paths = {path for path in paths if path.stem.casefold() == variant.casefold()}
    merged: Iterator[LogLine] = heapq.merge(
        *(_lines(path, since, until, newest_first=newest_first) for path in sorted(paths)),
        reverse=newest_first,
    )
    if after is not None:
        is_behind = operator.lt if newest_first else operator.gt
        merged = (line for line in merged if is_behind((line.time, line.file), after))
    return list(islice(merged, limit))


def _lines(
    path: Path, since: datetime | None, until: datetime | None, *, newest_first: bool
) -> Iterator[LogLine]:
    """Return the lines of a file and of the one before it, in the order of their times."""
    data = b""
    for place in (Path(f"{path}{_OLDER}"), path):
        with suppress(FileNotFoundError):
            data += place.read_bytes()
    texts = data.splitlines()
    for text in reversed(texts) if newest_first else texts:
        with suppress(ValueError, TypeError, KeyError):  # Cut by a full disk.
            found = json.loads(text)
            line = LogLine(
                **{**found, "time": datetime.fromisoformat(found["time"])}, file=path.name
            )
            is_early = since is not None and line.time < since
            is_late = until is not None and line.time >= until
            if is_early if newest_first else is_late:
                return
            if not (is_early or is_late):
                yield line


def _shown(line: bytes) -> str:
    """Write signs that a terminal, or a reader of lines, would act on as escapes."""
    text = line.decode(errors="backslashreplace").rstrip()
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
