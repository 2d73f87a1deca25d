"""Reads all parts once: counts each, then merges in the parts' order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import pyarrow as pa

from driftline.baseline.engine import Engine, Tell
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
    """Counts one part."""

    start: Callable[[], C]
    columns: tuple[str, ...] | None

    def __call__(self, part: Part) -> C:
        counter = self.start()
        for batch in part.batches(self.columns):
            counter.update(batch)
        return counter


def gather(
    start: Callable[[], C],
    parts: Iterable[Part],
    engine: Engine,
    tell: Tell | None = None,
    columns: Sequence[str] | None = None,
) -> C:
    """Count all parts."""
    reading = _Reading(start, None if columns is None else tuple(columns))
    total: C | None = None
    for found in engine.map(reading, parts, tell):
        total = found if total is None else total.merge(found)
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

    @property
    def tell(self) -> Tell | None:
        """Report progress; called by an engine."""
        return None if self._show is None else self._advance

    def _advance(self, rows: int) -> None:
        self._done += rows
        if self._show is not None:
            self._show(self._done, self._total)
