"""Processes of one installation, forked by one that has imported what they run.

Those imports cost a second of CPU and 90 to 110 MiB a process: forked, processes start at once and
share that memory. The process that forks is
``python -P -m driftline.app.warm_parent FD DOOR NAME...``. It reads no settings and starts no
thread. Where a process cannot be followed safely (macOS), each is a program of its own instead.

It also forks the process that forks the models' (driftline/serving/hosting/fork_server.py), as soon
as somebody introduces himself at DOOR, and again when that has ended. What is forked holds all that
its parent ever held, so this one has no secrets: it is started with few variables, and each process
reads its environment after the fork, from memory that only it maps.

::

    to the warm parent      {"arguments": ["server", "--roles", "server"]} with the pipes for
                            readiness, input and output, its environment, and the other end of
                            DOOR · {"collect": 4711}
    from the warm parent    {"process_id": 4711} with its process descriptor · {"code": 0} ·
                            {"errno": 11}
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from driftline.app import allocator
from driftline.ending import ending_at_once
from driftline.lazy_imports import start_lean_process
from driftline.mapped_files import release_mapped_files
from driftline.serving.hosting import fork_server

log = logging.getLogger(__name__)

# What the code of a process is when nobody is left who could ask the system for it.
UNKNOWN_CODE = 1

# Imports come before the first answer; a machine at work on other things takes several seconds.
ANSWERS_IN_S = 60.0
# What is read when a program starts, or a package is first imported: the rest comes after the fork.
# Models see these variables, so a secret has no place here.
AT_START = (
    *allocator.VARIABLES,
    "ARROW_USER_SIMD_LEVEL", "GLIBC_TUNABLES", "LANGUAGE", "LC_CTYPE", "LC_MESSAGES", "LD_PRELOAD",
    "MALLOC_ARENA_MAX", "MALLOC_ARENA_TEST", "MALLOC_CHECK_", "MALLOC_CONF", "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_", "MALLOC_PERTURB_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_",
    "MKL_NUM_THREADS", "NUMPY_MADVISE_HUGEPAGE", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS", "OPENSSL_CONF", "OTEL_PROPAGATORS", "OTEL_PYTHON_CONTEXT",
    "PROMETHEUS_DISABLE_CREATED_SERIES",
    "PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONHASHSEED",
    "PYTHONIOENCODING", "PYTHONMALLOC", "PYTHONNOUSERSITE", "PYTHONPYCACHEPREFIX", "PYTHONTZPATH",
    "PYTHONUNBUFFERED", "PYTHONUSERBASE", "PYTHONUTF8", "PYTHONWARNINGS", "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)  # fmt: skip
# Who forks workers ends when these have had their grace.
_LAST_S = 2 * fork_server.STOP_GRACE_S
_MESSAGE_BYTES = 1 << 12
_LOOPS = ("driftline.app.process_metrics", "driftline.capture.line.sink", "httpcore")
# What others import when they are first used stands here as well: each process would have its own.
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
        "driftline.serving.hosting.model_process",
    ),
    "dashboard": (*_LISTENING, "driftline.app.client.connection", "driftline.dashboard.app"),
    "sidecar": (*_LOOPS, "driftline.capture.line.kafka"),
    "sink": (*_LOOPS, "driftline.capture.line.kafka"),
}


def can_fork() -> bool:
    """Whether a process of this system can be followed, which some sandboxes refuse."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # Another system than Linux has no such function.
        return False
    return True


