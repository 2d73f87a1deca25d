"""Processes that a process forks which has imported what they run.

An import costs a second of CPU and 100 MiB for each process; forked, processes start in
milliseconds and share that memory. What is forked holds all that its parent ever held: so models'
processes come from multiprocessing's fork server, with few environment variables, none of them a
secret.
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import connection, forkserver, resource_tracker, util
from pathlib import Path
from typing import Any, NoReturn

from driftline.ending import run_and_end
from driftline.orphans import end_with_parent

# So that libraries return what is freed; read when they are loaded. delta-rs' jemalloc else keeps
# what each of its threads has freed, some 10 MiB a table.
ALLOCATORS = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "_RJEM_MALLOC_CONF": "narenas:1,tcache:false,dirty_decay_ms:100,muzzy_decay_ms:0",
}
# The exit code of a process whose fork server is gone: nobody else could tell.
UNKNOWN_CODE = 1
_LOOK_S = 0.02
_STOPPING = (signal.SIGINT, signal.SIGTERM)
# Imports come before the first answer; a busy machine takes several seconds for them.
_ANSWERS_IN_S = 60.0


class Forked:
    """A process that a fork server forked, used as a ``subprocess.Popen`` is."""

    def __init__(self, pid: int, status: connection.Connection) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
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

    def send_signal(self, number: int) -> None:
        """Send a signal to it, unless it has ended: its number may be another's."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _ended_within(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and self._status.poll(timeout_s):
            with self._lock:
                if self.returncode is None:
                    code = os.read(self._status.fileno(), 8)
                    self.returncode = struct.unpack("q", code)[0] if code else UNKNOWN_CODE
        return self.returncode


class Fork(Forked):
    """A process that this one forks, which has one thread and none that Python does not know of.

    A lock that another thread holds would stay locked in the fork for ever. What libraries start
    when they are loaded is no such thread: jemalloc's and OpenBLAS's have fork handlers
    (``pthread_atfork``), which leave the fork without these threads and with free locks.
    """

    def __init__(self, run: Callable[[], None], end_by: signal.Signals) -> None:
        if (count := threading.active_count()) != 1:
            raise RuntimeError(f"a process of {count} threads forks")
        parent, self.returncode = os.getpid(), None
        # Until the process has handlers of its own, it would leave a signal to copies of ours.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                # An error is its own end, and never reaches who forked it.
                run_and_end(partial(_run_fork, run, parent, end_by, before))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _ended_within(self, timeout_s: float | None) -> int | None:
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= end_s:
                break
            else:
                time.sleep(_LOOK_S)
        return self.returncode


class ForkServer(forkserver.ForkServer):
    """A process that imports modules and forks, from its first use to the end of its last user."""

    def __init__(self, preload: Sequence[str], variables: Callable[[], Mapping[str, str]]) -> None:
        super().__init__()
        self._preload, self._variables = [*preload], variables
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._alive_fd = -1

    @property
    def pid(self) -> int | None:
        """The operating system's number of the fork server, while it runs."""
        return None if self._process is None else self._process.pid

    def start(
        self,
        run: Callable[..., None],
        *arguments: object,
        descriptors: Sequence[int] = (),
    ) -> Forked:
        """Fork a process that calls a module's function with arguments and descriptors."""
        try:
            status_fd, told = self.connect_to_new_process(descriptors)
            status = connection.Connection(status_fd, writable=False)
            with open(told, "wb") as data:  # noqa: PTH123 - a descriptor
                pickle.dump({}, data)  # Our modules and paths are none of its own.
                pickle.dump(_Run(run, arguments, self.pid), data)
            if not status.poll(_ANSWERS_IN_S):
                self.kill()
                raise ChildProcessError("the fork server did not answer and was ended")
            return Forked(forkserver.read_signed(status.fileno()), status)
        except EOFError:
            raise ChildProcessError("the fork server has ended") from None

    def ensure_running(self) -> None:
        """Start it where it does not run; `connect_to_new_process` asks for this."""
        with self._starting:
            if self._process is not None:
                if self._process.poll() is None:
                    return
                os.close(self._alive_fd)
            else:
                atexit.register(self.close)
            resource_tracker.ensure_running()
            address = connection.arbitrary_address("AF_UNIX")  # type: ignore[attr-defined]
            reading, self._alive_fd = os.pipe()
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(address)
                os.chmod(address, 0o600)  # noqa: PTH101
                listener.listen()
                ends = (listener.fileno(), reading)
                self._process = subprocess.Popen(  # noqa: S603 - our own function
                    [sys.executable, "-P", "-c", "from driftline.forked import serve; "
                     f"serve({listener.fileno()}, {reading}, {self._preload!r})"],
                    env={**ALLOCATORS, **self._variables()}, pass_fds=ends,
                    stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            os.close(reading)
            self._forkserver_address, self._forkserver_alive_fd = address, self._alive_fd

    def kill(self) -> None:
        """End it at once; the next start has another one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()  # Until then it seems to run, and refuses who connects.

    def close(self) -> None:
        """Let it end, and wait for that."""
        with self._starting:
            if self._process is not None:
                os.close(self._alive_fd)
                try:
                    self._process.wait(_ANSWERS_IN_S)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
                self._process = None
                atexit.unregister(self.close)


def serve(listener: int, alive: int, preload: Sequence[str]) -> None:
    """Import modules, then fork whatever is asked for; the whole of a fork server's work."""
    import_shared(preload)
    forkserver.main(listener, alive, [])


def import_shared(modules: Sequence[str]) -> None:
    """Import what processes share that are forked from this one."""
    gc.disable()  # What is imported stays: there is no garbage to look for.
    for module in modules:
        with suppress(ImportError):  # What is forked says which one is missing.
            import_module(module)
    gc.freeze()  # A collection would write to the pages that all share.
    gc.enable()


def name_process(name: str) -> None:
    """Have ``ps`` and ``top`` show a name, where the system has them so (Linux)."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="ascii")


@dataclass(frozen=True, slots=True)
class _Run:
    """What a forked process does; multiprocessing calls ``_bootstrap`` in it."""

    run: Callable[..., None]
    arguments: tuple[Any, ...]
    parent: int | None

    def _bootstrap(self, parent_sentinel: int) -> NoReturn:
        # The fork server ends when the last holder of this one has.
        os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
        os.close(parent_sentinel)
        _begin(self.parent, signal.SIGKILL)
        given = forkserver.get_inherited_fds() or ()
        run_and_end(partial(self.run, *self.arguments, *given))


def _run_fork(
    run: Callable[[], None], parent: int, end_by: signal.Signals, mask: Iterable[int]
) -> None:
    for one in _STOPPING:
        signal.signal(one, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _begin(parent, end_by)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    run()


def _begin(parent: int | None, end_by: signal.Signals) -> None:
    """End with the process that forked this one, lead a session, and leave what it was to do."""
    atexit._clear()
    end_with_parent(end_by)
    if parent not in (None, os.getppid()):  # It is gone already.
        os._exit(UNKNOWN_CODE)
    os.setsid()
    atexit.register(util._exit_function)  # type: ignore[attr-defined]
