"""Lists of numbers, such as embeddings: lengths, norms and dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.lengths import LengthCounts, no_counts
from driftline.baseline.moments import Moments
from driftline.baseline.sketch import QuantileSketch

# The first dimensions that are summed up one by one; embeddings in use have up to 4,096.
DIMENSION_CAP = 4096
# Numbers looked at in one go: what is computed beside them stays within some megabytes.
SLICE_NUMBERS = 1 << 20
_no_numbers = partial(np.empty, 0)


@dataclass(slots=True, eq=False)
class Dimensions:
    """Count, mean, spread and range of each position of the lists.

    Parameters
    ----------
    counts
        int64, shape (dimensions,): finite numbers.
    averages, squares, minima, maxima
        float64, shape (dimensions,): mean, sum of squared deviations, range; a position without
        numbers has mean 0 and the range from infinity to minus infinity.

    References
    ----------
    Chan, Golub, LeVeque, 1979 (merge).
    """

    counts: np.ndarray = field(default_factory=no_counts)
    averages: np.ndarray = field(default_factory=_no_numbers)
    squares: np.ndarray = field(default_factory=_no_numbers)
    minima: np.ndarray = field(default_factory=_no_numbers)
    maxima: np.ndarray = field(default_factory=_no_numbers)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def deviations(self) -> np.ndarray:
        """Standard deviation (divided by n) of each position, NaN without numbers."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(self.squares / self.counts))

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")  # Squares of 1e200.
    def of_block(cls, block: np.ndarray) -> Dimensions:
        """Summarise lists of one length, shape (lists, dimensions), all numbers finite."""
        averages = block.mean(axis=0)
        return cls(
            np.full(block.shape[1], len(block), np.int64),
            averages,
            np.square(block - averages).sum(axis=0),
            block.min(axis=0),
            block.max(axis=0),
        )

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")  # Squares of 1e200.
    def of_places(cls, numbers: np.ndarray, places: np.ndarray) -> Dimensions:
        """Summarise finite numbers by their position, both of shape (numbers,)."""
        if not len(numbers):
            return cls()
        counts = np.bincount(places)
        averages = np.bincount(places, numbers) / np.maximum(counts, 1)
        squares = np.bincount(places, np.square(numbers - averages[places]))
        minima, maxima = np.full(len(counts), math.inf), np.full(len(counts), -math.inf)
        np.minimum.at(minima, places, numbers)
        np.maximum.at(maxima, places, numbers)
        return cls(counts, averages, squares, minima, maxima)

    @np.errstate(over="ignore", invalid="ignore")
    def merge(self, other: Dimensions) -> Dimensions:
        """Return the summary of both; neither input changes."""
        size = max(len(self), len(other))
        a, b = self._padded(size), other._padded(size)
        counts = a.counts + b.counts
        share = b.counts / np.maximum(counts, 1)
        delta = b.averages - a.averages
        return Dimensions(
            counts,
            a.averages + delta * share,
            a.squares + b.squares + delta * delta * a.counts * share,
            np.minimum(a.minima, b.minima),
            np.maximum(a.maxima, b.maxima),
        )

    def _padded(self, size: int) -> Dimensions:
        more = size - len(self)
        return Dimensions(
            np.append(self.counts, np.zeros(more, np.int64)),
            np.append(self.averages, np.zeros(more)),
            np.append(self.squares, np.zeros(more)),
            np.append(self.minima, np.full(more, math.inf)),
            np.append(self.maxima, np.full(more, -math.inf)),
        )


@dataclass(slots=True, eq=False)
class VectorSummary:
    """Lengths, Euclidean norms and dimensions of a column's lists.

    Parameters
    ----------
    lengths
        Numbers in each list.
    odd_count
        Nulls, NaN and infinities inside the lists; they are in no norm and no dimension.
    zero_count
        Lists that have elements, but no finite number other than 0: as a failed embedding often is.
    norms, norm_sketch
        Of the lists' finite numbers.
    dimensions
        Of the first 4,096 positions.
    """

    lengths: LengthCounts = field(default_factory=LengthCounts)
    odd_count: int = 0
    zero_count: int = 0
    norms: Moments = field(default_factory=Moments)
    norm_sketch: QuantileSketch = field(default_factory=QuantileSketch)
    dimensions: Dimensions = field(default_factory=Dimensions)

    @property
    def count(self) -> int:
        """Number of lists."""
        return self.lengths.count

    def update(self, lists: pa.ListArray) -> None:
        """Add lists of numbers; null lists are left out."""
        lists = lists.drop_null()
        if not len(lists):
            return
        widest = max(1, pc.max(pc.list_value_length(lists)).as_py())
        step = max(1, SLICE_NUMBERS // widest)
        for at in range(0, len(lists), step):
            self._add(lists.slice(at, step))

    def _add(self, lists: pa.ListArray) -> None:
        numbers, lengths = _flat(lists)
        self.lengths.update(lengths)
        finite = np.isfinite(numbers)
        odd = len(numbers) - int(np.count_nonzero(finite))
        self.odd_count += odd
        size = int(lengths[0])
        if not odd and 0 < size <= DIMENSION_CAP and (lengths == size).all():
            block = numbers.reshape(len(lengths), size)
            norms = np.sqrt(np.einsum("ij,ij->i", block, block))
            some = block.any(axis=1)
            found = Dimensions.of_block(block)
        else:
            rows = np.repeat(np.arange(len(lengths)), lengths)
            starts = np.cumsum(lengths) - lengths
            places = np.arange(len(numbers)) - starts[rows]
            norms = np.sqrt(
                np.bincount(rows[finite], np.square(numbers[finite]), minlength=len(lengths))
            )
            some = np.bincount(rows[finite & (numbers != 0)], minlength=len(lengths)) > 0
            kept = finite & (places < DIMENSION_CAP)
            found = Dimensions.of_places(numbers[kept], places[kept])
        self.zero_count += int(np.count_nonzero(~some & (lengths > 0)))
        norms = norms[np.isfinite(norms)]
        self.norms.update(norms)
        self.norm_sketch.update(norms)
        self.dimensions = self.dimensions.merge(found)

    def merge(self, other: VectorSummary) -> VectorSummary:
        """Return the summary of both; neither input changes."""
        return VectorSummary(
            self.lengths.merge(other.lengths),
            self.odd_count + other.odd_count,
            self.zero_count + other.zero_count,
            self.norms.merge(other.norms),
            self.norm_sketch.merge(other.norm_sketch),
            self.dimensions.merge(other.dimensions),
        )


def _flat(lists: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Return all numbers as float64, nulls as NaN, and each list's length."""
    numbers = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    return numbers, lengths.astype(np.int64)
