"""Finds changes that no season can bring, in every window, whatever the drift test says.

For a slow process such as weather the drift test must be patient. But a season moves all sources
together and by little. So a source is compared with the others of the same window (one segment
apart from all others, back in line after a known conversion), and the whole column with the
reference for changes by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import betainc

from driftline.baseline.blocks import PARTIAL_SHARE, BlockCounts
from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import Predicate
from driftline.baseline.sample import RowKeeper
from driftline.formats.arrow_types import plain_array
from driftline.formats.coercion import coerce
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.significance import MIN_ROWS, Numbers, likelihood_ratio
from driftline.stats.calendar_regression import SEASON_DAYS
from driftline.stats.distances.units import (
    APART,
    UnitChange,
    suspect_unit,
)

# Rows of which values are looked at, spread evenly over the window.
SAMPLE_ROWS = 20_000
# Values kept in all, so that thousands of columns do not fill the memory (128 MB of numbers); but
# never fewer rows than can show a segment apart from the others.
SAMPLE_CELLS = 1 << 24
FEWEST_ROWS = 2_000
# So many times the reference's whole range beyond its ends is no weather, no sale, no holiday; of a
# reference that has seen all seasons once is enough, where it has no long tails itself
# (docs/why/false-alarms.md).
FAR_RANGES = 10.0
FAR_RANGES_OF_YEAR = 1.0
TAIL_RANGES = 3.0
TAILS = (0.01, 0.99)
FAR_SHARE = 0.01
# In a segment's own reference the values of these rows were rarer than this, and now they are the
# rule: then it is the segment that has changed, not its share of the traffic.
RARE_IN_SEGMENT = 0.25
COMMON_IN_SEGMENT = 0.65
# What an hour of the reference held is an event, and no chance of its rows, where these would hold
# as many by less than this; a reference of three years has some ten thousand hours.
EVENT_CHANCE = 1e-6
# Segments that vary within a window by less than this part of what the column varies by.
EVENT_SPREAD = 0.25
SEGMENT_LEVELS = 50
# Columns of numbers laid beside segments, about 60 microseconds each: with thousands of columns all
# pairs would take minutes.
PAIRS_MAX = 20_000
FEWEST_SEGMENTS = 4


@dataclass(frozen=True, slots=True)
class Implausible:
    """One column with implausible values."""

    column: str
    predicate: Predicate
    # The conversion that would explain the rows; None when they are only far out.
    unit: UnitChange | None
    where: str  # The segment, such as ``origin = "EWR"``; "" for the whole column.
    # Shares of rows that meet the predicate, 0-1; the reference's is an upper bound.
    share_window: float
    share_reference: float
    evidence: float  # Log-likelihood ratio of that difference, in nats.


class Sampler:
    """Keeps some rows out of an unknown number."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        wide = SAMPLE_CELLS // max(len(columns), 1)
        self._rows = RowKeeper({}, min(2 * SAMPLE_ROWS, max(wide, FEWEST_ROWS)))

    def update(self, batch: pa.RecordBatch) -> None:
        """Keep the sampled rows of a batch."""
        kinds = dict(zip(batch.schema.names, batch.schema.types, strict=True))
        # Of lists nothing is looked for, and those of embeddings would fill the memory.
        names = [name for name in self.columns if name in kinds and not _is_list(kinds[name])]
        self._rows.keep(
            batch, lambda at: {name: plain_array(batch[name].take(pa.array(at))) for name in names}
        )

    def merge(self, other: Sampler) -> Sampler:
        """Return the sample of the rows of both, the other's after these."""
        merged = Sampler(self.columns)
        merged._rows = self._rows.merge(other._rows)
        return merged

    def table(self) -> pa.Table:
        """Return the rows that were kept, in their order."""
        return self._rows.table()


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind))


