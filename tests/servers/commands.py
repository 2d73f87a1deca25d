"""Commands of driftline, and code, each in a process of its own that has the imports behind it.

A command imports for about a second and works for a tenth of one; the tests run hundreds. So one
process imports what commands import, and forks for each command of all workers of the tests. The
fork runs ``python -m driftline``, or ``python -c`` with code of a test, from there on: its own
arguments, folder, environment and files, its own end, also by SIGKILL. What a command imports is
the matter of tests/driftline/app/test_cli.py; journeys that follow a document run its words in a
shell.

A command that runs a model has a worker forked for it, too, by one process for all that have the
environment of the tests: each would import scikit-learn for itself, in another second.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from multiprocessing import connection, resource_tracker
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NoReturn

from driftline.app import up
from driftline.forked import ForkServer, serve
from driftline.serving.hosting import worker_process

__all__ = ["Fork", "ForkedJob", "driftline", "end", "python", "shared_by_workers", "talking"]

ROOT = Path(__file__).parents[2]
# Whose models are of classes of their own; tests put it on PYTHONPATH.
MODELS = ROOT / "tests" / "fixtures" / "serving"
LONGEST_S = 400.0
# Where the process listens that forks for all workers of the tests.
ADDRESS = "DRIFTLINE_TESTS_COMMANDS"
JOB = "from driftline.app.job_process import main; main()"
STOP_S = 10.0
# What commands import, and with it what they import on first use; then what code of tests does.
PACKAGES = ("driftline.app.commands", "driftline.app.client", "driftline.monitors")
MODULES = (
    "driftline.app.cli",
    "driftline.app.processes",
    "driftline.settings.settings",
    "driftline.baseline.store",
    "encodings.idna",
    "httpcore._sync",
    "pydantic.json_schema",
    "pydantic.main",
    "pydantic.type_adapter",
    "pydantic.types",
    "rich.console",
    "sqlalchemy.dialects.sqlite",
    "zoneinfo",
    "driftline.alerts.evaluation.evaluator",
    "driftline.alerts.notify.deliverer",
    "driftline.capture.line.kafka",
    "driftline.capture.line.table_maintenance",
    "driftline.serving.processing.run",
    "driftline.serving.transform.run",
    "tests.servers.postgres",
    "yaml",
)


class Fork:
    """A process that was forked with its imports; it has a number and an end of its own.

    Of its files the first three are input, output and errors; another one is its last word.
    """

    def __init__(
        self,
        words: Sequence[object],
        files: Sequence[int],
        *,
        code: str = "",
        is_command: bool = False,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.args = [str(one) for one in words]
        asked = {
            "words": self.args,
            "code": textwrap.dedent(code),
            "is_command": is_command,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(env or os.environ),
        }
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(f"\0{os.environ.get(ADDRESS) or _start(os.getpid())}")
            socket.send_fds(connection, [b"f"], files)
            connection.sendall(json.dumps(asked).encode())
            connection.shutdown(socket.SHUT_WR)
            self._answers = connection.makefile("r")
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None
        self._waiting = threading.Lock()

    def wait(self, timeout: float = LONGEST_S) -> int:
        """Wait for the end; return the exit code, or the signal below zero. Kill what is late."""
        with self._waiting:
            if self.returncode is None:
                self.returncode = self._end(timeout)
            return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, None before the end."""
        with self._waiting:
            if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
                self.returncode = self._end(0)
            return self.returncode

    def kill(self) -> None:
        """Send SIGKILL, where it has not ended."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM, where it has not ended."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, where it has not ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _end(self, timeout: float) -> int:
        with self._answers:
            ready, _, _ = select.select([self._answers], [], [], timeout)
            if not ready:
                os.kill(self.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(self.args, timeout)
            return int(self._answers.readline())


def python(code: str, *arguments: object) -> Fork:
    """Start ``python -c`` with code and arguments, without input; its output is this process's."""
    with Path(os.devnull).open("rb") as nothing:
        return Fork(arguments, (nothing.fileno(), 1, 2), code=code)


@contextlib.contextmanager
def talking(code: str, *arguments: object) -> Iterator[tuple[Fork, IO[str], IO[str]]]:
    """Start ``python -c``; yield it, its input and what it prints, and kill it at the end."""
    (reading, told), (printed, writing) = os.pipe(), os.pipe()
    with os.fdopen(told, "w", buffering=1) as source, os.fdopen(printed) as output:
        try:
            process = Fork(arguments, (reading, writing, 2), code=code)
        finally:
            os.close(reading)
            os.close(writing)
        try:
            yield process, source, output
        finally:
            process.kill()
            process.wait()


class ForkedJob(Fork):
    """The process of a job, as ``start_job`` starts it."""

    def __init__(self, settings: Path, kind: str, job: str, owner: str) -> None:
        reading, writing = os.pipe()
        try:
            words = [kind, job, owner, settings]
            super().__init__(words, (reading, 1, 2), code=JOB)
        finally:
            os.close(reading)
        self.stdin = os.fdopen(writing, "wb")


