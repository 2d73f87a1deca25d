"""Reads all parts once: counts each, then merges in the parts' order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import pyarrow as pa

from driftline.baseline.engine import Engine
from driftline.formats.parts import Part


class Counter(Protocol):
    """A picklable counter that grows by rows and merges."""

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""

    def merge(self, other: Self) -> Self:
        """Return the count of the rows of both, the other's after these."""


C = TypeVar("C", bound=Counter)


@dataclass(frozen=True, slots=True)
class Together:
    """Counters of the same rows, by name."""

    counters: Mapping[str, Any]

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows to each."""
        for one in self.counters.values():
            one.update(batch)

    def merge(self, other: Together) -> Together:
        """Return the counters of the rows of both, the other's after these."""
        return Together(
            {name: one.merge(other.counters[name]) for name, one in self.counters.items()}
        )


@dataclass(frozen=True, slots=True)
class _Reading(Generic[C]):
    """Counts one part, and its rows."""

    start: Callable[[], C]
    columns: tuple[str, ...] | None

    def __call__(self, part: Part) -> tuple[C, int]:
        counter, rows = self.start(), 0
        for batch in part.batches(self.columns):
            counter.update(batch)
            rows += batch.num_rows
        return counter, rows


def gather(
    start: Callable[[], C],
    parts: Iterable[Part],
    engine: Engine,
    advance: Callable[[int], None],
    columns: Sequence[str] | None = None,
) -> C:
    """Count all parts; `advance` is called with the rows of each."""
    reading = _Reading(start, None if columns is None else tuple(columns))
    total: C | None = None
    for found, rows in engine.map(reading, parts):
        total = found if total is None else total.merge(found)
        advance(rows)
        del found  # Of thousands of columns it is heavy, and the next part is counted now.
    return start() if total is None else total


class Meter:
    """Progress over several readings of the same rows; `show` gets rows done and rows in total.

    The total is None when it is not known.
    """

    def __init__(
        self, show: Callable[[int, int | None], None] | None, rows: int | None, readings: int = 1
    ) -> None:
        self._show = show
        self._done = 0
        self._total = None if rows is None else readings * rows

    def advance(self, rows: int) -> None:
        """Report that so many more rows are done."""
        self._done += rows
        if self._show is not None:
            self._show(self._done, self._total)
