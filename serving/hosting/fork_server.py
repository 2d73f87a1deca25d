"""Worker processes, forked by one that has imported scikit-learn before any model is loaded.

That import costs seconds and 110 MB, which every worker needs: forked, it starts in milliseconds
and shares that memory with the others. The process that forks never reads a model, so a worker
finds nothing of another's in its memory. `driftline up` has one for all its processes, forked by
the one that forks them (driftline/app/warm_parent.py): each introduces itself by a socket.
Elsewhere it is ``python -P -m driftline.serving.hosting.fork_server FD``. Where a process cannot
be followed safely (macOS), each worker is a program of its own instead.

::

    to the fork server      {"start": 3} with the worker's socket and where it prints · {"end": 3} ·
                            {"ask": 0}
    from the fork server    {"here": 4710}, first and when asked ·
                            {"started": 3, "process_id": 4711} · {"ended": 3}
"""

from __future__ import annotations

import atexit
import errno
import gc
import json
import logging
import math
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Protocol

from driftline.ending import ending_at_once
from driftline.mapped_files import release_mapped_files
from driftline.orphans import adopt_orphans, end_children
from driftline.serving.hosting.prints import Prints
from driftline.storage import make_files_private

# The server's own settings and secrets are no business of a model's code.
PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH",
)  # fmt: skip

# One thread a worker: nested thread pools times processes is the classic collapse.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

log = logging.getLogger(__name__)

STOP_GRACE_S = 5.0
_IDLE_S = 60.0  # What a fork server without workers is kept.
# A fork takes milliseconds, also when a machine is busy. Imports come before the first word.
_ANSWERS_IN_S = 10.0
_IMPORTS_S = 60.0
_MESSAGE_BYTES = 1 << 12


class WorkerProcess(Protocol):
    """One worker process as its server sees it."""

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""

    @property
    def exit_code(self) -> int | None:
        """Its exit code, as of `subprocess`; None while it runs, or when unknown."""

    def end(self) -> None:
        """Kill the process at once, and with it what its model started."""

    def collect(self, grace_s: float) -> None:
        """Wait for the end of a process whose socket is closed; kill it, and what it left."""


def share_fork_server(descriptor: int) -> None:
    """Fork workers by the process that reads a socket, as long as there is one."""
    _fork_servers().door = socket.socket(fileno=descriptor)


def fork_watched() -> tuple[int, int]:
    """Fork; return the number and the process descriptor of the new process, in it 0 and -1.

    An OSError means that there is no new process.
    """
    process_id = os.fork()
    if process_id == 0:
        return 0, -1
    try:
        return process_id, os.pidfd_open(process_id)
    except OSError:
        os.kill(process_id, signal.SIGKILL)
        os.waitpid(process_id, 0)
        raise


def start_worker(theirs: socket.socket, prints: Prints) -> WorkerProcess:
    """Start a process that answers on a socket, with no input and little of our environment."""
    output = prints.open()
    try:
        return _start(theirs, output)
    finally:
        os.close(output)


def _start(theirs: socket.socket, output: int) -> WorkerProcess:
    names = [name for name in PASSED_ON if name in os.environ]
    environment = {name: os.environ[name] for name in names} | _ONE_THREAD
    if sys.platform != "linux":
        return _Program(theirs, environment, output)
    return _fork_servers().start(environment, theirs, output)


def _popen(
    module: str, theirs: socket.socket, environment: dict[str, str], output: int | None = None
) -> subprocess.Popen[bytes]:
    """Run a module of ours in a session of its own, with a socket."""
    descriptor = theirs.fileno()
    return subprocess.Popen(  # noqa: S603 - our own module, no text of a user in it
        [sys.executable, "-P", "-m", f"driftline.serving.hosting.{module}", str(descriptor)],
        stdin=subprocess.DEVNULL,
        stderr=output,
        pass_fds=(descriptor,),
        env=environment,
        start_new_session=True,
    )


