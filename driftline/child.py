"""Runs a program in a process of its own, with limits: scripts, queries, commands, receivers.

The limits (time, memory, size of files, no secrets in the environment, no descriptors of ours)
guard against accidents. They are no jail: the program runs as the same user, with network access.

Between this process and the program stands one that watches it: this module, run as a program. It
sets the limits, adopts what the program leaves behind, also in sessions of its own, and ends it all
when the program ends or when a pipe from this process does. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from driftline.orphans import FAREWELL_S, adopt_orphans, end_children, end_with_parent

# As a shell says that a program cannot be started.
NOT_STARTED = 126
# What programs need to find their files and to write text; nothing that may be a secret.
_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
# So that libraries do not take a machine's memory for each of its processors.
_FIXED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}
_CHUNK = 1 << 16
# Of what was written before the end, to be read.
_LAST_WORDS_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may take; None: as much as this process."""

    time_s: float | None = None  # `run` waits no longer; who has `started` it looks for itself.
    memory_bytes: int | None = None  # Of each process: its data, not files that it maps.
    file_bytes: int | None = None  # Of any file that it writes.
    more_processes: int | None = None  # Added to those of its user; root has no such limit.
    is_background: bool = False  # What answers requests on this machine comes first.


def module_argv(module: str) -> list[str]:
    """Return what runs one of our own modules."""
    return [sys.executable, "-I", "-B", "-m", module]


@contextmanager
def started(
    argv: Sequence[str],
    limits: Limits,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] = "/",
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = subprocess.DEVNULL,
    stderr: int | None = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program; at the end of the block, terminate it with all that it has started."""
    alive, end = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; callers say what may be run
            [*module_argv(__name__), json.dumps([alive, asdict(limits)]), *argv],
            stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=(alive, *pass_fds), cwd=cwd,
            env={
                **{name: os.environ[name] for name in _KEPT if name in os.environ},
                **_FIXED, **(environment or {}),
            },
            start_new_session=True,
        )  # fmt: skip
    except BaseException:
        os.close(end)
        raise
    finally:
        os.close(alive)
    try:
        yield process
    finally:
        os.close(end)
        with suppress(subprocess.TimeoutExpired):
            process.wait(4 * FAREWELL_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(
    argv: Sequence[str],
    limits: Limits,
    body: bytes | memoryview,
    *,
    environment: Mapping[str, str] | None = None,
    output_bytes: int | None = None,
    stderr: int = subprocess.DEVNULL,
) -> tuple[int, bytes]:
    """Run a program with a body as its input; return its exit code and the first of its output."""
    found = bytearray()
    with started(
        argv, limits, environment=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=stderr,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        feeding = threading.Thread(target=_feed, args=(process.stdin, body), daemon=True)
        reading = threading.Thread(
            target=_read, args=(process.stdout, found, output_bytes), daemon=True
        )
        feeding.start()
        reading.start()
        try:
            code = process.wait(limits.time_s)
        except subprocess.TimeoutExpired:
            # From none: the error may hold what was written until then.
            raise TimeoutError(f"the program did not end within {limits.time_s:g} s") from None
        reading.join(_LAST_WORDS_S)
    return code, bytes(found)


def _feed(pipe: IO[bytes], body: bytes | memoryview) -> None:
    with suppress(OSError), pipe:  # A program may end without having read it.
        pipe.write(body)


def _read(pipe: IO[bytes], found: bytearray, most: int | None) -> None:
    with pipe:
        while part := os.read(pipe.fileno(), _CHUNK):
            found += part if most is None else part[: most - len(found)]


def main() -> None:
    """Run the program of the arguments; end as it does."""
    (alive, limits), argv = json.loads(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(alive, False)
    adopt_orphans()
    program = os.fork()
    if program == 0:
        _become(argv, limits)
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # Who feeds the program sees its end, not ours.
    ended = threading.Event()
    threading.Thread(target=_end_in_time, args=(alive, program, ended), daemon=True).start()
    _, status = os.waitpid(program, 0)
    ended.set()
    end_children()
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        set_limits({})
        with suppress(OSError, ValueError):  # Python ignores some; SIGKILL nobody handles.
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _become(argv: list[str], limits: Mapping[str, float | None]) -> None:
    try:
        end_with_parent()
        set_limits(limits)
        if limits["is_background"]:
            os.nice(10)
        os.execvp(argv[0], argv)  # noqa: S606 - no shell
    finally:
        os._exit(NOT_STARTED)


def _end_in_time(alive: int, program: int, ended: threading.Event) -> None:
    os.read(alive, 1)
    for one in (signal.SIGTERM, signal.SIGKILL):
        if not ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(program, one)
        if ended.wait(FAREWELL_S):
            return


def set_limits(limits: Mapping[str, float | None]) -> None:
    """Limit this process and its children, by what they store; no core, which holds data."""
    import resource  # Not on every system.

    more = limits.get("more_processes")
    for kind, most in (
        (resource.RLIMIT_DATA, limits.get("memory_bytes")),
        (resource.RLIMIT_FSIZE, limits.get("file_bytes")),
        (resource.RLIMIT_NPROC, None if more is None else _own_tasks() + more),
        (resource.RLIMIT_CORE, 0),
    ):
        if most is not None:
            with suppress(ValueError, OSError):  # Some systems know no such limit.
                resource.setrlimit(kind, (int(most), int(most)))


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
