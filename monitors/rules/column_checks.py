"""Rules on a whole column: a statistic, its presence, its position. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.moments import Moments
from driftline.baseline.predicate import UNFIT, number_text
from driftline.baseline.row_hashes import hash_rows
from driftline.capture.windows.window import ROW_IDS
from driftline.monitors.results.violation import plural
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.keys import KeyCounts
from driftline.monitors.rules.outcome import Tally
from driftline.monitors.rules.row_checks import Bounds
from driftline.monitors.rules.values import numbers_of, typed


def _deviation(moments: Moments) -> float:
    """Return the standard deviation of a sample, divided by n - 1 as in pandas."""
    return float(np.sqrt(moments.squares / (moments.count - 1))) if moments.count > 1 else np.nan


MOMENTS: Mapping[str, Callable[[Moments], float]] = {
    "mean": lambda moments: moments.mean,
    "sum": lambda moments: moments.total,
    "std": _deviation,
}


@dataclass(slots=True)
class Statistic:
    """One number of a column's values within bounds; what is missing or no number is left out."""

    name: str  # One of `MOMENTS`, or "quantile".
    bounds: Bounds
    quantile: float = 0.5
    where: Expression | None = None
    moments: Moments = field(default_factory=Moments, init=False, compare=False)
    infinite_count: int = field(default=0, init=False)
    # A quantile is exact, of all values: 8 bytes each.
    parts: list[np.ndarray] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column, and those of the condition."""
        return _columns(self.bounds, self.where)

    def start(self) -> Statistic:
        """Return the check with nothing counted."""
        return replace(self)

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the values of one batch."""
        numbers = numbers_of(typed(_meant(batch, self.where), self.bounds.column, "double")[0])
        if self.name == "quantile":
            self.parts.append(numbers)
        finite = numbers[np.isfinite(numbers)]
        self.infinite_count += len(numbers) - len(finite)
        self.moments.update(finite)

    def merge(self, other: Statistic) -> None:
        """Take over what another part has counted."""
        self.moments = self.moments.merge(other.moments)
        self.infinite_count += other.infinite_count
        self.parts += other.parts

    @property
    def value(self) -> float:
        """The number; NaN where there are too few values for one."""
        if self.name != "quantile":
            return MOMENTS[self.name](self.moments)
        values = np.concatenate([np.empty(0), *self.parts])
        return _quantile(values, self.quantile) if len(values) else np.nan

    def result(self) -> Tally:
        """Compare with the bounds; without a number nothing is judged."""
        count = self.moments.count + self.infinite_count
        what = self.name if self.name != "quantile" else f"quantile {self.quantile:g}"
        what += _with(self.where)
        value = self.value
        if self.infinite_count and (self.name != "quantile" or np.isnan(value)):
            found = f"{what} cannot be calculated: {plural(self.infinite_count, 'infinite value')}"
            return _tally(count, found, self.bounds.wanted, is_broken=True)
        if not count or np.isnan(value):
            return Tally(0, 0, is_broken=False)
        array = pa.record_batch({self.bounds.column: pa.array([value])})
        is_broken = not self.bounds.holds(array)[0].as_py()
        return _tally(count, f"{what} is {number_text(value)}", self.bounds.wanted, is_broken)


def _columns(bounds: Bounds, where: Expression | None) -> tuple[str, ...]:
    more = () if where is None else where.columns
    return tuple(dict.fromkeys((*bounds.columns, *more)))


def _quantile(values: np.ndarray, share: float) -> float:
    """Return a quantile, linear between two values; NaN between infinite ones of both signs.

    `np.quantile` gives NaN also where an infinite value has no weight.
    """
    place = share * (len(values) - 1)
    low = int(place)
    ordered = np.partition(values, [low, min(low + 1, len(values) - 1)])
    if np.isfinite(ordered[low : low + 2]).all():
        return float(np.quantile(ordered[low : low + 2], min(place - low, 1.0)))
    if place == low or ordered[low] == ordered[low + 1]:
        return float(ordered[low])
    infinite = ordered[low : low + 2][~np.isfinite(ordered[low : low + 2])]
    return float(infinite[0]) if len(infinite) == 1 else np.nan


