"""Where the parts of a data set are counted: in this process, in several, or on a cluster.

An engine is one method: run a task on every part and return the results in the parts' order. Why:
docs/why/profiles.md.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import pyarrow as pa

from driftline.errors import InputError, UnavailableError
from driftline.formats.parts import Part

if TYPE_CHECKING:
    from concurrent.futures import Future

R = TypeVar("R")
F = TypeVar("F")
# Told how many more rows are done.
Tell = Callable[[int], None]
# Parts on their way for each process: one at work, one waiting.
IN_FLIGHT = 2
# And the bytes of rows that are carried along.
CARRIED_BYTES = 1 << 29
IDLE_S = 30
# How often a process looks whether the one that started it is still there.
LOOK_S = 1


class Engine(Protocol):
    """Runs a task on parts."""

    def map(
        self, task: Callable[[Part], R], parts: Iterable[Part], tell: Tell | None = None
    ) -> Iterator[R]:
        """Run a task on every part.

        Parameters
        ----------
        task
            A function that can be pickled.
        parts
            Read once, in their order; an engine may hold some of them at a time.
        tell
            Called with how many more rows are done.

        Returns
        -------
        iterator
            The answers, in the order of the parts.

        Raises
        ------
        Exception
            What the task raised, as it is: parts behind it may not be read.
        """


@dataclass(frozen=True, slots=True)
class InProcess:
    """Runs one part after the other, in this process, without a copy."""

    def map(
        self, task: Callable[[Part], R], parts: Iterable[Part], tell: Tell | None = None
    ) -> Iterator[R]:
        """Run a task on every part, as `Engine.map`."""
        for part in parts:
            yield task(part if tell is None else _Watched(part, tell))


@dataclass(frozen=True, slots=True)
class _Watched:
    """A part that reports how far it has been read."""

    part: Part
    tell: Tell

    @property
    def row_count(self) -> int | None:
        return self.part.row_count

    @property
    def weight(self) -> int:
        return self.part.weight

    def batches(
        self, columns: Sequence[str] | None = None, *, coded: bool = False
    ) -> Iterator[pa.RecordBatch]:
        for batch in self.part.batches(columns, coded=coded):
            yield batch
            self.tell(batch.num_rows)

    def portable(self) -> Part:
        return self.part.portable()


class Flight(Generic[F]):
    """Parts in progress elsewhere, oldest first, limited in number and bytes.

    `tell` is called with the rows of each finished part.
    """

    def __init__(self, processes: int, tell: Tell | None) -> None:
        self._most = IN_FLIGHT * processes
        self._tell = tell
        self._parts: deque[tuple[F, Part]] = deque()

    @property
    def futures(self) -> list[F]:
        """The unfinished results."""
        return [future for future, _ in self._parts]

    @property
    def first(self) -> F:
        """The next result."""
        return self._parts[0][0]

    @property
    def full(self) -> bool:
        """Whether nothing more should be started now."""
        carried = sum(part.weight for _, part in self._parts)
        return len(self._parts) >= self._most or carried > CARRIED_BYTES

    def start(self, future: F, part: Part) -> None:
        """Note that a part was started."""
        self._parts.append((future, part))

    def land(self, result: R) -> R:
        """Note that the first part is done, and return its result."""
        _, part = self._parts.popleft()
        if self._tell is not None and part.row_count is not None:
            self._tell(part.row_count)
        return result


@dataclass(frozen=True, slots=True)
class ProcessPool:
    """Several processes on this machine.

    loky starts them by fork and exec, without importing the main module again: a script needs no
    guard, a notebook works, and a process that dies is an error, never a hang. Idle processes stay
    for half a minute, for the next reading.
    """

    jobs: int

    def map(
        self, task: Callable[[Part], R], parts: Iterable[Part], tell: Tell | None = None
    ) -> Iterator[R]:
        """Run a task on every part, as `Engine.map`."""
        # An import that only several processes need.
        from loky import get_reusable_executor
        from loky.process_executor import BrokenProcessPool

        pool = get_reusable_executor(
            max_workers=self.jobs,
            timeout=IDLE_S,
            initializer=_begin,
            initargs=(self.jobs, os.getpid()),
        )
        flight: Flight[Future[R]] = Flight(self.jobs, tell)
        try:
            for part in parts:
                while flight.full:
                    yield flight.land(flight.first.result())
                carried = part.portable()
                flight.start(pool.submit(task, carried), carried)
            while flight.futures:
                yield flight.land(flight.first.result())
        except BrokenProcessPool as error:
            raise UnavailableError(
                f"one of {self.jobs} processes ended in the middle of its work, most often for "
                "want of memory; try again with fewer jobs"
            ) from error
        finally:
            for future in flight.futures:
                future.cancel()


def _begin(jobs: int, parent: int) -> None:
    """Limit a process to its share of the cores, and end it with its parent."""
    pa.set_cpu_count(max(1, pa.cpu_count() // jobs))
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    """End this process when its parent was killed: else it would wait for ever."""
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(LOOK_S)
    os._exit(1)


def open_engine(engine: str | Engine = "local", jobs: int | None = None) -> Engine:
    """Return the engine with a name."""
    if not isinstance(engine, str):
        return engine
    name, _, address = engine.partition(":")
    if name == "dask":
        if jobs is not None:
            raise InputError(
                f"jobs {jobs} with {engine}: the cluster has as many workers as it has; "
                "leave jobs out"
            )
        # Dask is an extra.
        from driftline.baseline.dask_engine import DaskCluster

        return DaskCluster(address)
    if engine != "local":
        raise InputError(f'engine "{engine}"; expected local, dask or dask:ADDRESS')
    if jobs is not None and jobs < 0:
        raise InputError(f"jobs {jobs}; expected 1 or more, or 0 for one for each core")
    if jobs == 0:
        from loky import cpu_count

        jobs = cpu_count()
    return InProcess() if jobs is None or jobs == 1 else ProcessPool(jobs)
