"""The lines that the workers of an endpoint have printed, the newest first."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from driftline.serving.hosting.log_file import OLDER

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, order=True)
class LogLine:
    """One line that a worker has printed."""

    time: datetime
    file: str  # That it stands in: with the time, it tells lines apart.
    variant: str
    worker: int  # The number of its process.
    message: str
    container: str = ""  # Of a variant of several: the one that it works for.


def read_lines(
    folder: Path,
    *,
    limit: int,
    variant: str | None = None,
    since: datetime | None = None,
    before: tuple[datetime, str] | None = None,
) -> list[LogLine]:
    """Return at most so many lines of an endpoint's folder, the newest first.

    ``before``: time and file of a line; lines that are older, or as old and of an earlier file.
    """
    names = {path.name.removesuffix(OLDER) for path in folder.glob("*.log*")}
    if variant is not None:
        names = {name for name in names if name.split(".")[0].casefold() == variant.casefold()}
    files = [_lines(folder / name, name, since) for name in sorted(names)]
    merged: Iterator[LogLine] = heapq.merge(*files, reverse=True)
    if before is not None:
        merged = (line for line in merged if (line.time, line.file) < before)
    return list(islice(merged, limit))


def _lines(path: Path, name: str, since: datetime | None) -> Iterator[LogLine]:
    """Return the lines of a file and of the one before it, the newest first."""
    read: set[int] = set()
    for place in (path, path.with_name(path.name + OLDER)):
        for text in _backwards(place, read):
            line = _parsed(text, name)
            if line is None:  # Cut by a full disk.
                continue
            if since is not None and line.time < since:
                return
            yield line


def _backwards(path: Path, read: set[int]) -> Iterator[bytes]:
    """Return the whole lines of a file, the last one first; ``read``: files not to read again."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        # It may become the one before it while it is read.
        if (number := os.fstat(stream.fileno()).st_ino) in read:
            return
        read.add(number)
        place = stream.seek(0, os.SEEK_END)
        rest = b""
        while place:
            start = max(0, place - _BLOCK)
            stream.seek(start)
            first, *lines = (stream.read(place - start) + rest).split(b"\n")
            yield from reversed(lines)
            place, rest = start, first
        yield rest


def _parsed(text: bytes, name: str) -> LogLine | None:
    try:
        found = json.loads(text)
        time = datetime.fromisoformat(found["time"])
        where = found["variant"], found["worker"], found["message"], found.get("container", "")
        return LogLine(time, name, *where)
    except (ValueError, KeyError, TypeError):
        return None
