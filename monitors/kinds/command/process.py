"""Runs one command in a process of its own, with limits.

The limits (time, processor, memory, processes, bytes written, no secrets in the environment) guard
against accidents. They are no jail: the command runs as the same user, with network access.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from driftline.child import NOT_STARTED, Limits, started
from driftline.errors import InputError, UndecidedError
from driftline.monitors.check_context import Command

# Between two looks at the time and at the folder.
LOOK_S = 0.5
# What a shell adds to the number of a signal that ended a program.
SIGNALLED = 128
MEMORY_BYTES = 2 << 30  # Of each process.
MORE_PROCESSES = 256  # Processes and threads.
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
    limits = Limits(
        memory_bytes=MEMORY_BYTES, file_bytes=FILE_BYTES, more_processes=MORE_PROCESSES,
        is_background=True,
    )  # fmt: skip
    given_bytes, given_count = _usage(place)
    home = place / "home"
    home.mkdir()
    folders = {"HOME": str(home), "TMPDIR": str(home)}
    with started(command.argv, limits, environment={**folders, **environment}, cwd=home) as process:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(LOOK_S)
            command.in_time()
            used_bytes, used_count = _usage(place)
            if used_bytes - given_bytes > FILE_BYTES:
                raise UndecidedError(f"{command.name} wrote more than {FILE_BYTES >> 20:,} MiB")
            if used_count - given_count > FILE_COUNT:
                raise UndecidedError(f"{command.name} wrote more than {FILE_COUNT:,} files")


def ended_by(code: int) -> str:
    """Describe how a command ended with another exit code than 0."""
    if code == NOT_STARTED:
        return "cannot be started; expected a program that names its interpreter (#!) or needs none"
    with suppress(ValueError):
        name = signal.Signals(-code if code < 0 else code - SIGNALLED).name
        hint = "; its limit is 2 GiB of memory"
        return f"was ended by {name}{hint * (name in ('SIGKILL', 'SIGABRT'))}"
    return f"ended with exit code {code}"


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
