"""``driftline up`` as a fork that has the imports of its processes behind it.

An installation imports for three seconds of CPU before its first answer: the command, what watches
the processes, and what forks them. Here a fork of tests/servers/commands.py does all that a start
does but to import: where one program becomes another of ours, or starts one, it goes on as that
one, with the arguments, environment, files and session that it would have. That programs start by
themselves is the matter of tests/journeys/test_stopping.py, test_own_app.py and test_wheel.py.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from multiprocessing import resource_tracker
from pathlib import Path
from typing import IO, Any, NoReturn

from driftline.serving.hosting import worker_process
from tests.servers.commands import LONGEST_S, Fork, SharedForkServer, end

__all__ = ["ForkedInstallation"]

OURS = "from driftline.forked import serve; "
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


class _Popen(subprocess.Popen[Any]):
    """A program of ours that this process forks, where it may: others are started."""

    def _execute_child(self, *given: object) -> None:  # type: ignore[override]
        start = super()._execute_child
        asked = inspect.signature(start).bind(*given).arguments
        words = [str(word) for word in asked["args"]]
        # A fork has the thread alone that forked it.
        if not _is_ours(words) or threading.active_count() > 1:
            start(*given)
            return
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _go_on(words, asked)
        self._child_created = True
        self._close_pipe_fds(  # type: ignore[attr-defined]
            *(asked[f"{name}"] for name in (
                "p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"
            ))
        )  # fmt: skip


def fork_from_now_on() -> None:
    """Have this process fork the programs of ours that it starts, and of what these start."""
    _open_streams()
    subprocess.Popen = _Popen  # type: ignore[misc]


def _open_streams() -> None:
    """Open output anew: a stream knows from its start whether it is a file or a pipe."""
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # Both are there until the end.
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def _is_ours(words: Sequence[str]) -> bool:
    return words[:3] == [sys.executable, "-P", "-c"] and words[3].startswith(OURS)


def _go_on(words: Sequence[str], asked: Mapping[str, Any]) -> NoReturn:
    """Be the program that was to be started."""
    try:
        atexit._clear()  # Those of whoever started it.
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if asked["start_new_session"]:
            os.setsid()
        for target, name in enumerate(("p2cread", "c2pwrite", "errwrite")):
            if asked[name] != -1:
                os.dup2(asked[name], target)
        kept = {0, 1, 2, resource_tracker.getfd(), *asked["pass_fds"]}
        shared = worker_process.fork_server()
        if isinstance(shared, SharedForkServer):
            kept.add(shared.alive_fd)
        _close_all_but(kept)
        _open_streams()
        if asked["env"] is not None:
            os.environ.clear()
            os.environ.update(asked["env"])
        _run(words)
    finally:
        os._exit(1)


def _close_all_but(kept: set[int]) -> None:
    for file in list(Path("/proc/self/fd").iterdir()):
        if int(file.name) not in kept:
            try:
                os.close(int(file.name))
            except OSError:  # The one by which they were listed.
                continue


def _run(words: Sequence[str]) -> NoReturn:
    """Run code as ``python -P -c`` does, and end with its exit code."""
    gc.freeze()
    code = 0
    try:
        exec(words[3], {"__name__": "__main__"})
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001  # What the interpreter does with whatever leaves a program.
        sys.excepthook(*sys.exc_info())
        code = 1
    end(code)
