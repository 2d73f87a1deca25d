"""What the tests of the spool share."""

from __future__ import annotations

from pathlib import Path


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ns = 10**18

    def __call__(self) -> int:
        return self.ns

    def pass_s(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


def spool_of(folder: Path) -> Path:
    """Return the folder of the only spool."""
    (spool,) = (path for path in folder.iterdir() if not path.name.startswith("."))
    return spool
