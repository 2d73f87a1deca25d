"""NannyML's univariate drift: Jensen-Shannon distance on Doane's bins, threshold by the chunks.

The rule needs the reference's rows: Doane's bins follow from their skewness, and the threshold from
the distances of their own chunks, neither of which a baseline keeps. Chunks are the backtest's
windows; the last ones of the reference and of the history may be incomplete, and count as NannyML
counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.column import ColumnProfile
from driftline.baseline.engine import InProcess, Tell
from driftline.baseline.gather import gather
from driftline.baseline.profile import Profile
from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce, is_missing
from driftline.formats.source import Source
from driftline.monitors.backtest.fine_bins import FineBins, Numbers
from driftline.monitors.backtest.history import HistoryCounter
from driftline.monitors.backtest.other_tools import jensen_shannon

# NannyML 0.13.1: StandardDeviationThreshold, above the mean only.
DEVIATIONS = 3.0
# With so few values Doane's rule gives no width, and NumPy one bin.
LEAST_VALUES = 3
# Starts counting rows by window in the bins given.
StartCounter = Callable[[Mapping[str, FineBins]], HistoryCounter]


@dataclass(frozen=True, eq=False)
class ChunkDistances:
    """One column of a history beside the reference."""

    values: Numbers  # Shape (W,), 0 to 1; NaN for a window without a value.
    threshold: float  # NaN when no chunk of the reference has a value.

    @property
    def alarms(self) -> NDArray[np.bool_]:
        """Which windows alarm, shape (W,); NaN lies above nothing."""
        return np.asarray(self.values > self.threshold)


def chunk_distances(
    profile: Profile,
    columns: Sequence[str],
    reference: Source,
    data: Source,
    *,
    start_reference: StartCounter,
    start_history: StartCounter,
    tell: Tell | None = None,
) -> dict[str, ChunkDistances]:
    """Return the distances of each column's windows, and what they are held against.

    The reference is read twice, the data once.

    References
    ----------
    NannyML 0.13.1, drift/univariate/methods.py (ContinuousJensenShannonDistance,
    CategoricalJensenShannonDistance) and thresholds.py (StandardDeviationThreshold).
    """
    judged = {
        name: column
        for name in columns
        if (column := profile.columns[name]).is_number or column.type in ("string", "bool")
    }
    shapes = gather(partial(ShapeCounter, judged), reference.parts(), InProcess())
    bins = {name: shapes.bins(name) for name in judged if profile.columns[name].present_count}
    chunks = gather(partial(start_reference, bins), reference.parts(), InProcess()).result()
    windows = gather(partial(start_history, bins), data.parts(), InProcess(), tell).result()
    return {
        name: distances_of_counts(chunks.bin_counts[name], windows.bin_counts[name])
        for name in bins
        if name in chunks.bin_counts and name in windows.bin_counts
    }


def distances_of_counts(chunks: NDArray[np.int64], windows: NDArray[np.int64]) -> ChunkDistances:
    """Measure windows against all rows of the reference's chunks, both of shape (number, bins).

    The last bin holds the rows without a value, which are left out.
    """
    whole = chunks[:, :-1].sum(axis=0).astype(np.float64)
    own = jensen_shannon(whole, chunks[:, :-1], base=2.0)
    own = own[~np.isnan(own)]
    threshold = float(own.mean() + DEVIATIONS * own.std()) if len(own) else np.nan
    return ChunkDistances(jensen_shannon(whole, windows[:, :-1], base=2.0), threshold)


@dataclass(slots=True)
class ShapeCounter:
    """Collects what a profile lacks for NannyML's bins: third moments, and levels beyond its cap.

    Parameters
    ----------
    columns
        Profiles of numbers, texts and truth values, of the same rows.
    """

    columns: Mapping[str, ColumnProfile]
    cubes: dict[str, float] = field(default_factory=dict)
    levels: dict[str, pa.Array] = field(default_factory=dict)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        for name, column in self.columns.items():
            values, _ = coerce(batch.column(name), column.type)
            if not column.is_number:
                texts = values.filter(pc.invert(is_missing(values))).cast(pa.string())
                self._add_levels(name, shortened(texts).unique())
                continue
            numbers = pc.fill_null(values.cast(pa.float64(), safe=False), np.nan)
            numbers = numbers.to_numpy(zero_copy_only=False)
            numbers = numbers[np.isfinite(numbers)]
            cubes = float(((numbers - column.moments.mean) ** 3).sum())
            self.cubes[name] = self.cubes.get(name, 0.0) + cubes

    def merge(self, other: ShapeCounter) -> ShapeCounter:
        """Return the shapes of the rows of both; neither input changes."""
        merged = ShapeCounter(self.columns, dict(self.cubes), dict(self.levels))
        for name, cubes in other.cubes.items():
            merged.cubes[name] = merged.cubes.get(name, 0.0) + cubes
        for name, levels in other.levels.items():
            merged._add_levels(name, levels)
        return merged

    def bins(self, name: str) -> FineBins:
        """Return the bins of a column that has values, its reference rows not yet counted."""
        column = self.columns[name]
        edges, levels = np.zeros(0), pa.array([], pa.string())
        if column.is_number:
            span = np.array([column.moments.minimum, column.moments.maximum])
            try:
                edges = np.histogram_bin_edges(span, bins=self._bin_count(name))
            except ValueError:  # They lie nearer to each other than doubles can be cut.
                edges = span.astype(np.float64)
            # The last bin holds its upper edge, too.
            edges[-1] = np.nextafter(edges[-1], np.inf)
        else:
            levels = self.levels[name]
        # Two more: values outside of these, and rows without a value.
        nothing = np.zeros(len(edges) + len(levels) + 2)
        return FineBins(
            name, column.type, column.is_number, edges, levels, nothing, nothing,
            column.moments.deviation, len(levels),
        )  # fmt: skip

    def _add_levels(self, name: str, levels: pa.Array) -> None:
        known = self.levels.get(name)
        if known is not None:
            levels = pa.concat_arrays([known, levels]).unique()
        self.levels[name] = levels

    def _bin_count(self, name: str) -> int:
        """Return the number of equal bins by Doane's rule, as `numpy.histogram_bin_edges` does.

        References
        ----------
        Doane, "Aesthetic frequency classifications", The American Statistician 30, 1976.
        """
        moments = self.columns[name].moments
        n, deviation = moments.count, moments.deviation
        if n < LEAST_VALUES or moments.minimum == moments.maximum:
            return 1
        with np.errstate(all="ignore"):  # Of numbers too large or small for their cubes.
            found = np.float64(self.cubes[name]) / n / np.float64(deviation) ** 3
            skewness = float(np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0))
        spread = np.sqrt(6.0 * (n - 2) / ((n + 1.0) * (n + 3)))
        return int(np.ceil(1.0 + np.log2(n) + np.log2(1.0 + abs(skewness) / spread)))