class _Program:
    """A worker that is a program of its own."""

    def __init__(self, theirs: socket.socket, environment: dict[str, str], output: int) -> None:
        self._process = _popen("worker", theirs, environment, output)

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, once it is collected."""
        return self._process.returncode

    def end(self) -> None:
        """Kill it and what its model started; nothing once it has ended."""
        # Once it is collected, its number may be another's.
        if self._process.returncode is None:
            _kill_session(self._process.pid)

    def collect(self, grace_s: float) -> None:
        """Wait for its end, and kill it when it is later than that."""
        if self._process.returncode is not None:
            return
        late = threading.Timer(grace_s, self.end)
        late.start()
        with suppress(ChildProcessError):  # Somebody else collected it.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        late.cancel()
        late.join()
        self.end()
        self._process.wait()


class _Forked:
    """A worker that the fork server forked."""

    def __init__(self, server: _ForkServer, number: int) -> None:
        self._server, self._number = server, number
        self._started, self._ended = threading.Event(), threading.Event()
        self._process_id = 0
        self._is_to_end = False
        self.exit_code: int | None = None

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""
        self._started.wait()
        return self._process_id

    @property
    def is_awaited(self) -> bool:
        """Whether the fork server has not yet said what it was asked for."""
        return self._is_to_end or not self._started.is_set()

    def end(self) -> None:
        """Kill it and what its model started; nothing once it has ended."""
        if not self._ended.is_set():
            self._is_to_end = True
            self._server.tell({"end": self._number})

    def collect(self, grace_s: float) -> None:
        """Wait for its end, and kill it when it is later than that."""
        if not self._ended.wait(grace_s):
            self.end()
            self._ended.wait()

    def has_started(self, process_id: int) -> None:
        """Take note of its number."""
        self._process_id = process_id
        self._started.set()

    def has_ended(self, exit_code: int | None = None) -> None:
        """Take note that it is gone and collected."""
        self.exit_code = exit_code
        self._ended.set()
        self._started.set()

    def is_orphaned(self) -> None:
        """End it: the fork server is gone, so nobody collects it in whose number we trust."""
        if self._process_id and not self._ended.is_set():
            _kill_session(self._process_id)
        self.has_ended()


class _ForkServer:
    """A running fork server, shared or started at once; what it says is read by a thread."""

    def __init__(self, environment: dict[str, str], door: socket.socket | None) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.settimeout(min(_IDLE_S, _ANSWERS_IN_S))
        with theirs:
            is_shared = door is not None and _introduce(theirs, door)
            self._process = None if is_shared else _popen("fork_server", theirs, environment)
        self._lock = threading.Lock()
        self._workers: dict[int, _Forked] = {}
        self._count = 0
        self._process_id = 0  # Its own, once it has said it.
        self._is_gone = False
        self._listener = threading.Thread(target=self._listen, daemon=True, name="fork-server")
        self._listener.start()

    def start(self, theirs: socket.socket, output: int) -> _Forked | None:
        """Request a worker that answers on a socket, without waiting; None when it is gone."""
        with self._lock:
            if self._is_gone:
                return None
            self._count += 1
            worker = self._workers[self._count] = _Forked(self, self._count)
        self.tell({"start": worker._number}, theirs.fileno(), output)
        return worker

    def tell(self, message: dict[str, int], *descriptors: int) -> None:
        """Send a message; one that is gone needs none."""
        with suppress(OSError):
            socket.send_fds(self._link, [json.dumps(message).encode()], descriptors)

    def close(self) -> None:
        """End our workers, and the fork server if it is ours; collect it."""
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._listener.join()

    def forget(self) -> None:
        """Let go of it in a process that was forked from the one that started it."""
        self._link.close()
        if self._process is not None:
            self._process.returncode = 0  # Not ours to wait for.

    def _listen(self) -> None:
        with suppress(ConnectionResetError):
            while data := self._receive():
                message = json.loads(data)
                if "here" in message:
                    self._process_id = message["here"]
                    continue
                if "started" in message:
                    self._workers[message["started"]].has_started(message["process_id"])
                    continue
                with self._lock:
                    ended = self._workers.pop(message["ended"])
                ended.has_ended(message.get("code"))
        with self._lock:
            self._is_gone = True
            orphans, self._workers = list(self._workers.values()), {}
        for worker in orphans:
            worker.is_orphaned()
        self._link.close()
        if self._process is not None:
            try:
                self._process.wait(2 * STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _receive(self) -> bytes:
        """Return the next message; nothing when it is gone, or has had no worker for a while."""
        last_s, is_asked = time.monotonic(), False
        while True:
            try:
                return self._link.recv(_MESSAGE_BYTES)
            except TimeoutError:
                silent_s = time.monotonic() - last_s
                with self._lock:
                    if not self._workers and silent_s >= _IDLE_S:
                        self._is_gone = True
                        return b""
                    is_awaited = any(one.is_awaited for one in self._workers.values())
                # A model may stop its parent. That it lives is asked for: a worker's end may take
                # as long as it likes.
                if is_asked and (self._process_id or silent_s >= _IMPORTS_S):
                    self._kill_silent()
                    return b""
                if is_awaited and not is_asked:
                    self.tell({"ask": 0})
                    is_asked = True

    def _kill_silent(self) -> None:
        log.error("the process that forks workers does not answer, killed and replaced")
        # Not yet another's: our link, which has not ended, is held by this process alone.
        if self._process_id:
            with suppress(ProcessLookupError):
                os.kill(self._process_id, signal.SIGKILL)
        elif self._process is not None:
            self._process.kill()


def _introduce(link: socket.socket, door: socket.socket) -> bool:
    """Hand a link to the shared fork server; return whether there is one."""
    try:
        socket.send_fds(door, [b"1"], [link.fileno()], socket.MSG_DONTWAIT)
    except OSError as error:
        log.warning("the shared fork server is gone, starting one: %s", error.strerror or error)
        return False
    return True


class _ForkServers:
    """The fork servers of this process, one for each environment: as a rule there is one."""

    def __init__(self) -> None:
        self.door: socket.socket | None = None
        self._lock = threading.Lock()
        self._running: dict[str, _ForkServer] = {}
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    def start(self, environment: dict[str, str], theirs: socket.socket, output: int) -> _Forked:
        """Request a worker from the fork server of an environment, a new one when none runs."""
        key = json.dumps(environment, sort_keys=True)
        with self._lock:
            while True:
                server = self._running.get(key)
                if server is not None and (worker := server.start(theirs, output)) is not None:
                    return worker
                self._running[key] = _ForkServer(environment, self.door)

    def close(self) -> None:
        """End them all."""
        with self._lock:
            running, self._running = list(self._running.values()), {}
        for server in running:
            server.close()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        for server in self._running.values():
            server.forget()
        self._running = {}
        if self.door is not None:
            self.door.close()
            self.door = None


@cache
def _fork_servers() -> _ForkServers:
    return _ForkServers()


def _kill_session(process_id: int) -> None:
    """Kill a process that leads its own session, or is about to, and the rest of that session."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            kill(process_id, signal.SIGKILL)


