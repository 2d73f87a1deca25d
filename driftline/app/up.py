"""Starts, watches and stops the processes of one installation.

Each process reports through a pipe that it is ready. One that dies is started again after a pause
that grows from one second to thirty; a stop goes in the reverse order of the start.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from driftline import allocator
from driftline.app.exit_codes import error_of
from driftline.errors import InputError, UnavailableError
from driftline.forked import Forked, ForkServer, name_process

log = logging.getLogger(__name__)

# What `--only` names with each transport, and the process that each runs in.
ROLES = {
    "local": {
        "server": "server",
        "capture": "background",
        "scheduler": "background",
        "alarms": "background",
        "dashboard": "dashboard",
    },
    "kafka": {
        "server": "server",
        "sidecar": "sidecar",
        "sink": "sink",
        "scheduler": "background",
        "alarms": "background",
        "dashboard": "dashboard",
    },
}
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 60.0
STOP_S = 15.0
LAST_LINES_S = 2.0
# Modules that processes import, by the process; all share them.
_LOOPS = ("driftline.app.process_metrics", "driftline.capture.line.sink", "httpcore")
# With what others import when they are first used: each process would have its own.
_LISTENING = (
    "driftline.app.listener", "httpcore", "pydantic.v1", "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
)  # fmt: skip
_IMPORTS = {
    "server": (*_LISTENING, "driftline.serving.app"),
    "background": (
        *_LOOPS,
        "driftline.alerts.evaluation.evaluator",
        "driftline.alerts.math.training",
        "driftline.alerts.notify.deliverer",
        "driftline.alerts.notify.notification_maintenance",
        "driftline.database.migrations",
        "driftline.monitors.run.scheduler",
        "driftline.serving.hosting.asked_models",
    ),
    "dashboard": (*_LISTENING, "driftline.app.client.connection", "driftline.dashboard.app"),
    "sidecar": (*_LOOPS, "driftline.capture.line.kafka"),
    "sink": (*_LOOPS, "driftline.capture.line.kafka"),
}


@dataclass(slots=True)
class _Child:
    name: str
    roles: tuple[str, ...]
    process: Forked | None = None
    stdin: IO[bytes] | None = None
    ready_fd: int = -1
    is_ready: bool = False
    started_s: float = 0.0
    restart_at_s: float | None = None
    failures: int = 0
    threads: list[threading.Thread] = field(default_factory=list)


class Supervisor:
    """The running processes of one installation."""

    def __init__(
        self, settings_file: Path | None, roles: Mapping[str, str], log_folder: Path | None
    ) -> None:
        self._settings_file = settings_file
        self._log_folder = log_folder
        self._children = [
            _Child(name, tuple(role for role in roles if roles[role] == name))
            for name in dict.fromkeys(roles.values())
        ]
        names = [child.name for child in self._children]
        preload = ["driftline.app.preload", *(one for name in names for one in _IMPORTS[name])]
        self._fork_server = ForkServer(preload, lambda: allocator.VARIABLES | os.environ)
        for child in self._children:
            self._spawn(child)

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Wait until every process has said that it is ready."""
        until = time.monotonic() + deadline_s
        for child in self._children:
            while not child.is_ready:
                left = until - time.monotonic()
                if left <= 0:
                    raise UnavailableError(f"{child.name}: not ready after {deadline_s:.0f} s")
                self._read_ready(child, left)

    def check(self) -> None:
        """Raise an error of the same exit code when a process has ended by itself."""
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                code = child.process.returncode
                raise error_of(code, f"{child.name}: ended with code {code}{self._where(child)}")

    def pids(self) -> dict[str, int]:
        """Return the processes that live, by their names."""
        return {
            child.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def watch(self, stop: threading.Event) -> None:
        """Start again what dies, until told to stop; then stop all."""
        while not stop.wait(0.5):
            now = time.monotonic()
            for child in self._children:
                if child.restart_at_s is not None:
                    if now >= child.restart_at_s:
                        child.restart_at_s = None
                        self._spawn(child)
                elif child.process is not None and child.process.poll() is not None:
                    steady = now - child.started_s > STEADY_S
                    child.failures = 0 if steady else child.failures + 1
                    pause = PAUSES_S[min(child.failures, len(PAUSES_S) - 1)]
                    log.error(
                        "process=%s ended code=%s restart_in_s=%.0f",
                        child.name,
                        child.process.returncode,
                        pause,
                    )
                    child.restart_at_s = now + pause
        log.info("told to stop: ending processes=%d", len(self.pids()))
        self.stop()
        log.info("stopped")

    def stop(self) -> None:
        """End every process, the last started first; kill what does not end in time."""
        for child in reversed(self._children):
            process = child.process
            if process is None:
                continue
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    log.error("process=%s did not end in %.0f s, killed", child.name, STOP_S)
                    process.send_signal(signal.SIGKILL)
                    process.wait()
            for thread in child.threads:
                # Not for ever: a worker that hangs outlives its killed server and holds the pipe.
                thread.join(LAST_LINES_S)
            if child.stdin is not None:
                child.stdin.close()
            if child.ready_fd >= 0:
                os.close(child.ready_fd)
                child.ready_fd = -1
        self._fork_server.close()

    def _spawn(self, child: _Child) -> None:
        if child.ready_fd >= 0:
            os.close(child.ready_fd)
        child.ready_fd, write_fd = os.pipe()
        arguments = [child.name, "--roles", ",".join(child.roles)]
        if self._settings_file is not None:
            arguments += ["--settings", str(self._settings_file)]
        try:
            child.process, stdin, stdout = self._start(arguments, write_fd)
        finally:
            os.close(write_fd)
        child.started_s = time.monotonic()
        child.is_ready = False
        if child.stdin is not None:
            child.stdin.close()
        child.stdin = stdin
        thread = threading.Thread(target=self._copy_log, args=(child, stdout), daemon=True)
        thread.start()
        child.threads = [thread]

    def _start(self, arguments: list[str], ready_fd: int) -> tuple[Forked, IO[bytes], IO[bytes]]:
        """Return a process, its input, which nobody writes to, and what it prints."""
        (reading, stdin), (stdout, writing) = os.pipe(), os.pipe()
        try:
            process = self._fork_server.start(
                _be, arguments, descriptors=(ready_fd, reading, writing), end_by=signal.SIGTERM
            )
        except BaseException:
            os.close(stdin)
            os.close(stdout)
            raise
        finally:
            os.close(reading)
            os.close(writing)
        return process, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")

    def _read_ready(self, child: _Child, left_s: float) -> None:
        ready = select.poll()
        ready.register(child.ready_fd, select.POLLIN)
        if not ready.poll(1000 * min(left_s, 1.0)):
            return
        if os.read(child.ready_fd, 1):
            child.is_ready = True
            log.info("process=%s ready", child.name)
            return
        code = child.process.wait() if child.process is not None else None
        raise error_of(
            code, f"{child.name}: ended with code {code} before it was ready{self._where(child)}"
        )

    def _copy_log(self, child: _Child, stdout: IO[bytes]) -> None:
        """Copy a process's lines to its own file, or to standard error after its name.

        A line that cannot be written (full disk, closed terminal) is dropped: else the process
        would hang.
        """
        for line in stdout:
            with suppress(OSError):
                if self._log_folder is None:
                    # A line of JSON names its process itself.
                    head = "" if line.startswith(b"{") else f"{child.name:<10} "
                    sys.stderr.write(head + line.decode(errors="replace"))
                    sys.stderr.flush()
                    continue
                self._log_folder.mkdir(parents=True, exist_ok=True)
                with (self._log_folder / f"{child.name}.log").open("ab", buffering=0) as target:
                    target.write(line)
        stdout.close()

    def _where(self, child: _Child) -> str:
        return f"; see {self._log_folder / child.name}.log" if self._log_folder else ""


def start(
    settings_file: Path | None,
    *,
    only: Sequence[str] = (),
    log_folder: Path | None = None,
    transport: str = "local",
) -> Supervisor:
    """Start the processes of an installation, each with the same settings file."""
    roles = ROLES[transport]
    for name in only:
        if name not in roles:
            raise InputError(
                f'--only "{name}"; {"with" if transport == "kafka" else "without"} [kafka] '
                f"bootstrap_servers expected some of {', '.join(roles)}"
            )
    chosen = {role: process for role, process in roles.items() if not only or role in only}
    return Supervisor(settings_file, chosen, log_folder)


def _be(arguments: list[str], ready: int, stdin: int, stdout: int) -> None:
    """Be a process of an installation, with its pipes; in the forked process."""
    from driftline.app.processes import main  # Imported before the fork.

    name_process(arguments[0])
    for pipe, places in ((stdin, (0,)), (stdout, (1, 2))):
        for place in places:
            os.dup2(pipe, place)
        os.close(pipe)
    main([*arguments, "--ready-fd", str(ready)])
