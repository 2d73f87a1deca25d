"""Starts, watches and stops the processes of one installation.

It imports what the processes run and forks them, so that they share that memory. A socket connects
each with this one: the process says through it that it is ready, and stops when its other end
closes. One that dies is started again after a pause that grows from one second to thirty; a stop
goes in the reverse order of the start. The supervisor is a program of its own, as only a process of
one thread may fork so: the command becomes it, and other programs start it beside them.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from driftline.app.exit_codes import error_of, exit_code, last_words
from driftline.app.logs import configure_logging
from driftline.app.processes import run_supervised
from driftline.app.stopping import stop_on_signals
from driftline.ending import run_and_end
from driftline.errors import InputError, UnavailableError
from driftline.forked import ALLOCATORS, Fork, import_shared, name_process
from driftline.orphans import children
from driftline.settings.settings import Settings, load
from driftline.storage import make_files_private

log = logging.getLogger(__name__)

# What `--only` names with each transport, and the process that each runs in.
_ALWAYS = {"scheduler": "background", "alarms": "background", "dashboard": "dashboard"}
ROLES = {
    "local": {"server": "server", "capture": "background", **_ALWAYS},
    "kafka": {"server": "server", "sidecar": "sidecar", "sink": "sink", **_ALWAYS},
}
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
STOP_S = 15.0
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
class _Running:
    process: Fork
    link: socket.socket
    started_s: float
    restart_at_s: float | None = None
    failures: int = 0


class Supervisor:
    """The processes of one installation, with their logs on standard error."""

    def __init__(
        self, settings_file: Path | None, *, only: Sequence[str] = (), transport: str = "local"
    ) -> None:
        roles = ROLES[transport]
        for name in only:
            if name not in roles:
                raise InputError(
                    f'--only "{name}"; {"with" if transport == "kafka" else "without"} [kafka] '
                    f"bootstrap_servers expected some of {', '.join(roles)}"
                )
        self._settings_file = settings_file
        self._roles: dict[str, list[str]] = {}
        for role, process in roles.items():
            if not only or role in only:
                self._roles.setdefault(process, []).append(role)
        import_shared([module for name in self._roles for module in _IMPORTS[name]])
        self._running: dict[str, _Running] = {}
        for name in self._roles:
            self._running[name] = self._start(name)

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Wait until every process has said that it is ready."""
        until_s = time.monotonic() + deadline_s
        for name, one in self._running.items():
            one.link.settimeout(max(0.001, until_s - time.monotonic()))
            try:
                is_ready = one.link.recv(1)
            except TimeoutError:
                raise UnavailableError(f"{name}: not ready after {deadline_s:.0f} s") from None
            if not is_ready:
                code = one.process.wait()
                raise error_of(code, f"{name}: ended with code {code} before it was ready")
            log.info("process=%s ready", name)

    def watch(self, stop: threading.Event, is_left: Callable[[], bool]) -> None:
        """Start again what dies, until told to stop or left by who started this; then stop all."""
        while not (stop.wait(0.5) or is_left()):
            now_s = time.monotonic()
            for name, one in self._running.items():
                if one.restart_at_s is None and one.process.poll() is not None:
                    failures = 0 if now_s - one.started_s > STEADY_S else one.failures + 1
                    pause_s = min(2.0**failures, LONGEST_PAUSE_S)
                    code = one.process.returncode
                    log.error("process=%s ended code=%s restart_in_s=%.0f", name, code, pause_s)
                    one.failures, one.restart_at_s = failures, now_s + pause_s
                elif one.restart_at_s is not None and now_s >= one.restart_at_s:
                    one.link.close()
                    self._running[name] = self._start(name, one.failures)
        log.info("told to stop: ending processes=%d", len(self._running))
        self.stop()
        log.info("stopped")

    def stop(self) -> None:
        """End every process, the last started first; kill what does not end in time."""
        for name, one in reversed(self._running.items()):
            one.process.send_signal(signal.SIGTERM)
            try:
                one.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                log.error("process=%s did not end in %.0f s, killed", name, STOP_S)
                one.process.send_signal(signal.SIGKILL)
                one.process.wait()
            one.link.close()

    def _start(self, name: str, failures: int = 0) -> _Running:
        ours, theirs = socket.socketpair()
        with theirs:
            process = Fork(partial(self._run, name, ours, theirs), end_by=signal.SIGTERM)
        return _Running(process, ours, time.monotonic(), failures=failures)

    def _run(self, name: str, ours: socket.socket, theirs: socket.socket) -> None:
        """Be a process; in the fork."""
        for link in (ours, *(one.link for one in self._running.values())):
            link.close()
        name_process(name)
        os.dup2(2, 1)
        run_supervised(name, self._roles[name], self._settings_file, theirs.detach())