@dataclass(eq=False, slots=True)
class _Client:
    """One process that asks for workers, and those that it has."""

    link: socket.socket
    process_ids: dict[int, int] = field(default_factory=dict)
    is_gone: bool = False
    end_s: float = math.inf  # When what is left of its workers is killed.


class _Forks:
    """The fork server's own view: the workers that it forked, each by its process descriptor."""

    def __init__(self, link: socket.socket, door: socket.socket | None = None) -> None:
        self._own_id = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._clients: list[_Client] = []
        self._door = door
        if door is not None:
            self._selector.register(door, selectors.EVENT_READ, self._meet)
        self._admit(link)

    def serve(self) -> int | None:
        """Fork workers until no client is left; in a worker, return its socket's descriptor."""
        adopt_orphans()
        while self._clients:
            soonest = min(client.end_s for client in self._clients)
            left_s = None if soonest == math.inf else max(0.0, soonest - time.monotonic())
            for key, _ in self._selector.select(left_s):
                if (found := key.data()) is not None:
                    return int(found)
            for client in self._clients:
                if client.end_s <= time.monotonic():
                    client.end_s = math.inf
                    for process_id in client.process_ids.values():
                        _kill_session(process_id)
        return None

    def _meet(self) -> None:
        """Take in whoever introduces itself."""
        assert self._door is not None
        data, links, _, _ = socket.recv_fds(self._door, 1, 1)
        if not data:  # Nobody is left who could.
            self._selector.unregister(self._door)
        for link in links:
            self._admit(socket.socket(fileno=link))

    def _admit(self, link: socket.socket) -> None:
        client = _Client(link)
        self._clients.append(client)
        _say(client, {"here": self._own_id})
        self._selector.register(link, selectors.EVENT_READ, partial(self._hear, client))

    def _hear(self, client: _Client) -> int | None:
        """Do what a client says; in a worker, return its socket's descriptor."""
        try:
            data, descriptors, _, _ = socket.recv_fds(client.link, _MESSAGE_BYTES, 2)
        except ConnectionResetError:  # Killed before it read all that we said.
            data, descriptors = b"", []
        if not data:
            # Its workers, whose sockets have ended as well, have a little time.
            self._selector.unregister(client.link)
            client.is_gone, client.end_s = True, time.monotonic() + STOP_GRACE_S
            self._dismiss(client)
            return None
        message: dict[str, Any] = json.loads(data)
        if "ask" in message:
            _say(client, {"here": self._own_id})
            return None
        if "end" in message:
            if process_id := client.process_ids.get(message["end"]):
                _kill_session(process_id)
            return None
        return descriptors[0] if self._start(client, message["start"], descriptors) else None

    def _dismiss(self, client: _Client) -> None:
        """Let go of a client that is gone with all its workers."""
        if client.is_gone and not client.process_ids:
            client.link.close()
            self._clients.remove(client)

    def _start(self, client: _Client, number: int, descriptors: list[int]) -> bool:
        """Fork a worker; return True in it. One that cannot be had has ended: the others go on."""
        try:
            return self._fork(client, number, descriptors)
        except OSError as error:
            log.error("no worker process could be forked: %s", error.strerror or error)
            _say(client, {"ended": number})
            return False
        finally:
            # In the worker they are the socket that it answers on, and where it prints.
            if os.getpid() == self._own_id:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _fork(self, client: _Client, number: int, descriptors: list[int]) -> bool:
        """Fork a worker that is watched; return True in it."""
        if len(descriptors) < 2:  # The kernel drops what would be one file too many.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        process_id, watched = fork_watched()
        if process_id == 0:
            os.setsid()
            adopt_orphans()  # What it starts is its own until it ends, and then comes to us.
            self._leave()
            os.dup2(descriptors[1], 2)
            os.close(descriptors[1])
            return True
        collect = partial(self._collect, client, number, watched)
        try:
            self._selector.register(watched, selectors.EVENT_READ, collect)
        except OSError:
            os.close(watched)
            _kill_session(process_id)
            os.waitpid(process_id, 0)
            raise
        client.process_ids[number] = process_id
        _say(client, {"started": number, "process_id": process_id})
        return False

    def _leave(self) -> None:
        """Close in a worker what is the fork server's."""
        sockets = [client.link for client in self._clients]
        sockets += [] if self._door is None else [self._door]
        ours = {one.fileno() for one in sockets}
        for key in self._selector.get_map().values():
            if key.fd not in ours:
                os.close(key.fd)
        self._selector.close()
        for one in sockets:
            one.close()

    def _collect(self, client: _Client, number: int, watched: int) -> None:
        """Kill what an ended worker left, while its number is still its own, then collect it."""
        process_id = client.process_ids.pop(number)
        _kill_session(process_id)
        _, status = os.waitpid(process_id, 0)
        self._selector.unregister(watched)
        os.close(watched)  # Before processes are listed, for which a descriptor has to be free.
        # What left its session has come to this process, which has no other children than workers.
        try:
            end_children(but={one for each in self._clients for one in each.process_ids.values()})
        except OSError as error:
            log.error("what an ended worker left behind may run on: %s", error.strerror or error)
        _say(client, {"ended": number, "code": os.waitstatus_to_exitcode(status)})
        self._dismiss(client)


