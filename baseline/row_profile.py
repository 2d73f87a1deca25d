"""What a baseline keeps of whole rows, the document rows.json.

The order of columns, shares of repeated rows and ids, decimals of numbers, shares of numbers at a
column's edges, and how often a day repeats the day before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.column_order import LEAST_DAYS, ColumnOrder, OrderCounter
from driftline.baseline.hour_marks import Copies, HourMarker
from driftline.baseline.row_digests import MOST_DECIMALS, NO_NUMBER, RowDigests
from driftline.baseline.value_edges import EdgeCounter, EdgeShares
from driftline.baseline.value_runs import TimeOrder
from driftline.errors import InputError
from driftline.stats.blocks import (
    MINIMUM_BLOCKS,
    PARTIAL_SHARE,
    dispersion,
    upper_factor,
)

ROW_PROFILE_FORMAT = 1
# A day, a week, four weeks.
BLOCK_HOURS = (24, 168, 672)
# Of fewer rows, or numbers of a column, nothing is kept.
LEAST_ROWS = 100


@dataclass(frozen=True, slots=True)
class RepeatScale:
    """How often something repeats within blocks of one length."""

    hours: int  # Length of a block; 0: all rows are one.
    rows: float  # Different rows of the mean block.
    digests: int  # Different rows that the share was counted on.
    share: float  # Of these, those that come more than once in the same block, 0-1.
    # How many times more the blocks differ than by chance, at least 1.
    effect: float


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often rows, or ids, repeat in the reference."""

    columns: tuple[str, ...]  # What makes rows equal.
    choosers: tuple[str, ...]  # Columns by which rows are chosen, as `RowDigests` does it.
    scales: tuple[RepeatScale, ...]  # From short blocks to all rows.

    @classmethod
    def of(cls, found: RowDigests) -> Repeats | None:
        """Return the counts; None of few rows."""
        if found.row_count < LEAST_ROWS or not len(found.keys):
            return None
        grown, scales = float(1 << found.level), []
        for hours in BLOCK_HOURS if found.event_time else ():
            rows, extras = found.extras(hours)
            kept = rows >= PARTIAL_SHARE * np.median(rows) if len(rows) else rows > 0
            rows, extras = rows[kept], extras[kept]
            if len(rows) >= MINIMUM_BLOCKS:
                effect = float(dispersion(extras[:, None], rows)[0]) * upper_factor(len(rows))
                share = float(extras.sum() / rows.sum())
                mean = float(rows.mean()) * grown
                scales.append(RepeatScale(hours, mean, int(rows.sum()), share, max(effect, 1.0)))
        (rows,), (extras,) = found.extras()
        effect = max((one.effect for one in scales), default=1.0)
        whole = RepeatScale(0, float(found.row_count), int(rows), float(extras / rows), effect)
        return cls(found.columns, found.choosers, (*scales, whole))


