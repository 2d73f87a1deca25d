"""Processes of one installation, forked by one that has imported what they run.

Those imports cost a second of CPU and 90 to 110 MiB a process: forked, processes start at once and
share that memory. The process that forks is
``python -P -m driftline.app.warm_parent FD NAME...``. It reads no settings and starts no thread.
Where a process cannot be followed safely (macOS), each is a program of its own instead.

::

    to the warm parent      {"arguments": ["server", "--roles", "server"]} with the pipes for
                            readiness, input and output · {"collect": 4711}
    from the warm parent    {"process_id": 4711} with its process descriptor · {"code": 0} ·
                            {"errno": 11}
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from driftline.ending import ending_at_once
from driftline.lazy_imports import start_lean_process

# What the code of a process is when nobody is left who could ask the system for it.
UNKNOWN_CODE = 1

# Imports come before the first answer; a machine at work on other things takes several seconds.
ANSWERS_IN_S = 60.0
_MESSAGE_BYTES = 1 << 12
_LOOPS = ("driftline.app.process_metrics", "driftline.capture.line.sink")
_IMPORTS = {
    "server": ("driftline.app.listener", "driftline.serving.app"),
    "background": (
        *_LOOPS,
        "driftline.alerts.evaluation.evaluator",
        "driftline.alerts.math.training",
        "driftline.alerts.notify.deliverer",
        "driftline.alerts.notify.notification_maintenance",
        "driftline.monitors.run.scheduler",
        "driftline.serving.hosting.explain",
    ),
    "dashboard": ("driftline.app.listener", "driftline.dashboard.app"),
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
        """Wait for its end and return its exit code.

        Raises
        ------
        subprocess.TimeoutExpired
            When it has not ended after ``timeout`` seconds.
        """
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

    Parameters
    ----------
    names
        The processes that it will be asked for, whose imports it does.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self, arguments: Sequence[str], ready_fd: int) -> ForkedProcess:
        """Fork a process that says on a descriptor that it is ready.

        Raises
        ------
        OSError
            When the system has no process or descriptor left, or the parent cannot start.
        """
        input_end, stdin = os.pipe()
        stdout, output_end = os.pipe()
        try:
            with self._lock:
                pid, descriptor, collect = self._fork(arguments, (ready_fd, input_end, output_end))
        except BaseException:
            os.close(stdin)
            os.close(stdout)
            raise
        finally:
            os.close(input_end)
            os.close(output_end)
        return ForkedProcess(collect, pid, descriptor, (stdin, stdout))

    def close(self) -> None:
        """End it; processes that it forked go on."""
        with self._lock:
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
            answer, descriptors = self._ask(message, *pipes)
            if "errno" in answer:
                raise OSError(answer["errno"], os.strerror(answer["errno"]))
            if answer:
                collect = partial(self._collect, control)
                return int(answer["process_id"]), descriptors[0], collect
        raise ChildProcessError("the process that forks the others ended at its start")

    def _open(self) -> socket.socket:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.settimeout(ANSWERS_IN_S)
        with theirs:
            # -P: a queue.py in the folder that somebody starts this in is none of our modules.
            self._process = subprocess.Popen(  # noqa: S603 - our own module, our own arguments
                [sys.executable, "-P", "-m", "driftline.app.warm_parent", str(theirs.fileno()),
                 *self._names],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                # Chosen when Arrow is first imported; what it frees of its own is kept for long.
                env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
                start_new_session=True,
            )  # fmt: skip
        self._control = control
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
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()  # It holds nothing, and may have been stopped or hang.
            self._process.wait()
            self._process = None


def _serve(control: socket.socket) -> list[str] | None:
    """Fork until the supervisor is gone; in a forked process, return its arguments."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 3)
        if not data:
            return None
        message = json.loads(data)
        if "collect" in message:
            _, status = os.waitpid(message["collect"], 0)
            control.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
            continue
        process_id = watched = -1
        try:
            process_id = os.fork()
            if process_id == 0:
                return _become(control, message["arguments"], *descriptors)
            watched = os.pidfd_open(process_id)
            told = json.dumps({"process_id": process_id}).encode()
            socket.send_fds(control, [told], [watched])
        except OSError as error:
            if process_id > 0:
                os.kill(process_id, signal.SIGKILL)
                os.waitpid(process_id, 0)
            control.send(json.dumps({"errno": error.errno}).encode())
        finally:
            if process_id != 0:
                for descriptor in (*descriptors, watched):
                    if descriptor >= 0:
                        os.close(descriptor)


def _become(
    control: socket.socket, arguments: list[str], ready: int, stdin: int, stdout: int
) -> list[str]:
    """Turn into the process: with its pipes, in a session of its own, under its name."""
    control.close()
    os.setsid()
    for pipe, places in ((stdin, (0,)), (stdout, (1, 2))):
        for place in places:
            os.dup2(pipe, place)
        os.close(pipe)
    _name_process(arguments[0])
    return [*arguments, "--ready-fd", str(ready)]


def _name_process(name: str) -> None:
    """Have ps and top show a name: the command lines are all those of the warm parent."""
    with suppress(OSError):  # No /proc, or one that may not be written to: it is but a name.
        Path("/proc/self/comm").write_text(name, encoding="ascii")


def main(descriptor: int, names: Sequence[str]) -> None:
    """Import what processes run, then fork one for each that is asked for."""
    _name_process("forking")
    gc.disable()  # What is imported stays: there is no garbage to look for.
    start_lean_process()
    for module in dict.fromkeys(module for name in names for module in _IMPORTS[name]):
        import_module(module)
    from driftline.app import processes

    gc.freeze()  # A collection would write to the pages that all share.
    with socket.socket(fileno=descriptor) as control:
        arguments = _serve(control)
    if arguments is not None:
        processes.main(arguments)


if __name__ == "__main__":
    with ending_at_once():
        main(int(sys.argv[1]), sys.argv[2:])
