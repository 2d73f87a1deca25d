"""Worker processes, forked by one that has imported scikit-learn and never reads a model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from functools import cache

from driftline.forked import ALLOCATORS, Forked, ForkServer, name_process
from driftline.orphans import FAREWELL_S, adopt_orphans, children, descendants
from driftline.serving.resources.worker_spec import WorkerSpec

# The server's own settings and secrets are no business of a model's code.
PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH",
    *ALLOCATORS,
)  # fmt: skip

# One thread a worker unless its model asks for more: nested thread pools times processes is the
# classic collapse.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

STOP_GRACE_S = 5.0
# A killed process ends at once, also on a busy machine; the rest is for the fork server to say so.
_KILLED_S = 10.0
_LOOK_S = 0.02
_SIGNALS = {one.value: f" ({one.name})" for one in signal.Signals}  # Those with a name.


class WorkerProcess:
    """One worker process as its server sees it."""

    def __init__(self, spec: WorkerSpec, theirs: socket.socket) -> None:
        """Start a process that answers on a socket, without input and with little environment."""
        self._server = fork_server()
        reading, writing = os.pipe()
        self.output = os.fdopen(reading, "rb", buffering=0)
        try:
            with _lock:
                ends = theirs.fileno(), writing
                self._forked: Forked = self._server.start(_work, spec, descriptors=ends)
                _running.add(self.process_id)
        except BaseException:
            self.output.close()
            raise
        finally:
            os.close(writing)

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""
        return self._forked.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, as of `subprocess`; None while it runs."""
        return self._forked.poll()

    def end(self) -> None:
        """Kill the process at once, and with it what its model started."""
        for kill in (os.killpg, os.kill):  # It leads its own session, or is about to.
            with suppress(ProcessLookupError):
                if self.exit_code is None:
                    kill(self.process_id, signal.SIGKILL)

    def collect(self, grace_s: float) -> None:
        """Wait for the end of a process whose socket is closed; kill it, and what it left."""
        try:
            self._forked.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.end()
            try:
                self._forked.wait(_KILLED_S)
            except subprocess.TimeoutExpired:  # A model may have stopped the process that forks.
                self._server.kill()
                self._forked.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.process_id, signal.SIGKILL)
        with _lock:
            _running.discard(self.process_id)
            _end_leftovers(self._server)


_lock = threading.Lock()
_running: set[int] = set()


@cache
def fork_server() -> ForkServer:
    """Return the process that forks the workers of this one."""
    return ForkServer(["driftline.serving.hosting.preload"], _variables)


def ended(code: int | None) -> str:
    """Return how a process ended, by its exit code as `subprocess` says it."""
    if code is None or code >= 0:
        return "ended" if code is None else f"ended with exit code {code}"
    why = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
    return f"was ended by signal {-code}{_SIGNALS.get(-code, '')}{why}"


def _variables() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k in PASSED_ON} | _ONE_THREAD


def _work(spec: WorkerSpec, link: int, output: int) -> None:
    """Be a worker; in the forked process."""
    # Imported before the fork: the server needs none of it.
    import numpy as np

    from driftline.serving.hosting import worker

    name_process("worker")
    adopt_orphans()  # What it starts is its own until it ends, and then comes to the fork server.
    os.dup2(output, 2)
    os.close(output)
    os.environ.update(spec.environment)
    np.random.seed()  # noqa: NPY002 - of models that use the old generator: not all the same
    worker.main(link, spec)


def _end_leftovers(server: ForkServer) -> None:
    """Kill what ended workers left in sessions of its own, which has come to the fork server."""
    end_s = time.monotonic() + FAREWELL_S
    while server.pid is not None and time.monotonic() < end_s:
        left = [one for one in children(server.pid) if one not in _running]
        if not left:
            return
        for one in left:
            for each in (one, *descendants(one)):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        time.sleep(_LOOK_S)