def driftline(
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float = LONGEST_S,
    first: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end; return its exit code and what it printed.

    ``first`` is code that its process runs before the command.
    """
    with TemporaryFile() as source, TemporaryFile() as out, TemporaryFile() as err:
        source.write(stdin)
        source.seek(0)
        files = [one.fileno() for one in (source, out, err)]
        process = Fork(arguments, files, code=first, is_command=True, cwd=cwd, env=env)
        code = process.wait(timeout)
        return subprocess.CompletedProcess(process.args, code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@contextlib.contextmanager
def shared_by_workers() -> Iterator[None]:
    """Have all workers that are started meanwhile share one process that forks.

    It starts when the first of them asks, and ends with this process, however that ends.
    """
    address, processes = _new_address(), list[subprocess.Popen[bytes]]()
    waking, woken = os.pipe()
    with _listening(address) as listener:

        def start() -> None:
            if listener in select.select([listener, waking], [], [])[0]:
                processes.append(_popen(listener))

        starting = threading.Thread(target=start)
        starting.start()
        os.environ[ADDRESS] = address
        try:
            yield
        finally:
            del os.environ[ADDRESS]
            os.close(woken)
            starting.join()
            os.close(waking)
            for process in processes:
                _stop(process)


@cache
def _start(parent: int) -> str:
    """Start the process that forks, once for this process of the tests; return its address."""
    address = _new_address(parent)
    with _listening(address) as listener:
        process = _popen(listener)
    atexit.register(_stop, process)
    return address


def _new_address(parent: int = 0) -> str:
    return f"driftline-tests-{parent}-{uuid.uuid4().hex}"


@contextlib.contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{address}")
        listener.listen()
        yield listener


def _popen(listener: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.servers.commands", str(listener.fileno())],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it in order; where this process is killed, it sees the end of its input, too."""
    process.communicate(timeout=STOP_S)


def _serve(listener: socket.socket) -> dict[str, Any] | None:
    """Fork for each command; return in the fork, with its words, or at the end, with nothing."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return None
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _become(connection)
        connection.close()


def _become(connection: socket.socket) -> dict[str, Any]:
    """Fork once more: one waits for the other's end and tells of it, the other runs the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, 1, 4)
    with connection.makefile("r") as sent:
        asked: dict[str, Any] = json.load(sent)
    process = os.fork()
    if process:
        connection.sendall(f"{process}\n".encode())
        _, status = os.waitpid(process, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    connection.close()
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
        os.close(file)
    asked["words"] += map(str, files[3:])
    return asked


def _main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        gc.disable()  # What is imported stays.
        _preload()
        gc.freeze()
        gc.enable()
        shared = _fork_workers(listener)
        asked = _serve(listener)
    if asked is None:
        end(0)
    if _share_workers(asked["env"]):
        worker_process.fork_server = lambda: shared
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    sys.path[0] = asked["cwd"]
    sys.argv = ["driftline" if asked["is_command"] else "-c", *asked["words"]]
    end(_run(asked["code"], is_command=asked["is_command"]))


def _share_workers(environment: Mapping[str, str]) -> bool:
    """Whether workers of a command would have the environment that those forked here have."""
    of_models = {"PYTHONPATH": str(MODELS)}
    return all(
        environment.get(name) in (os.environ.get(name), of_models.get(name))
        for name in worker_process.PASSED_ON
    )


class SharedForkServer(ForkServer):
    """Forks workers for all commands: it runs as long as one of them does."""

    def __init__(self, address: str, alive_fd: int) -> None:
        super().__init__([], dict)
        self._forkserver_address, self._forkserver_alive_fd = address, alive_fd

    def ensure_running(self) -> None:
        """Leave it as it is."""


def _fork_workers(commands: socket.socket) -> SharedForkServer:
    """Have a process fork workers; it imports what they need when a command needs the first one."""
    resource_tracker.ensure_running()
    address = connection.arbitrary_address("AF_UNIX")
    reading, writing = os.pipe()
    with socket.socket(socket.AF_UNIX) as asked:
        asked.bind(address)
        asked.listen()
        if os.fork() == 0:
            commands.close()
            os.close(writing)
            select.select([asked, reading], [], [])
            sys.path.append(str(MODELS))
            os.environ.update(worker_process._variables(), PYTHONPATH=str(MODELS))
            for name in os.environ.keys() - worker_process._variables().keys():
                del os.environ[name]
            try:
                serve(asked.fileno(), reading, ["driftline.serving.hosting.preload"])
            except SystemExit:
                end(0)
    os.close(reading)
    return SharedForkServer(address, writing)


def _preload() -> None:
    for name in (*MODULES, *(one for found in up._IMPORTS.values() for one in found)):
        import_module(name)
    for name in PACKAGES:
        folders = import_module(name).__path__
        for found in pkgutil.walk_packages(folders, f"{name}."):
            import_module(found.name)


def _run(code: str, *, is_command: bool) -> int:
    """Run code as ``python -c``, a command as ``python -m driftline``; return the exit code."""
    try:
        exec(code, {"__name__": "__main__"})
        if is_command:
            runpy.run_module("driftline", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except Exception:  # noqa: BLE001  # What the interpreter does with whatever leaves a program.
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end(code: int) -> NoReturn:
    """End as a fork does: freeing every imported object would cost more than most commands."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _main()
