"""The process that starts a command with limits, and kills whatever is left of it.

Standard library only. It adopts processes that the command leaves behind, also those in a session
of their own. Standard input ends when driftline stops waiting or dies: the command is then
terminated, and killed if it does not end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from driftline.baseline.scripting_child import set_limits
from driftline.orphans import FAREWELL_S, adopt_orphans, end_children

# As a shell says that a program cannot be started.
NOT_STARTED = 126
# Processes and threads that a command may add to those of its user; root has no such limit.
MORE_PROCESSES = 256


def main() -> None:
    """Run the command of the arguments; end with its exit code, or 128 and the signal's number."""
    limits, argv = json.loads(sys.argv[1]), sys.argv[2:]
    limits["processes"] = _own_tasks() + MORE_PROCESSES
    adopt_orphans()
    command = os.fork()
    if command == 0:
        _become(argv, limits)
    ended = threading.Event()
    threading.Thread(target=_end_in_time, args=(command, ended), daemon=True).start()
    _, status = os.waitpid(command, 0)
    ended.set()
    end_children()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _become(argv: list[str], limits: dict[str, int]) -> None:
    """Turn this process into the command, with an empty standard input."""
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


def _own_tasks() -> int:
    """Count this user's processes and threads, to which the limit applies."""
    count = 0
    for place in Path("/proc").glob("[0-9]*/task"):
        with suppress(OSError):
            if place.stat().st_uid == os.getuid():
                count += sum(1 for _ in place.iterdir())
    return count


if __name__ == "__main__":
    main()
