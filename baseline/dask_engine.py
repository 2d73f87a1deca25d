"""The engine "dask": each part on a worker of a Dask cluster, by its scheduler.

Workers open the files themselves, by the paths that were given here, and need driftline.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from driftline.baseline.engine import IN_FLIGHT, Tell
from driftline.baseline.parts import Part
from driftline.errors import InputError, UnavailableError

try:
    import dask
    import distributed
    from distributed.scheduler import KilledWorker
except ModuleNotFoundError as error:
    raise InputError(
        "engine dask: the package distributed is not here; pip install 'driftline[dask]'"
    ) from error

__all__ = ["DaskCluster"]

R = TypeVar("R")
CONNECT_S = 10


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """The workers of one scheduler.

    Parameters
    ----------
    client
        Connected to it.
    """

    client: distributed.Client

    @classmethod
    def at(cls, address: str | None) -> DaskCluster:
        """Connect to a scheduler.

        Parameters
        ----------
        address
            Such as ``tcp://10.0.0.5:8786``; None: the client of this process, or else the
            scheduler that Dask's configuration names (``DASK_SCHEDULER_ADDRESS``).

        Raises
        ------
        InputError
            When no address is known.
        UnavailableError
            When nobody answers there.
        """
        if address is None:
            known = _known()
            if known is not None:
                return cls(known)
            address = dask.config.get("scheduler-address", "")
            if not address:
                raise InputError(
                    "engine dask: which scheduler? Expected dask:ADDRESS, the environment variable "
                    "DASK_SCHEDULER_ADDRESS, or a distributed.Client made before; --jobs N uses "
                    "the cores of this machine without Dask"
                )
        try:
            return cls(distributed.Client(address, timeout=CONNECT_S, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise UnavailableError(
                f"engine dask:{address}: no scheduler answers there ({error})"
            ) from error

    def map(
        self, task: Callable[[Part], R], parts: Iterable[Part], tell: Tell | None = None
    ) -> Iterator[R]:
        """Run a task on every part, as `Engine.map`."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        threads = sum(one["nthreads"] for one in workers.values()) or 1
        # Sent once, whatever it weighs: its cells may be many.
        carried = self.client.scatter(pickle.dumps(task), broadcast=True, hash=False)
        running: deque[tuple[Any, int | None]] = deque()
        try:
            for part in parts:
                if len(running) >= IN_FLIGHT * threads:
                    yield self._result(running, tell)
                portable = part.portable()
                future = self.client.submit(_run, carried, portable, pure=False)
                running.append((future, portable.row_count))
            while running:
                yield self._result(running, tell)
        finally:
            self.client.cancel([future for future, _ in running])

    def _result(self, running: deque[tuple[Any, int | None]], tell: Tell | None) -> Any:  # noqa: ANN401
        future, rows = running[0]
        try:
            found = future.result()
        except KilledWorker as error:
            raise UnavailableError(
                "workers ended in the middle of their work, most often for want of memory "
                f"({error})"
            ) from error
        running.popleft()
        if tell is not None and rows is not None:
            tell(rows)
        return found


def _known() -> Any:  # noqa: ANN401 - untyped: a client, or None
    """Give the client that this process has made already."""
    try:
        return distributed.default_client()
    except ValueError:
        return None


def _run(task: bytes, part: Part) -> Any:  # noqa: ANN401 - whatever the task gives
    """Run a task on a worker."""
    return pickle.loads(task)(part)  # noqa: S301 - our own, of this very moment
