"""The engine "dask": each part is counted by a worker of a Dask cluster.

Workers open the files themselves, by the same paths, and need the same version of driftline. Dask
runs the parts of a lost worker again elsewhere.
"""

from __future__ import annotations

import pickle
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

import pyarrow as pa

from driftline.errors import InputError, UnavailableError
from driftline.formats.parts import Part

try:
    import dask
    import distributed
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError
except ModuleNotFoundError as error:
    raise InputError(
        f"engine dask: {error.name} is not here; pip install 'driftline[dask]'"
    ) from error

R = TypeVar("R")
# Parts on their way for each thread of a worker: one at work, one waiting.
IN_FLIGHT = 2
# And the bytes of rows that are carried along.
CARRIED_BYTES = 1 << 29
CONNECT_S = 10
# How often is looked whether anybody is still at work.
LOOK_S = 10


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """The workers of one scheduler, connected to for one reading at a time."""

    # Such as tcp://10.0.0.5:8786; "": the client of this process, or else the scheduler that
    # Dask's configuration names (DASK_SCHEDULER_ADDRESS).
    address: str = ""

    def map(self, task: Callable[[Part], R], parts: Iterable[Part]) -> Iterator[R]:
        """Run a task on every part, as `Engine.map`."""
        with _connected(self.address) as client:
            most, flight = IN_FLIGHT * _threads(client), deque[tuple[Any, Part]]()

            def landed() -> R:
                """Wait for the oldest part's result."""
                found: R = _result(client, flight[0][0])
                flight.popleft()
                return found

            # Sent once, whatever it weighs: its cells may be many. As the result of a call, that
            # any worker makes again; scattered bytes are lost with the last worker that has them,
            # and Dask leaves them to one when nobody asks for them just now.
            sent = _submit(client, bytes, pickle.dumps(task))
            try:
                for part in parts:
                    while len(flight) >= most or _carried(flight) > CARRIED_BYTES:
                        yield landed()
                    carried = part.portable()
                    flight.append((_submit(client, _run, sent, carried), carried))
                while flight:
                    yield landed()
            finally:
                client.cancel([future for future, _ in flight])


def _carried(flight: Iterable[tuple[object, Part]]) -> int:
    return sum(part.weight for _, part in flight)


def _submit(client: Any, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
    """Call a function on a worker; rows from memory are sent with the call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Sending large graph", UserWarning)
        # Not pure: a file may have changed since somebody last asked.
        return client.submit(call, *arguments, pure=False)


def _result(client: Any, future: Any) -> Any:  # noqa: ANN401 - untyped
    """Return a future's result; UnavailableError when it cannot come any more."""
    try:
        return _wait(client, future)
    except distributed.KilledWorker as error:
        raise UnavailableError(
            "engine dask: several workers ended over the same part of the data, most often for "
            "want of memory; give them more, or fewer threads"
        ) from error
    except (FutureCancelledError, CommClosedError) as error:
        raise UnavailableError(f"engine dask: the scheduler is gone ({error})") from error


def _wait(client: Any, future: Any) -> Any:  # noqa: ANN401 - untyped
    """Wait for a result, unless no workers come: Dask would wait for ever."""
    while True:
        try:
            return future.result(timeout=LOOK_S)
        except TimeoutError:
            if future.done():  # The task's own, or it was done just after.
                return future.result()
            _await_workers(client)


def _await_workers(client: Any) -> None:  # noqa: ANN401 - untyped
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        place = client.scheduler.address
        raise UnavailableError(f"engine dask: the scheduler {place} has no workers") from error


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Return a client of a scheduler; InputError when no address is known."""
    known = None if address else _known()
    if known is not None:
        yield known
        return
    address = address or dask.config.get("scheduler-address", "")
    if not address:
        raise InputError(
            "engine dask: which scheduler? Expected dask:ADDRESS, the environment variable "
            "DASK_SCHEDULER_ADDRESS, or a distributed.Client made before"
        )
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UnavailableError(
            f"engine dask: no scheduler answers at {address} ({error})"
        ) from error
    with client:
        yield client


def _threads(client: Any) -> int:  # noqa: ANN401 - untyped
    """Return the number of threads of all workers."""
    place = client.scheduler.address
    _await_workers(client)
    try:
        found = set(client.run(_version).values())
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"engine dask: workers of {place} have no {error.name}; install driftline there"
        ) from error
    if found != {_version()}:
        raise UnavailableError(
            f"engine dask: workers of {place} have driftline {', '.join(sorted(found))}, and here "
            f"it is {_version()}; expected the same"
        )
    return sum(client.nthreads().values())


def _known() -> Any:  # noqa: ANN401 - untyped: a client, or None
    """Return this process's existing client."""
    try:
        return distributed.default_client()
    except ValueError:
        return None


def _run(task: bytes, part: Part) -> Any:  # noqa: ANN401 - whatever the task gives
    """Run a task on a worker, with as many Arrow threads as the worker has."""
    pa.set_cpu_count(max(1, distributed.get_worker().state.nthreads))
    return pickle.loads(task)(part)  # noqa: S301 - our own, of this very moment


def _version() -> str:
    return version("driftline")