class ForkedProcess:
    """A process that a warm parent forked, to be used as a ``subprocess.Popen`` is."""

    def __init__(
        self, collect: Callable[[int], int], pid: int, descriptor: int, pipes: tuple[int, int]
    ) -> None:
        self.pid = pid
        self.stdin, self.stdout = os.fdopen(pipes[0], "wb"), os.fdopen(pipes[1], "rb")
        self.returncode: int | None = None
        self._collect, self._descriptor = collect, descriptor
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return its exit code, minus a signal's number when that ended it; None while it runs."""
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code."""
        code = self._ended_within(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with self._lock:
            # By its descriptor: the number of one that has ended may be another's.
            if self.returncode is None:
                signal.pidfd_send_signal(self._descriptor, number)

    def _ended_within(self, timeout_s: float | None) -> int | None:
        if self.returncode is None:
            end = select.poll()
            end.register(self._descriptor, select.POLLIN)
            if end.poll(None if timeout_s is None else timeout_s * 1000):
                with self._lock:
                    if self.returncode is None:
                        self.returncode = self._collect(self.pid)
                        os.close(self._descriptor)
        return self.returncode


class WarmParent:
    """The process that forks those of an installation, started again when it is gone.

    ``names``: the processes to fork, whose imports it does.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._door: socket.socket | None = None

    def start(self, arguments: Sequence[str], ready_fd: int) -> ForkedProcess:
        """Fork a process that reports on a descriptor that it is ready."""
        input_end, stdin = os.pipe()
        stdout, output_end = os.pipe()
        try:
            with self._lock, _environment() as environment:
                theirs = (ready_fd, input_end, output_end, environment.fileno())
                pid, descriptor, collect = self._fork(arguments, theirs)
        except BaseException:
            os.close(stdin)
            os.close(stdout)
            raise
        finally:
            os.close(input_end)
            os.close(output_end)
        return ForkedProcess(collect, pid, descriptor, (stdin, stdout))

    def close(self) -> None:
        """End it, and with it who forks workers, if nobody has any; all others go on."""
        with self._lock:
            if self._control is not None and self._process is not None:
                self._control.close()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_LAST_S + fork_server.STOP_GRACE_S)
            self._leave()

    def _collect(self, control: socket.socket, pid: int) -> int:
        """Return the exit code of a process that has ended, if the one that forked it is there."""
        with self._lock:
            answer = self._ask({"collect": pid})[0] if self._control is control else {}
        return int(answer.get("code", UNKNOWN_CODE))

    def _fork(
        self, arguments: Sequence[str], pipes: tuple[int, ...]
    ) -> tuple[int, int, Callable[[int], int]]:
        message = {"arguments": list(arguments)}
        for _ in range(2):  # The second after one that went unseen.
            control = self._control or self._open()
            assert self._door is not None
            answer, descriptors = self._ask(message, *pipes, self._door.fileno())
            if "errno" in answer:
                raise OSError(answer["errno"], os.strerror(answer["errno"]))
            if answer:
                collect = partial(self._collect, control)
                return int(answer["process_id"]), descriptors[0], collect
        raise ChildProcessError("the process that forks the others ended at its start")

    def _open(self) -> socket.socket:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.settimeout(ANSWERS_IN_S)
        door, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        few = {
            name: os.environ[name]
            for name in (*fork_server.PASSED_ON, *AT_START)
            if name in os.environ
        }
        with theirs, asked:
            ends = (theirs.fileno(), asked.fileno())
            # -P: a queue.py in the folder that somebody starts this in is none of our modules.
            self._process = subprocess.Popen(  # noqa: S603 - our own module, our own arguments
                [sys.executable, "-P", "-m", "driftline.app.warm_parent", *map(str, ends),
                 *self._names],
                pass_fds=ends,
                stdin=subprocess.DEVNULL,
                env=allocator.VARIABLES | few,
                start_new_session=True,
            )  # fmt: skip
        self._control, self._door = control, door
        return control

    def _ask(self, message: dict[str, Any], *pipes: int) -> tuple[dict[str, Any], list[int]]:
        """Return its answer with descriptors; nothing when it is gone."""
        assert self._control is not None
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], pipes)
            data, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, 1)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            data, descriptors = b"", []
        if not data:
            self._leave()
            return {}, []
        return json.loads(data), descriptors

    def _leave(self) -> None:
        for one in (self._control, self._door):
            if one is not None:
                one.close()
        self._control = self._door = None
        if self._process is not None:
            self._process.kill()  # It holds nothing, and may have been stopped or hang.
            self._process.wait()
            self._process = None


@contextmanager
def _environment() -> Iterator[IO[bytes]]:
    """Write our environment into memory that nobody maps."""
    with os.fdopen(os.memfd_create("environment"), "w+b") as written:
        written.write(json.dumps(allocator.VARIABLES | os.environ).encode())
        written.seek(0)
        yield written


