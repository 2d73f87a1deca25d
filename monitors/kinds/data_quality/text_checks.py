"""Checks texts beyond the counted levels: the most frequent one, and their lengths.

Free text and ids have ever new values. The share test counts them in one cell, so they could all
become one value unnoticed. Here each is a set of its own, bounded by the reference's most frequent
one, and so are the texts up to a length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.distinct import NumberCounts
from driftline.baseline.predicate import Predicate
from driftline.baseline.texts import shortened
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.significance import MIN_ROWS, Comparison, likelihood_ratio
from driftline.stats.intervals import wilson

# How far the share of one value, and of the texts up to a length, may move at no cost. What is
# said a thousand times in an hour, and how much is written in one, is not known of the reference.
VALUE_TOLERANCE, LENGTH_TOLERANCE = 0.05, 0.25
# One visitor's rows may all lie in one window: so many times the rows of any single value in the
# whole reference are still usual.
MOST_FACTOR = 3
# With this share of its values beyond the counted levels that matters.
UNCOUNTED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Moved:
    """One set of texts, with its shares of the values."""

    predicate: Predicate
    usual: float
    share: float
    tolerance: float
    among: int  # Sets of which it is the one that moved most.
    shown: float  # The reference's share, where `usual` is a bound of it.

    def ratio(self, known: int, rows: int, effect: float) -> float:
        """Return its log-likelihood ratio, less the cost of choosing among so many sets."""
        found = likelihood_ratio(
            np.array([self.usual]), known, np.array([self.share]), rows, tolerance=self.tolerance
        )
        return float(found[0]) / effect - math.log(self.among)


def with_uncounted(
    drifts: Mapping[str, ColumnDrift],
    window: Mapping[str, ColumnProfile],
    reference: Mapping[str, ColumnProfile],
    cells: Mapping[str, Cells],
) -> tuple[dict[str, ColumnDrift], dict[str, str]]:
    """Return the verdicts with those of texts beyond the counted levels, and remedies by column.

    Drifted columns keep their verdict. Remedies are for columns in which no single frequent value
    could be detected.
    """
    found, untested = dict(drifts), {}
    for name, drift in drifts.items():
        known, own = reference.get(name), window[name]
        if known is None or known.type != "string" or known.vectors.count or drift.drifted:
            continue
        if not own.present_count or not known.present_count:
            continue
        most = MOST_FACTOR * (_most(known, cells[name])[1] + known.levels.error + 1)
        is_free = _uncounted_share(known, cells[name]) >= UNCOUNTED_SHARE
        sets = (
            _frequent(own, known, cells[name], most), _by_length(own, known) if is_free else None
        )  # fmt: skip
        rows, effect = own.present_count, max(drift.design_effect, 1.0)
        moved = [one for one in sets if one is not None]
        ratios = [one.ratio(known.present_count, rows, effect) for one in moved]
        if ratios and max(ratios) > drift.critical_value:
            at = int(np.argmax(ratios))
            found[name] = _verdict(drift, moved[at], ratios[at], known, own, cells[name])
        elif is_free and rows <= most:
            untested[name] = f"windows of more than {most:,} rows"
    return found, untested


def _most(column: ColumnProfile, cells: Cells) -> tuple[str, int]:
    """Return the most frequent value beyond the counted levels, and its rows; "" for none."""
    levels = column.levels
    counted = pc.is_in(levels.values, value_set=shortened(pa.array(cells.levels, pa.string())))
    counts = np.where(counted.to_numpy(zero_copy_only=False), 0, levels.counts)
    if not counts.any():
        return "", 0
    at = int(np.argmax(counts))
    return levels.values[at].as_py(), int(counts[at])


def _uncounted_share(column: ColumnProfile, cells: Cells) -> float:
    counted = pc.is_in(column.levels.values, value_set=pa.array(cells.levels, pa.string()))
    rows = column.levels.counts[counted.to_numpy(zero_copy_only=False)].sum()
    return 1.0 - float(rows) / max(column.present_count, 1)


def _frequent(own: ColumnProfile, known: ColumnProfile, cells: Cells, most: int) -> _Moved | None:
    """Return the most frequent value, where it exceeds any such value of the reference."""
    value, rows = _most(own, cells)
    if rows <= max(most, MIN_ROWS):
        return None
    usual = (_most(known, cells)[1] + known.levels.error + 1) / (known.present_count + 1)
    share, among = rows / own.present_count, len(own.levels.values)
    shown = known.value_counts().get(value, 0.0) / known.present_count
    predicate = Predicate(own.name, "eq", value)
    return _Moved(predicate, min(usual, share), share, VALUE_TOLERANCE, among, shown)


def _by_length(own: ColumnProfile, known: ColumnProfile) -> _Moved | None:
    """Return the texts up to a length, or beyond it, whose share has grown most."""
    sides = known.lengths, own.lengths
    if not all(len(one.values) for one in sides):
        return None
    lengths = np.union1d(*(one.values for one in sides))
    below = [np.cumsum(_at(lengths, one)) / one.counts.sum() for one in sides]
    gap = below[1] - below[0]
    at = int(np.argmax(np.abs(gap)))
    usual, share = float(below[0][at]), float(below[1][at])
    predicate = Predicate(own.name, "shorter", float(lengths[at]) + 1.0)
    if share < usual:
        predicate = Predicate(own.name, "longer", float(lengths[at]))
        usual, share = 1.0 - usual, 1.0 - share
    return _Moved(predicate, usual, share, LENGTH_TOLERANCE, len(lengths), usual)


def _at(lengths: np.ndarray, own: NumberCounts) -> np.ndarray:
    found = np.zeros(len(lengths), np.int64)
    found[np.searchsorted(lengths, own.values)] = own.counts
    return found


def _verdict(
    drift: ColumnDrift,
    moved: _Moved,
    ratio: float,
    known: ColumnProfile,
    own: ColumnProfile,
    cells: Cells,
) -> ColumnDrift:
    """Return a column's verdict by such a set, as share of all rows."""
    usual, share, rows = np.array([moved.usual]), moved.share, own.present_count
    one = np.ones(1)
    comparison = Comparison(
        usual, one * known.present_count, one * rows, one * moved.tolerance,
        one * max(drift.design_effect, 1.0), one, 0.0 * one, np.nan * one,
    )  # fmt: skip
    target = one * (drift.critical_value + math.log(moved.among))
    bound = comparison.bounds(np.array([True]), target)
    distance = share - moved.usual
    is_new = moved.predicate.op == "eq" and moved.predicate.value not in (cells.known or ())
    ops = [one.op for one in cells.predicates]
    index = ops.index("in") if not is_new and "in" in ops else ops.index("not_in")
    part = rows / own.row_count
    return replace(
        drift,
        distance=distance,
        bound=float(min(bound[0], np.nextafter(distance, 0.0))),
        p_value=min(1.0, 2.0 * math.exp(-ratio)),
        likelihood_ratio=ratio,
        cell_index=index,
        predicate=moved.predicate,
        share_reference=moved.shown * known.present_count / known.row_count,
        share_window=share * part,
        share_interval=wilson(share * rows, own.row_count),
        window_count=1,
        levels=(),
        others_kept=False,
    )
