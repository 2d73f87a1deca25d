"""Where the parts of a data set are counted: in this process, or on a Dask cluster.

An engine is one method: run a task on every part and return the results in the parts' order. Why:
docs/why/profiles.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import pyarrow as pa

from driftline.errors import InputError
from driftline.formats.parts import Part

R = TypeVar("R")
# Told how many more rows are done.
Tell = Callable[[int], None]


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