@dataclass(slots=True)
class DistinctCount:
    """How many different values a column has, missing ones left out."""

    bounds: Bounds
    where: Expression | None = None
    counts: KeyCounts = field(default_factory=KeyCounts, init=False, compare=False, repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column, and those of the condition."""
        return _columns(self.bounds, self.where)

    def start(self) -> DistinctCount:
        """Return the check with nothing counted."""
        return replace(self)

    def update(self, batch: pa.RecordBatch) -> None:
        """Count the values of one batch."""
        hashes, known = hash_rows(_meant(batch, self.where), self.bounds.columns)
        self.counts.add(hashes[known])

    def merge(self, other: DistinctCount) -> None:
        """Take over what another part has counted."""
        self.counts.merge(other.counts)

    def result(self) -> Tally:
        """Compare with the bounds; without a value nothing is judged."""
        found = self.counts.repeats()
        if not found.row_count:
            return Tally(0, 0, is_broken=False)
        array = pa.record_batch({self.bounds.column: pa.array([found.key_count])})
        is_broken = not self.bounds.holds(array)[0].as_py()
        words = f"{plural(found.key_count, 'different value')}{_with(self.where)}"
        return _tally(found.row_count, words, self.bounds.wanted, is_broken)


@dataclass(slots=True)
class Columns:
    """Columns that the data must have, in any order or in this one."""

    wanted: tuple[str, ...]
    in_order: bool = False
    exact: bool = False  # Whether there may be no others.
    names: tuple[str, ...] = field(default=(), init=False)
    # It judges whether they are there, and so needs none.
    columns: tuple[str, ...] = field(default=(), init=False)

    def start(self) -> Columns:
        """Return the check with nothing seen."""
        return replace(self)

    def update(self, batch: pa.RecordBatch) -> None:
        """Look at the names of one batch."""
        own = {*ROW_IDS, UNFIT}
        self.names = tuple(name for name in batch.schema.names if name not in own)

    def merge(self, other: Columns) -> None:
        """Take over what another part has seen."""
        self.names = self.names or other.names

    def result(self) -> Tally:
        """Compare the names."""
        lacking = [name for name in self.wanted if name not in self.names]
        present = [name for name in self.names if name in self.wanted]
        others = [name for name in self.names if name not in self.wanted]
        words = ""
        if lacking:
            words = f"no {plural(len(lacking), 'column').partition(' ')[2]} {_listed(lacking)}"
        elif self.in_order and present != list(self.wanted):
            words = f"columns in the order {_listed(present)}"
        elif self.exact and others:
            words = f"other columns {_listed(others)}"
        expected = _listed(self.wanted) + (" in this order" if self.in_order else "")
        expected += " and no others" if self.exact else ""
        return _tally(len(self.names), words, expected, is_broken=bool(words))


def _meant(batch: pa.RecordBatch, where: Expression | None) -> pa.RecordBatch:
    return (
        batch
        if where is None
        else batch.filter(pc.fill_null(where.evaluate(batch), fill_value=False))
    )


def _with(where: Expression | None) -> str:
    return "" if where is None else f" with {where.text}"


def _listed(names: object) -> str:
    shown = [f'"{name}"' for name in names]  # type: ignore[attr-defined] # A list or tuple.
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def _tally(count: int, words: str, wanted: str, is_broken: bool) -> Tally:
    return Tally(
        judged_count=count,
        broken_count=0,
        is_broken=is_broken,
        words=f"{words} (expected {wanted})" if words else "",
        description=f"{words[:1].upper()}{words[1:]}. Expected: {wanted}." if words else "",
        concerns_rows=False,
    )
