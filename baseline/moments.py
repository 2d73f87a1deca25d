"""Sum, mean, deviation and range of numbers, summed as SageMaker's analyzer does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# So many values are taken one after the other, which gives the analyzer's deviation bit for bit;
# further ones in blocks, which differ from it in the last digits only. The analyzer itself is not
# reproducible there: it adds up partitions in whatever order they are done.
SEQUENTIAL_COUNT = 5_000
# So many values at a time stay in the processor's cache.
STEP = 8_192


@dataclass(slots=True)
class Moments:
    """Running count, sum, mean, sum of squared deviations, minimum and maximum of finite numbers.

    References
    ----------
    Welford, Technometrics 4, 1962 (one value); Chan, Golub, LeVeque, 1979 (blocks, merge).
    """

    count: int = 0
    total: float = 0.0
    average: float = 0.0
    squares: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    def update(self, values: np.ndarray) -> None:
        """Add finite numbers, shape (values,)."""
        if not len(values):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            self.total = _total(self.total, values)
            self.minimum = min(self.minimum, float(values.min()))
            self.maximum = max(self.maximum, float(values.max()))
            head = values[: max(0, SEQUENTIAL_COUNT - self.count)]
            self._update_one_by_one(head.tolist())
            self._update_block(values[len(head) :])

    def _update_one_by_one(self, values: list[float]) -> None:
        count, average, squares = self.count, self.average, self.squares
        for value in values:
            count += 1
            delta = value - average
            step = delta / count
            average += step
            squares += delta * (delta - step)
        self.count, self.average, self.squares = count, average, squares

    def _update_block(self, values: np.ndarray) -> None:
        if not len(values):
            return
        # Of numbers that lie across words NumPy has another sum in the last digit.
        values = np.require(values, requirements="A")
        average = float(values.mean())
        deviation = values - average
        # Not the dot product: its threads wait for each other on a busy machine.
        self._add(len(values), average, float(np.square(deviation, out=deviation).sum()))

    def _add(self, count: int, average: float, squares: float) -> None:
        if not self.count:
            self.count, self.average, self.squares = count, average, squares
            return
        total = self.count + count
        delta = average - self.average
        self.average += delta * count / total
        self.squares += squares + delta * delta * self.count * count / total
        self.count = total

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of values; neither input changes."""
        merged = Moments(
            self.count,
            self.total + other.total,
            self.average,
            self.squares,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )
        if other.count:
            merged._add(other.count, other.average, other.squares)
        return merged

    @property
    def mean(self) -> float:
        """Sum over count; NaN without values."""
        return self.total / self.count if self.count else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the population (divided by n); NaN without values."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan


def _total(total: float, values: np.ndarray) -> float:
    """Sum numbers in order, as the analyzer does; NumPy sums pairwise."""
    sums = np.empty(min(len(values), STEP))
    for at in range(0, len(values), STEP):
        part = values[at : at + STEP]
        into = sums[: len(part)]
        into[:] = part
        into[0] += total
        np.add.accumulate(into, out=into)
        total = float(into[-1])
    return total
