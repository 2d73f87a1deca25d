"""Runs one command in a process of its own, with limits.

The limits (time, processor, memory, processes, bytes written, no secrets in the environment) guard
against accidents. They are no jail: the command runs as the same user, with network access.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from driftline.baseline.scripting_process import FIXED, KEPT
from driftline.errors import InputError, UndecidedError
from driftline.monitors.check_context import Command
from driftline.monitors.kinds.command.child import NOT_STARTED
from driftline.orphans import FAREWELL_S

CHILD = "driftline.monitors.kinds.command.child"
# Between two looks at the time and at the folder.
LOOK_S = 0.5
# What a shell adds to the number of a signal that ended a program.
SIGNALLED = 128
MEMORY_BYTES = 2 << 30  # Address space of each process.
FILE_BYTES = 1 << 30  # Of any file, and of all files in its folder.
FILE_COUNT = 10_000


@contextmanager
def work_folder() -> Iterator[Path]:
    """Create a folder that only this user may enter; remove it with its content at exit."""
    folder = TemporaryDirectory(prefix="driftline-command-")
    try:
        yield Path(folder.name).resolve()
    finally:
        try:
            folder.cleanup()
        except (OSError, RecursionError):  # Folders nested deeper than Python's stack.
            subprocess.run(["rm", "-rf", "--", folder.name], check=False)  # noqa: S603, S607


def run_command(command: Command, place: Path, environment: Mapping[str, str]) -> int:
    """Run a command in its folder until it ends; return its exit code.

    Files already in the folder do not count as written. Time and size are checked every half
    second; a command beyond its limits is an error.
    """
    if os.name != "posix":
        raise InputError("commands run on Linux and macOS only")
    cpu_s = max(1, round(command.timeout_s))
    caps = {"memory_bytes": MEMORY_BYTES, "file_bytes": FILE_BYTES, "cpu_s": cpu_s}
    given_bytes, given_count = _usage(place)
    home = place / "home"
    home.mkdir()
    process = subprocess.Popen(  # noqa: S603 - this Python, our own file, an allowed program
        [sys.executable, "-I", "-B", "-m", CHILD, json.dumps(caps), *command.argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **FIXED,
            "HOME": str(home),
            "TMPDIR": str(home),
            **environment,
        },
        cwd=home,
        start_new_session=True,
    )
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(LOOK_S)
            command.in_time()
            used_bytes, used_count = _usage(place)
            if used_bytes - given_bytes > FILE_BYTES:
                raise UndecidedError(f"{command.name} wrote more than {FILE_BYTES >> 20:,} MiB")
            if used_count - given_count > FILE_COUNT:
                raise UndecidedError(f"{command.name} wrote more than {FILE_COUNT:,} files")
    finally:
        _end(process)


def ended_by(code: int, timeout_s: float) -> str:
    """Describe how a command ended with another exit code than 0."""
    if code == NOT_STARTED:
        return "cannot be started; expected a program that names its interpreter (#!) or needs none"
    with suppress(ValueError):
        name = signal.Signals(-code if code < 0 else code - SIGNALLED).name
        hint = f"; its limits are 2 GiB of memory and {timeout_s:,g} s of a processor"
        return f"was ended by {name}{hint * (name in ('SIGKILL', 'SIGXCPU', 'SIGABRT'))}"
    return f"ended with exit code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command, its processes, and its watching process."""
    assert process.stdin is not None  # A pipe was asked for.
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(4 * FAREWELL_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _usage(place: Path) -> tuple[int, int]:
    """Count bytes and entries below a folder that is being written."""
    size, count, folders = 0, 0, [os.fspath(place)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
    return size, count
