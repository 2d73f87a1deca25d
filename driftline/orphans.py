"""Adopts what a program leaves behind, in any session, and ends it. Standard library only."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SUBREAPER, _PARENT_DEATH = 36, 1  # PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG of Linux.
# For processes that were killed, to be gone.
FAREWELL_S = 2.0


def adopt_orphans() -> None:
    """Become the parent of processes that our children leave behind; Linux only."""
    _prctl(_SUBREAPER, 1)


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel end this process by a signal when its parent is gone; Linux only."""
    _prctl(_PARENT_DEATH, number)


def end_children() -> None:
    """Kill all children, and theirs, which come to this process: one generation at a time."""
    end = time.monotonic() + FAREWELL_S
    while time.monotonic() < end:
        left = children(os.getpid())
        if not left:
            return
        for child in left:
            with suppress(ProcessLookupError, ChildProcessError, PermissionError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)


def children(parent: int) -> list[int]:
    """Return the processes whose parent a process is; none where there is no /proc."""
    return [child for child, of in _processes() if of == parent]


def descendants(ancestor: int) -> set[int]:
    """Return the processes that a process has started, and those that these have."""
    parents = dict(_processes())
    found: set[int] = set()
    new = {ancestor}
    while new := {child for child, of in parents.items() if of in new} - found:
        found |= new
    return found


def _processes() -> Iterator[tuple[int, int]]:
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may hold anything; behind it stand state and parent.
            words = place.read_text(errors="replace").rpartition(")")[2].split()
            yield int(place.parent.name), int(words[1])


def _prctl(option: int, value: int) -> None:
    with suppress(AttributeError, OSError):  # Other systems have no such thing.
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