def find_implausible(
    sample: pa.Table,
    references: Mapping[str, ReferenceColumn],
    profiles: Mapping[str, ColumnProfile],
    window: Mapping[str, ColumnProfile],
    days: Mapping[str, float],
    *,
    blocks: BlockCounts | None = None,
    length_h: int = 1,
) -> list[Implausible]:
    """Check every numeric column of a window of `length_h` hours.

    `days` holds the number of days of reference, by column; `blocks` its hours.
    """
    present = set(sample.column_names)
    numbers = sum(reference.cells.is_number for reference in references.values())
    segments = _segments(sample, references, limit=max(FEWEST_SEGMENTS, PAIRS_MAX // (numbers + 1)))
    found = []
    for name, reference in references.items():
        if not reference.cells.is_number or name not in present:
            continue
        if reference.counts[:-2].sum() < MIN_ROWS:  # A few values have no range.
            continue
        values = _numbers(sample.column(name))
        one = (
            _in_segment(name, values, reference, segments, blocks, length_h)
            or _in_column(name, values, reference, profiles.get(name), window[name])
            or _far_out(
                name,
                values,
                reference,
                window[name],
                reach=_reach(reference, profiles.get(name), days.get(name)),
            )
        )
        if one is not None:
            found.append(one)
    return found


@dataclass(frozen=True, slots=True)
class _Segments:
    """One text column of the sample: its frequent levels, and each row's level."""

    column: str
    levels: tuple[str, ...]
    shares: tuple[float, ...]
    codes: np.ndarray


def _segments(
    sample: pa.Table, references: Mapping[str, ReferenceColumn], *, limit: int
) -> list[_Segments]:
    """Find up to `limit` columns whose levels are frequent enough, on both sides, to be sources."""
    found: list[_Segments] = []
    present = {*sample.column_names}
    for name, reference in references.items():
        if len(found) == limit:
            break
        cells = reference.cells
        if cells.is_number or cells.type == "timestamp" or name not in present:
            continue
        known = cells.levels[:SEGMENT_LEVELS]
        text, _ = coerce(sample.column(name), "string")
        index = pc.fill_null(pc.index_in(text, value_set=pa.array(known, pa.string())), len(known))
        codes = index.to_numpy(zero_copy_only=False).astype(np.int64)
        shares = tuple((reference.counts[: len(known)] / reference.row_count).tolist())
        found.append(_Segments(name, known, shares, codes))
    return found


def _had_alone(
    predicate: Predicate,
    reference: ReferenceColumn,
    share: float,
    blocks: BlockCounts,
    length_h: int,
) -> bool:
    """Whether a window's length of the reference held these values in about one segment alone.

    A sensor's readings of an hour are one event: a cold night of the coldest place comes again,
    however rare its readings. It is asked by the hour, because over a day all segments can hold as
    many. Independent rows are no event.
    """
    known = blocks.of(predicate.column)
    if known is None or not known.hours.size:
        return False
    starts, place = np.unique(known.hours // length_h, return_inverse=True)
    span_rows = np.bincount(place, known.rows)
    counts = known.counts[predicate.column]
    rows, held = counts.sum(axis=1), counts[:, _beyond(predicate, reference)].sum(axis=1)
    low, high = COMMON_IN_SEGMENT * share * rows, (1.0 + share) / 2.0 * rows
    alone = (held >= low) & (held < high) & (held > 0)
    spans = np.searchsorted(starts, known.hours[alone] // length_h)
    alone_rows = np.bincount(spans, rows[alone], minlength=starts.size)
    held_rows = np.bincount(spans, held[alone], minlength=starts.size)
    whole = span_rows >= PARTIAL_SHARE * np.median(span_rows)
    found = whole & (alone_rows > 0) & (alone_rows >= COMMON_IN_SEGMENT * span_rows)
    held, rows = held_rows[found], alone_rows[found]
    # The binomial tail: so many or more.
    by_chance = betainc(held, rows - held + 1.0, _share_at_most(predicate, reference))
    return bool((by_chance < EVENT_CHANCE).any())


def _in_segment(
    name: str,
    values: Numbers,
    reference: ReferenceColumn,
    segments: list[_Segments],
    blocks: BlockCounts | None,
    length_h: int,
) -> Implausible | None:
    """Find the segment whose values lie apart from all others and return when converted."""
    finite = np.isfinite(values)
    known = slice(None) if finite.all() else finite  # Nothing need be copied where all are.
    # Ends of the cells are enough to see who lies apart; only those are looked at more closely.
    cells = np.searchsorted(np.asarray(reference.cells.edges), values[known], side="right")
    size = len(reference.cells.edges) + 1
    for segment in segments:
        codes = segment.codes[known]
        levels = len(segment.levels) + 1
        counts = np.bincount(codes * size + cells, minlength=levels * size).reshape(levels, size)
        rows = counts.sum(axis=1)
        rest = counts.sum(axis=0) - counts
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = np.cumsum(counts, axis=1) / rows[:, None] - (
                np.cumsum(rest, axis=1) / rest.sum(axis=1)[:, None]
            )
        apart = np.nan_to_num(np.abs(gap).max(axis=1)) >= APART
        enough = (rows >= MIN_ROWS) & (rest.sum(axis=1) >= MIN_ROWS)
        for level in np.flatnonzero(apart[:-1] & enough[:-1]):
            inside = codes == level
            found = _segment_unit(
                name, values[known], inside, reference, segment, int(level), len(values)
            )
            if found is None:
                continue
            share = segment.shares[int(level)]
            if found.unit is not None and _varies_unconverted(
                found.unit.factor, values[known], codes, int(level), reference
            ):
                continue
            if blocks is None or not _had_alone(
                found.predicate, reference, share, blocks, length_h
            ):
                return found
    return None


def _varies_unconverted(
    factor: float, values: Numbers, codes: np.ndarray, level: int, reference: ReferenceColumn
) -> bool:
    """Whether a segment's values vary as the others' do, and would not once converted.

    Where segments hardly vary within the window, as sensors in an hour, their location is one
    event, but their variation still shows the unit: a reading is as noisy on a cold night.
    """
    spreads = {
        one: float(np.subtract(*np.quantile(values[codes == one], [0.75, 0.25])))
        for one in np.flatnonzero(np.bincount(codes) >= MIN_ROWS).tolist()
    }
    own = spreads.pop(level, 0.0)
    others = float(np.median([*spreads.values()])) if spreads else 0.0
    below = np.cumsum(reference.counts[:-2]) / max(reference.counts[:-2].sum(), 1.0)
    at = np.minimum(np.searchsorted(below, [0.75, 0.25]), len(reference.cells.edges) - 1)
    usual = float(np.subtract(*np.asarray(reference.cells.edges)[at]))
    if min(own, others) <= 0.0 or others > EVENT_SPREAD * usual:
        return False
    return bool(abs(np.log(own / others)) < abs(np.log(abs(factor) * own / others)))


def _segment_unit(
    name: str,
    values: Numbers,
    inside: np.ndarray,
    reference: ReferenceColumn,
    segment: _Segments,
    level: int,
    sample_rows: int,
) -> Implausible | None:
    """Test one segment: the reference differs, and a conversion explains it."""
    own, others = values[inside], values[~inside]
    predicate = _between(name, own, others)
    matched = _matches(predicate, own)
    at_most = _share_at_most(predicate, reference)
    # Of a level with share s, at most p / s of the rows can have met the condition.
    if matched < COMMON_IN_SEGMENT or at_most > RARE_IN_SEGMENT * segment.shares[level]:
        return None
    unit = suspect_unit(own, others)
    if unit is None:
        return None
    share = float(_mask(predicate, values).sum()) / max(sample_rows, 1)
    strength = likelihood_ratio(
        np.array([_matches(predicate, others)]),
        float(others.size),
        np.array([matched]),
        float(own.size),
        tolerance=0.0,
    )
    where = f'{segment.column} = "{segment.levels[level]}"'
    return Implausible(name, predicate, unit, where, share, at_most, float(strength[0]))


def _between(name: str, own: Numbers, others: Numbers) -> Predicate:
    """Return the tightest cut that leaves all rows of the others on one side.

    Where too few rows lie beyond it, return the cut that separates the samples best.
    """
    below = float(np.median(own)) < float(np.median(others))
    beyond = own[own < others.min()] if below else own[own > others.max()]
    if beyond.size >= COMMON_IN_SEGMENT * own.size:
        edge = float(beyond.max() if below else beyond.min())
        return Predicate(name, "le" if below else "ge", edge)
    points = np.sort(own)
    inside = np.arange(1, points.size + 1) / points.size
    outside = np.searchsorted(np.sort(others), points, side="right") / others.size
    best = int(np.argmax(np.abs(inside - outside)))
    return Predicate(name, "le" if below else "gt", float(points[best]))


def _mask(predicate: Predicate, values: Numbers) -> np.ndarray:
    cut = float(predicate.value or 0.0)
    compare = {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
    found: np.ndarray = compare[predicate.op](values, cut)
    return found


def _matches(predicate: Predicate, values: Numbers) -> float:
    return float(_mask(predicate, values).mean()) if values.size else 0.0


def _share_at_most(predicate: Predicate, reference: ReferenceColumn) -> float:
    """Bound the reference's share of rows that meet a condition, by the cells around its cut."""
    return float(reference.counts[_beyond(predicate, reference)].sum()) / reference.row_count


def _beyond(predicate: Predicate, reference: ReferenceColumn) -> slice:
    """Return the cells that may hold rows meeting a condition."""
    edges = np.asarray(reference.cells.edges)
    # Cell i ends just below edge i, so the cell that holds the cut is counted whole.
    last = int(np.searchsorted(edges, float(predicate.value or 0.0), side="right"))
    return slice(0, last + 1) if predicate.op in ("lt", "le") else slice(last, len(edges) + 1)


def _in_column(
    name: str,
    values: Numbers,
    reference: ReferenceColumn,
    profile: ColumnProfile | None,
    window: ColumnProfile,
) -> Implausible | None:
    """Find a column that came as a whole in a unit orders of magnitude off."""
    if profile is None or profile.sketch.count == 0 or window.cell_counts is None:
        return None
    known, found = reference.counts[:-2], window.cell_counts[:-2]
    if min(known.sum(), found.sum()) < MIN_ROWS:
        return None
    gap = np.cumsum(known) / known.sum() - np.cumsum(found) / found.sum()
    if np.abs(gap).max() < APART:
        return None
    items, weights = profile.sketch.weighted()
    own = values[np.isfinite(values)]
    unit = suspect_unit(own, items, expected_weights=weights, far_only=True)
    if unit is None:
        return None
    below = float(np.median(own)) < float(np.average(items, weights=weights))
    cut = float(np.quantile(own, 0.99 if below else 0.01))
    predicate = Predicate(name, "le", cut) if below else Predicate(name, "ge", cut)
    return _against_reference(name, predicate, unit, own, reference, len(values))


def _reach(reference: ReferenceColumn, profile: ColumnProfile | None, days: float | None) -> float:
    """Return how far beyond a reference of this many days values become implausible."""
    cells = reference.cells
    span = (cells.maximum or 0.0) - (cells.minimum or 0.0)
    if days is None or days < SEASON_DAYS or profile is None or profile.sketch.count == 0:
        return FAR_RANGES * span
    low, high = profile.sketch.quantiles(np.asarray(TAILS)).tolist()
    has_tails = span > TAIL_RANGES * (high - low)
    return (FAR_RANGES if has_tails else FAR_RANGES_OF_YEAR) * span


def _far_out(
    name: str,
    values: Numbers,
    reference: ReferenceColumn,
    window: ColumnProfile,
    *,
    reach: float,
) -> Implausible | None:
    """Find values implausibly far beyond the reference."""
    low, high = reference.cells.minimum, reference.cells.maximum
    if low is None or high is None or high <= low or window.moments.count == 0:
        return None
    own = values[np.isfinite(values)]
    for predicate, outermost in (
        (Predicate(name, "gt", high + reach), window.moments.maximum),
        (Predicate(name, "lt", low - reach), -window.moments.minimum),
    ):
        end = float(predicate.value or 0.0)
        if outermost <= (end if predicate.op == "gt" else -end):
            continue
        if _mask(predicate, own).sum() >= max(FAR_SHARE * len(values), 3):
            return _against_reference(name, predicate, None, own, reference, len(values))
    return None


def _against_reference(
    name: str,
    predicate: Predicate,
    unit: UnitChange | None,
    own: Numbers,
    reference: ReferenceColumn,
    sample_rows: int,
) -> Implausible:
    share = float(_mask(predicate, own).sum()) / max(sample_rows, 1)
    expected = min(_share_at_most(predicate, reference), share)
    strength = likelihood_ratio(
        np.array([expected]),
        reference.row_count,
        np.array([share]),
        float(sample_rows),
        tolerance=0.0,
    )
    return Implausible(name, predicate, unit, "", share, expected, float(strength[0]))


def _numbers(array: pa.ChunkedArray) -> Numbers:
    plain, _ = coerce(array, "double")
    values = np.asarray(plain.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isinf(values), np.nan, values)
