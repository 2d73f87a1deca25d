"""``driftline up`` as a fork that has the imports of its processes behind it.

An installation imports for three seconds of CPU before its first answer: the command, and what
forks the processes. Here a fork of tests/servers/commands.py does all that a start does but to
import: where the command becomes another program of ours, it goes on as that one, with the
arguments and the environment that it would have. That programs start by themselves is the matter of
tests/journeys/test_stopping.py, test_own_app.py and test_wheel.py.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, NoReturn

from tests.servers.commands import LONGEST_S, Fork

__all__ = ["ForkedInstallation"]

FIRST = "from tests.servers.installations import fork_from_now_on; fork_from_now_on()"


class ForkedInstallation(Fork):
    """A command that runs until it is told to stop; what it says of errors can be read."""

    def __init__(self, words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        reading, writing = os.pipe()
        self.stderr: IO[str] = os.fdopen(reading)
        with Path(os.devnull).open("rb") as nothing, closing(os.fdopen(writing, "wb")) as lines:
            files = (nothing.fileno(), 1, lines.fileno())
            super().__init__(words, files, code=FIRST, is_command=True, cwd=cwd, env=environment)

    def communicate(self, timeout: float = LONGEST_S) -> tuple[None, str]:
        """Return what it still says until its end; one that is late is killed, and an error."""
        late = threading.Timer(timeout, self.kill)
        late.start()
        with self.stderr:
            told = self.stderr.read()
        is_late = not late.is_alive()
        late.cancel()
        self.wait(timeout)
        if is_late:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return None, told


def fork_from_now_on() -> None:
    """Have this process go on where it would become another program of ours."""
    _open_streams()
    os.execve = _go_on  # type: ignore[assignment]


def _open_streams() -> None:
    """Open output anew: a stream knows from its start whether it is a file or a pipe."""
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # Both are there until the end.
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def _go_on(program: str, words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Be the program that this one would become."""
    assert words[:3] == [program, "-P", "-c"], words
    atexit._clear()  # Those of the program before.
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *words[4:]]
    exec(words[3], {"__name__": "__main__"})
    raise AssertionError("it has not ended")
