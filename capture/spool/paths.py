"""The paths of apps' recorded requests: a small file in the spool folder.

Each process appends a path that it has not noted yet, as one line. Standard library only.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

PATHS_NAME = ".paths"
_MAX_PATHS = 20  # Of an endpoint.
_MAX_FILE_BYTES = 256 << 10
_MAX_PARTS = 12
# A part of a path that is a word of the app's, not an id or a name of somebody.
_WORD = re.compile(r"[A-Za-z_.-]{0,40}[0-9]{0,2}", re.ASCII)


def note_path(folder: Path, endpoint: str, path: str) -> None:
    """Add a path to those of an endpoint. Best effort: it fails where the folder is not there."""
    parts = [part if _WORD.fullmatch(part) else "*" for part in path.split("/")[:_MAX_PARTS]]
    shown = "/".join(parts)
    with suppress(OSError):
        noted = read_paths(folder)
        paths = noted.get(endpoint, [])
        file = folder / PATHS_NAME
        if shown in paths or len(paths) >= _MAX_PATHS:
            return
        if noted and file.stat().st_size > _MAX_FILE_BYTES:
            return
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{endpoint} {shown}\n".encode())
        finally:
            os.close(descriptor)


def read_paths(folder: Path) -> dict[str, list[str]]:
    """Return the paths noted of each endpoint, in order of their first request."""
    try:
        lines = (folder / PATHS_NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        endpoint, _, path = line.partition(" ")
        found.setdefault(endpoint, {})[path] = None
    return {endpoint: list(paths) for endpoint, paths in found.items()}