@dataclass(frozen=True, slots=True)
class Decimals:
    """Distribution of the decimals of a column's numbers in the reference."""

    column: str
    count: int  # Numbers looked at, without frequent values.
    # Shares of them with at most 0, 1, … 6 decimals, 0-1, and how many times more these differ from
    # day to day than by chance, at least 1.
    shares: tuple[float, ...]
    effects: tuple[float, ...]

    @classmethod
    def all_of(cls, found: RowDigests) -> tuple[Decimals, ...]:
        """Return those of each column with enough numbers."""
        kept = (
            cls._of(name, found.decimals[:, at], found.hours // BLOCK_HOURS[0], found.chosen)
            for at, name in enumerate(found.measured)
            if len(found.decimals)
        )
        return tuple(one for one in kept if one is not None)

    @classmethod
    def _of(
        cls, column: str, decimals: np.ndarray, days: np.ndarray, chosen: np.ndarray
    ) -> Decimals | None:
        known = decimals != NO_NUMBER
        decimals, days = decimals[known], days[known]
        if not len(decimals):
            return None
        # Rows are chosen by their values: rows that one value chose tell as much as one (Kish).
        alike = np.unique(chosen[known], return_counts=True)[1].astype(np.float64)
        count = int(len(decimals) ** 2 / (alike**2).sum())
        if count < LEAST_ROWS:
            return None
        _, places = np.unique(days, return_inverse=True)
        size = MOST_DECIMALS + 1
        counts = np.bincount(places * size + decimals, minlength=size * (places.max() + 1))
        at_most = counts.reshape(-1, size).cumsum(axis=1)
        rows = at_most[:, -1]
        shares = at_most[:, :-1].sum(axis=0) / rows.sum()
        effects = np.ones(MOST_DECIMALS)
        if len(rows) >= MINIMUM_BLOCKS:
            found = dispersion(at_most[:, :-1], rows.astype(float)) * upper_factor(len(rows))
            effects = np.maximum(found, 1.0)
        return cls(column, count, tuple(shares.tolist()), tuple(effects.tolist()))


@dataclass(frozen=True, slots=True)
class RowProfile:
    """Properties of whole rows."""

    orders: tuple[ColumnOrder, ...] = ()
    rows: Repeats | None = None  # None: of too few rows, or rows without features.
    ids: Repeats | None = None  # None: no column of ids.
    decimals: tuple[Decimals, ...] = ()
    edges: tuple[EdgeShares, ...] = ()
    copies: tuple[Copies, ...] = ()

    def _or_none(self) -> RowProfile | None:
        return None if self == RowProfile() else self

    def without(self, columns: Collection[str]) -> RowProfile | None:
        """Return what does not depend on some columns; None where nothing is left."""
        gone = {*columns}
        rows, ids = (
            None if one is None or gone & {*one.columns} else one for one in (self.rows, self.ids)
        )
        return RowProfile(
            tuple(one for one in self.orders if not gone & {*one.pair}),
            rows,
            ids,
            tuple(one for one in self.decimals if one.column not in gone),
            tuple(one for one in self.edges if one.column not in gone),
            tuple(one for one in self.copies if one.column not in gone),
        )._or_none()

    def to_json(self) -> str:
        """Write it as the document rows.json."""
        found = {"format": ROW_PROFILE_FORMAT, **asdict(self)}
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> RowProfile:
        """Read what to_json wrote."""
        try:
            found: dict[str, Any] = json.loads(text)
            version = found["format"]
            if version != ROW_PROFILE_FORMAT:
                raise InputError(
                    f"format {version}; this driftline reads {ROW_PROFILE_FORMAT}: "
                    "make the baseline again"
                )
            return cls(
                tuple(ColumnOrder(**one) for one in found["orders"]),
                _repeats(found["rows"]),
                _repeats(found["ids"]),
                tuple(
                    Decimals(
                        one["column"], one["count"], *map(tuple, (one["shares"], one["effects"]))
                    )
                    for one in found["decimals"]
                ),
                tuple(_edge(one) for one in found["edges"]),
                tuple(Copies(**one) for one in found["copies"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"damaged ({error}); make the baseline again") from error


def _repeats(found: Mapping[str, Any] | None) -> Repeats | None:
    if found is None:
        return None
    scales = tuple(RepeatScale(**one) for one in found["scales"])
    return Repeats(tuple(found["columns"]), tuple(found["choosers"]), scales)


def _edge(found: Mapping[str, Any]) -> EdgeShares:
    pairs = {name: tuple(found[name]) for name in ("reaching", "others")}
    return EdgeShares(**{**found, **pairs})


@dataclass(slots=True)
class RowReading:
    """Counts properties of whole rows while the reference is read."""

    orders: OrderCounter
    rows: RowDigests
    ids: RowDigests  # Of no columns where no column holds ids.
    edges: EdgeCounter
    marks: HourMarker

    def anew(self) -> RowReading:
        """Return a reading without rows, for a part of the data."""
        edges = EdgeCounter(self.edges.columns, self.edges.event_time)
        marks = HourMarker(self.marks.columns)
        return RowReading(replace(self.orders), replace(self.rows), replace(self.ids), edges, marks)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self.orders.update(batch)
        self.rows.update(batch)
        self.ids.update(batch)
        if self.edges.event_time is not None:
            order = TimeOrder.of(batch.column(self.edges.event_time))
            self.edges.update(batch, order)
            self.marks.update(batch, order)

    def merge(self, other: RowReading) -> RowReading:
        """Return the counts of the rows of both; neither input changes."""
        return RowReading(
            self.orders.merge(other.orders),
            self.rows.merge(other.rows),
            self.ids.merge(other.ids),
            self.edges.merge(other.edges),
            self.marks.merge(other.marks),
        )

    def result(self, span_days: float) -> RowProfile | None:
        """Return what was counted; None where nothing was.

        A reference of less than a year cannot establish an order of columns.
        """
        decimals = Decimals.all_of(self.rows)
        known = (Repeats.of(self.rows), Repeats.of(self.ids))
        orders = self.orders.orders() if span_days >= LEAST_DAYS else ()
        shares, copies = self.edges.shares(), self.marks.copies()
        return RowProfile(orders, *known, decimals, shares, copies)._or_none()
