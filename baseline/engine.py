"""Where the parts of a data set are counted: in this process, or on a Dask cluster.

An engine is one method: run a task on every part and return the results in the parts' order. Why:
docs/why/profiles.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from driftline.errors import InputError
from driftline.formats.parts import Part

R = TypeVar("R")


class Engine(Protocol):
    """Runs a task on parts."""

    def map(self, task: Callable[[Part], R], parts: Iterable[Part]) -> Iterator[R]:
        """Run a task on every part.

        Parameters
        ----------
        task
            A function that can be pickled.
        parts
            Read once, in their order; an engine may hold some of them at a time.

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

    def map(self, task: Callable[[Part], R], parts: Iterable[Part]) -> Iterator[R]:
        """Run a task on every part, as `Engine.map`."""
        return map(task, parts)


def open_engine(engine: str | Engine = "local") -> Engine:
    """Return the engine with a name."""
    if not isinstance(engine, str):
        return engine
    name, _, address = engine.partition(":")
    if name == "dask":
        # Dask is an extra.
        from driftline.baseline.dask_engine import DaskCluster

        return DaskCluster(address)
    if engine != "local":
        raise InputError(f'engine "{engine}"; expected local, dask or dask:ADDRESS')
    return InProcess()
