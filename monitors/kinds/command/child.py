"""The process that starts a command with limits, and ends whatever is left of it.

Standard library only. It takes in the processes that the command leaves behind, so that none
outlives it, also one in a session of its own. Standard input ends when driftline has waited long
enough, or is gone: then the command is asked to end, and killed when it does not.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from driftline.baseline.scripting_child import set_limits

# As a shell says that a program cannot be started.
NOT_STARTED = 126
# For a command that was asked to end, and for what it left behind.
FAREWELL_S = 2.0
# Processes and threads that a command may add to those of its user; root has no such limit.
MORE_PROCESSES = 256
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux.


def main() -> None:
    """Run the command of the arguments; end with its exit code, or 128 and the signal's number."""
    limits, argv = json.loads(sys.argv[1]), sys.argv[2:]
    limits["processes"] = _own_tasks() + MORE_PROCESSES
    with suppress(AttributeError, OSError):  # Other systems have no such thing.
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    command = os.fork()
    if command == 0:
        _become(argv, limits)
    ended = threading.Event()
    threading.Thread(target=_end_in_time, args=(command, ended), daemon=True).start()
    _, status = os.waitpid(command, 0)
    ended.set()
    _end_others()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _become(argv: list[str], limits: dict[str, int]) -> None:
    """Turn this process into the command, with nothing to read and nobody who listens."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        set_limits(limits)
        os.nice(10)  # What answers requests on this machine comes first.
        os.execv(argv[0], argv)  # noqa: S606 - an allowed program, and no shell
    finally:
        os._exit(NOT_STARTED)


def _end_in_time(command: int, ended: threading.Event) -> None:
    sys.stdin.buffer.read()
    for one in (signal.SIGTERM, signal.SIGKILL):
        if not ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(command, one)
        if ended.wait(FAREWELL_S):
            return


def _end_others() -> None:
    """Kill what the command left behind: those come to this process, one generation at a time."""
    end = time.monotonic() + FAREWELL_S
    while time.monotonic() < end:
        for child in _children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return  # There are none any more.
        time.sleep(0.01)


def _children() -> list[int]:
    """Return the processes whose parent this one is; none where there is no /proc."""
    own, found = str(os.getpid()), []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may hold anything; behind it stand state and parent.
            if place.read_text(errors="replace").rpartition(")")[2].split()[1] == own:
                found.append(int(place.parent.name))
    return found


def _own_tasks() -> int:
    """Count the processes and threads of this user, which the limit on them counts."""
    count = 0
    for place in Path("/proc").glob("[0-9]*/task"):
        with suppress(OSError):
            if place.stat().st_uid == os.getuid():
                count += sum(1 for _ in place.iterdir())
    return count


if __name__ == "__main__":
    main()