def _say(client: _Client, message: dict[str, int]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        client.link.send(json.dumps(message).encode())


def fork_for_all(door: socket.socket) -> None:
    """Be the fork server of all who introduce themselves at a door; the first one is there.

    For a process that was forked by one without our environment.
    """
    make_files_private()
    for name in os.environ.keys() - PASSED_ON:
        del os.environ[name]
    os.environ.update(_ONE_THREAD)
    _, links, _, _ = socket.recv_fds(door, 1, 1)
    # Only then the imports: if they fail, this one is told, and the next one has another try.
    for link in links:
        _serve(socket.socket(fileno=link), door)


def _serve(link: socket.socket, door: socket.socket | None = None) -> None:
    """Import what workers need, then fork one for each that is asked for."""
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    # The server ends this process by the socket; Ctrl-C in a terminal is meant for the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # What is imported stays: there is no garbage to look for.
    # Here: the server, which imports this module as well, needs nothing of it.
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # Has no types.

    from driftline.serving.hosting import worker

    # Who forked this process has imported numpy with as many threads as it likes.
    threadpool_limits(1)
    gc.freeze()  # What a collection does not touch stays shared.
    gc.enable()
    release_mapped_files()
    found = _Forks(link, door).serve()
    if found is not None:
        np.random.seed()  # noqa: NPY002 - of models that use the old generator: not all the same
        worker.main(found)


if __name__ == "__main__":
    with ending_at_once():
        _serve(socket.socket(fileno=int(sys.argv[1])))