class SupervisorProcess:
    """A supervisor beside this program, which ends with it; all its processes log to one file."""

    def __init__(
        self,
        settings_file: Path,
        log_file: Path,
        *,
        only: Sequence[str] = (),
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._log_file = log_file
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                _command("main(is_beside=True)", settings_file, only),
                env=ALLOCATORS | {**environment}, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    @property
    def process_ids(self) -> list[int]:
        """The operating system's numbers of the processes that it supervises."""
        return children(self._process.pid)

    def wait_ready(self) -> None:
        """Wait until every process is ready; an error of the same exit code if it ends instead."""
        assert self._process.stdout is not None
        if not self._process.stdout.read(1):
            self.wait()

    def check(self) -> None:
        """Raise an error of the same exit code when it has ended by itself."""
        if self._process.poll() is not None:
            self.wait()

    def wait(self) -> NoReturn:
        """Wait until it ends by itself, which is an error."""
        code = self._process.wait()
        raise error_of(code, f"driftline up: ended with code {code}; see {self._log_file}")

    def stop(self) -> None:
        """End it, and with it every process."""
        with self._process:
            self._process.terminate()


def become_supervisor(settings_file: Path | None, roles: Sequence[str]) -> NoReturn:
    """Have this program, of which nothing is needed any more, become the supervisor."""
    command = _command("main()", settings_file, roles)
    sys.stdout.flush()
    os.execve(sys.executable, command, ALLOCATORS | os.environ)  # noqa: S606 - our own module


def _command(call: str, settings_file: Path | None, roles: Sequence[str]) -> list[str]:
    # Ctrl-C while it imports ends it without a word.
    quiet = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)"
    code = f"{quiet}; from {__name__} import main; {call}"
    command = [sys.executable, "-P", "-c", code, ",".join(roles)]
    return command if settings_file is None else [*command, str(settings_file)]


def main(*, is_beside: bool = False) -> NoReturn:
    """Be the supervisor, of the processes that the arguments name.

    Beside another program it says through its output that it is ready, and stops when its input
    ends.
    """
    run_and_end(partial(_watch, is_beside=is_beside))


def _watch(*, is_beside: bool) -> None:
    make_files_private()
    configure_logging()
    stop = stop_on_signals()
    names, *file = sys.argv[1:]
    only = [name for name in names.split(",") if name]
    try:
        settings = load(Path(file[0]) if file else None, environment=os.environ)
        configure_logging(settings.log.format)
        supervisor = Supervisor(settings.file, only=only, transport=settings.transport)
        try:
            supervisor.wait_ready()
            _tell_ready(settings, only)
            if is_beside:
                os.write(1, b"1")
        except BaseException:
            supervisor.stop()
            raise
        supervisor.watch(stop, lambda: is_beside and bool(select.select([0], [], [], 0)[0]))
    except Exception as error:  # noqa: BLE001 - the top of the process
        tell(last_words(error))
        sys.exit(exit_code(error))


def _tell_ready(settings: Settings, only: Sequence[str]) -> None:
    if not only or "server" in only:
        tell(f"{'server':<9} {settings.server_url}")
    if not only or "dashboard" in only:
        tell(f"{'dashboard':<9} {settings.dashboard_url}")
        tell_login(settings)
    tell("ready; Ctrl-C ends it")


def tell(line: str) -> None:
    """Write a line to who has started this process, and may have closed the terminal since."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


def tell_login(settings: Settings) -> None:
    """Print how the user of this machine logs in: the secret on a terminal alone, never in logs."""
    if settings.auth.mode == "off":
        return
    line = f"with the token in {settings.token_file}"
    if not settings.token_file.exists():
        line = "with a token of: driftline token create NAME --role viewer"
    elif sys.stderr is not None and sys.stderr.isatty():
        secret = settings.token_file.read_text(encoding="ascii").strip()
        line = f"{settings.dashboard_url}/login#token={secret}"
    tell(f"{'log in':<9} {line}")