class _Forks:
    """The warm parent's own view: the supervisor, and the door where workers are asked for."""

    def __init__(self, control: socket.socket, door: socket.socket) -> None:
        self._control, self._door = control, door
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(door, select.POLLIN)
        self._workers: tuple[int, int] | None = None  # Who forks them, and its descriptor.

    def serve(self) -> Callable[[], None] | None:
        """Fork until the supervisor is gone; in a forked process, return what it is to run."""
        while True:
            for ready, _ in self._poll.poll():
                run = None
                if ready == self._control.fileno():
                    data, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, 5)
                    if not data:
                        self._collect_for_workers()
                        return None
                    run = self._answer(json.loads(data), descriptors)
                elif ready == self._door.fileno():
                    run = self._fork_for_workers()
                else:
                    self._collect_for_workers()
                if run is not None:
                    return run

    def _answer(self, message: dict[str, Any], descriptors: list[int]) -> Callable[[], None] | None:
        if "collect" in message:
            _, status = os.waitpid(message["collect"], 0)
            self._control.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
            return None
        process_id = watched = -1
        try:
            process_id, watched = fork_server.fork_watched()
            if process_id == 0:
                self._leave()
                self._door.close()
                return partial(_become, message["arguments"], *descriptors)
            told = json.dumps({"process_id": process_id}).encode()
            socket.send_fds(self._control, [told], [watched])
        except OSError as error:
            if process_id > 0:
                os.kill(process_id, signal.SIGKILL)
                os.waitpid(process_id, 0)
            self._control.send(json.dumps({"errno": error.errno}).encode())
        finally:
            if process_id != 0:
                for descriptor in (*descriptors, watched):
                    if descriptor >= 0:
                        os.close(descriptor)
        return None

    def _fork_for_workers(self) -> Callable[[], None] | None:
        """Fork the process that forks workers, which then reads the door in our place."""
        try:
            process_id, watched = fork_server.fork_watched()
        except OSError as error:
            log.error("no process to fork workers: %s", error.strerror or error)
            _, links, _, _ = socket.recv_fds(self._door, 1, 1)
            for link in links:  # Who introduced himself learns of it by the end of his link.
                os.close(link)
            return None
        if process_id == 0:
            self._leave()
            _name_process("models")
            return partial(fork_server.fork_for_all, self._door)
        self._poll.unregister(self._door)
        self._poll.register(watched, select.POLLIN)
        self._workers = process_id, watched
        return None

    def _collect_for_workers(self) -> None:
        """Wait a little for its end, or kill it; then read the door again."""
        if self._workers is None:
            return
        process_id, watched = self._workers
        ended = select.poll()
        ended.register(watched, select.POLLIN)
        if not ended.poll(_LAST_S * 1000):  # A model may have stopped it.
            signal.pidfd_send_signal(watched, signal.SIGKILL)
        os.waitpid(process_id, 0)
        self._poll.unregister(watched)
        os.close(watched)
        self._workers = None
        self._poll.register(self._door, select.POLLIN)

    def _leave(self) -> None:
        """In a forked process, close what is ours; lead a session of its own."""
        os.setsid()
        self._control.close()
        if self._workers is not None:
            os.close(self._workers[1])


def _become(
    arguments: list[str], ready: int, stdin: int, stdout: int, environment: int, door: int
) -> None:
    """Run a process of an installation: under its name, with its pipes and its environment."""
    _name_process(arguments[0])
    for pipe, places in ((stdin, (0,)), (stdout, (1, 2))):
        for place in places:
            os.dup2(pipe, place)
        os.close(pipe)
    with os.fdopen(environment, "rb") as written:
        variables = json.load(written)
    os.environ.clear()
    os.environ.update(variables)
    fork_server.share_fork_server(door)
    import_module("driftline.app.processes").main([*arguments, "--ready-fd", str(ready)])


def _name_process(name: str) -> None:
    """Set the name for ps and top: the command lines are all those of the warm parent."""
    with suppress(OSError):  # No /proc, or one that may not be written to: it is but a name.
        Path("/proc/self/comm").write_text(name, encoding="ascii")


def main(control: int, door: int, names: Sequence[str]) -> None:
    """Import what processes run, then fork one for each that is asked for."""
    _name_process("forking")
    gc.disable()  # What is imported stays: there is no garbage to look for.
    start_lean_process()
    for module in ("driftline.app.processes", *(one for name in names for one in _IMPORTS[name])):
        import_module(module)
    gc.freeze()  # A collection would write to the pages that all share.
    release_mapped_files()
    run = _Forks(socket.socket(fileno=control), socket.socket(fileno=door)).serve()
    if run is not None:
        run()


if __name__ == "__main__":
    with ending_at_once():
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
