"""Faults that no single column shows: reversed order, repeated rows, hours without rows.

Shapes: D days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US, BlockCounts
from driftline.baseline.column_order import (
    LEAST_ROWS,
    WEEK_DAYS,
    ColumnOrder,
    OrderCounter,
)
from driftline.baseline.hour_marks import HourMarker
from driftline.baseline.lengths import no_counts
from driftline.baseline.row_digests import RowDigests
from driftline.baseline.row_hashes import is_captured
from driftline.baseline.row_profile import Repeats, RowProfile
from driftline.baseline.times import run_starts
from driftline.baseline.value_runs import TimeOrder
from driftline.capture.windows.window import Window
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.data_quality.copied_day_check import copied_day_drafts
from driftline.monitors.kinds.data_quality.frozen_check import frozen_drafts
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.kinds.data_quality.repeats_check import decimals_drafts, repeats_draft
from driftline.monitors.kinds.data_quality.saturation_check import saturation_drafts
from driftline.monitors.results.violation import MISSING_COLUMNS, Draft, percent
from driftline.monitors.rules.outcome import RuleCondition

# An order is broken by more than this share of a window, and by more than so many times the
# reference's worst day, or week (docs/why/row-faults.md).
LEAST_BROKEN = 0.1
WORST_FACTOR = 3
DAY_H = 24
# Days with fewer hours that have rows say nothing of the others.
LEAST_HOURS = 12
# Hours without rows cost this part of a monitor's false alarms.
HOURS_PART = 0.01
# A shorter reference has not seen the hours of all weekdays often enough.
LEAST_DAYS = 27
# In a reference of less than a year, hours beside those that mostly have no rows move with the
# clocks: what opens at eight in winter opens at seven, by UTC, in summer.
YEAR_DAYS = 330
CLOSED_SHARE = 0.5
# The column of captured rows that says which of its request a row is.
ROW_INDEX = "row_index"
# Checks that tell that a column lost values, and that its values are others altogether.
LOSES_VALUES = frozenset(
    {"completeness_check", "constant_check", "data_type_check", "missing_column_check"}
)
OTHER_VALUES = frozenset({"constant_check", "data_type_check", "unit_change_check"})
# Stands in the place of a feature's name.
LOST_HOURS = "Lost hours"


@dataclass(slots=True, eq=False)
class RowCounter:
    """What is counted of a window's rows as wholes; parts add up exactly."""

    orders: OrderCounter = field(default_factory=partial(OrderCounter.start, ()))
    rows: RowDigests = field(default_factory=partial(RowDigests, (), ()))
    ids: RowDigests = field(default_factory=partial(RowDigests, (), ()))
    # int64: hours since 1970-01-01T00:00Z that have rows, ascending.
    hours: np.ndarray = field(default_factory=no_counts)
    marks: HourMarker = field(default_factory=HourMarker)

    @classmethod
    def start(cls, known: RowProfile) -> RowCounter:
        """Begin without rows; what is known of the reference's rows says what is counted."""
        orders = OrderCounter.start([one.pair for one in known.orders])
        marks = HourMarker(tuple(one.column for one in known.copies))
        return cls(orders, _digests(known.rows), _digests(known.ids), marks=marks)

    def update(self, batch: pa.RecordBatch, order: TimeOrder | None) -> None:
        """Add rows, and their order in time where it is known."""
        self.orders.update(batch)
        self.rows.update(batch)
        # All rows of a captured request share its id, which is thereby not repeated.
        is_split = batch.schema.get_field_index(ROW_INDEX) >= 0 and is_captured(batch)
        if self.ids.columns and is_split:
            self.ids.update(batch.filter(pc.equal(batch.column(ROW_INDEX), 0)))
        else:
            self.ids.update(batch)
        if order is not None and len(order.times_us):
            hours = order.times_us // HOUR_US
            self.hours = np.union1d(self.hours, hours[run_starts(hours)])
            self.marks.update(batch, order)

    def merge(self, other: RowCounter) -> RowCounter:
        """Return what is counted of the rows of both; neither input changes."""
        return RowCounter(
            self.orders.merge(other.orders),
            self.rows.merge(other.rows),
            self.ids.merge(other.ids),
            np.union1d(self.hours, other.hours),
            self.marks.merge(other.marks),
        )


def _digests(known: Repeats | None) -> RowDigests:
    return RowDigests((), ()) if known is None else RowDigests(known.columns, known.choosers)


def find_row_faults(
    found: RowCounter,
    sample: pa.Table,
    context: CheckContext,
    judgement: Judgement,
    *,
    event_time: str | None,
) -> tuple[Draft, ...]:
    """Return a draft for each fault of the rows of a window, of which a sample is given."""
    baseline, facts = context.baseline, context.rows.facts
    constraints = baseline.constraints
    if not constraints.monitoring_config.evaluate_constraints:
        return ()
    known, window = baseline.rows or RowProfile(), facts.window if facts else None
    drafts: list[Draft | None] = []
    for order in known.orders:
        if all(constraints.config(name).evaluate_constraints for name in order.pair):
            # The column whose own values drifted more.
            at_fault = max(order.pair, key=lambda name: judgement.blame.get(name, 0.0))
            drafts.append(_order_draft(found, order, at_fault, window))
    drafts = _strongest(drafts)
    drafts.append(_lost_hours_draft(found.hours, baseline.blocks, window, context.budget))
    span_h = _span_h(found, window)
    if known.ids is not None:
        drafts.append(repeats_draft(found.ids, known.ids, context, span_h))
    # Rows are alike, too, where a column that told them apart has lost its values.
    broken = {one.feature for one in judgement.drafts if one.check in LOSES_VALUES}
    if known.rows is not None and not broken & {MISSING_COLUMNS, *known.rows.columns}:
        drafts.append(repeats_draft(found.rows, known.rows, context, span_h))
    explained = {one.feature for one in judgement.drafts if one.check in OTHER_VALUES}
    explained |= {
        one.name
        for one in baseline.signature.columns
        if not constraints.config(one.name).evaluate_constraints
    }
    of_values = decimals_drafts(sample, context)
    if event_time is not None and span_h is not None:
        seasoned = baseline.blocks.spanning(YEAR_DAYS) if baseline.blocks else frozenset()
        frozen = frozen_drafts(sample, context, event_time, span_h, explained, seasoned=seasoned)
        explained |= {one.feature for one in frozen}
        drafts += frozen
        drafts += copied_day_drafts(found.marks, context, explained)
        if _is_week(found, window):
            of_values += saturation_drafts(
                sample, context, event_time, explained, seasoned=seasoned
            )
    drafts += [one for one in of_values if one.feature not in explained]
    return tuple(one for one in drafts if one is not None)


def _is_week(found: RowCounter, window: Window | None) -> bool:
    if window is not None:  # Of whose days the last may have no rows.
        return window.length.days >= WEEK_DAYS
    hours = found.hours
    return bool(len(hours)) and bool(hours[-1] - hours[0] >= (WEEK_DAYS - 1) * DAY_H)


def _span_h(found: RowCounter, window: Window | None) -> float | None:
    """Return the hours that a window spans; None where nobody knows."""
    if window is not None:
        return window.length.total_seconds() / 3600
    return float(found.hours[-1] - found.hours[0] + 1) if len(found.hours) else None


def _strongest(drafts: Iterable[Draft | None]) -> list[Draft | None]:
    """Keep one draft for each column at fault: what is out of order with one is with others."""
    best: dict[str, Draft] = {}
    for one in drafts:
        if one is not None and (one.feature not in best or one.share > best[one.feature].share):
            best[one.feature] = one
    return [*best.values()]


def _order_draft(
    found: RowCounter, order: ColumnOrder, at_fault: str, window: Window | None
) -> Draft | None:
    """Compare how often two columns are in reversed order with the reference's worst block."""
    known, broken = found.orders.totals()[order.pair]
    worst = order.worst_week if _is_week(found, window) else order.worst_day
    if len(found.hours):  # All rows of the worst day that are reversed may lie in one hour.
        worst *= max(1.0, DAY_H / (found.hours[-1] - found.hours[0] + 1))
    if known < LEAST_ROWS or broken <= max(LEAST_BROKEN, WORST_FACTOR * worst) * known:
        return None
    before = order.broken_count / order.row_count
    words = f"{order.upper} below {order.lower} in {percent(broken / known)} of rows"
    phrase = f"where {order.upper} is below {order.lower}"
    rule = {"check": "expression", "expression": f"`{order.upper}` >= `{order.lower}`"}
    return Draft(
        feature=at_fault,
        check="order_check",
        description=(
            f"{order.upper} is below {order.lower} in {broken:,} of {known:,} rows; "
            f"in the reference in {order.broken_count:,} of {order.row_count:,}."
        ),
        what=f"{words} (reference {percent(before)})",
        predicate=RuleCondition(
            at_fault, phrase, partial(_is_reversed, *order.pair), rule=rule, columns=order.pair
        ),
        share_reference=before,
        share=broken / known - before,
        severity="page",
    )


def _is_reversed(upper: str, lower: str, batch: pa.RecordBatch) -> pa.BooleanArray:
    """Mark the rows in which one column is below another."""
    numbers = (
        coerce(batch.column(name), "double")[0].to_numpy(zero_copy_only=False)
        for name in (upper, lower)
    )
    return pa.array(np.less(*numbers))


def _lost_hours_draft(
    hours: NDArray[np.int64],
    reference: BlockCounts | None,
    window: Window | None,
    budget: Budget,
) -> Draft | None:
    """Find hours of the day that have no row on any day of a window."""
    if reference is None or not reference.counts or not len(hours):
        return None
    first, last = int(hours[0]), int(hours[-1]) + 1
    if window is not None:
        first, last = (int(at.timestamp() // 3600) for at in (window.start, window.end))
    lost = lost_hours(hours, (first, last), reference, HOURS_PART * budget.per_window)
    if not lost:
        return None
    days = min(one.day_count for one in lost)
    usual = min(one.reference_days_with_rows for one in lost)
    spans = " and ".join(_spans([one.hour for one in lost]))
    what = (
        f"no rows from {spans} UTC on any of {days:,} days "
        f"(reference: rows on {usual:,} of {lost[0].reference_days:,} days)"
    )
    return Draft(
        feature=LOST_HOURS,
        check="lost_hour_check",
        description=f"Hours without rows: {what}.",
        what=what,
        share=len(lost) / DAY_H,
        severity="ticket",
    )


@dataclass(frozen=True, slots=True)
class LostHour:
    """An hour of the day, UTC, without a row on all days of a window."""

    hour: int  # 0-23.
    day_count: int  # Days of the window that could have had rows then.
    reference_days: int
    reference_days_with_rows: int


def lost_hours(
    hours: NDArray[np.int64],
    span: tuple[int, int],
    reference: BlockCounts,
    alpha: float,
) -> tuple[LostHour, ...]:
    """Find the hours of the day without a row on any day, which chance leaves out less often.

    Only days with rows in twelve hours or more count, in reference and window. An hour that is
    missing on a share q of days is missing on all of n by chance q^n. That share is the
    reference's, or that of the window's other hours that are no busier than twice as much, if that
    is larger: a stream that has shrunk leaves hours empty everywhere.

    Parameters
    ----------
    hours, span
        Hours since 1970 that have rows, ascending, and the half-open span of hours looked at.
    reference
        The reference's rows by the hour.
    alpha
        The chance of a false alarm that is accepted.
    """
    known = _by_day(reference.hours, (int(reference.hours[0]), int(reference.hours[-1]) + 1))
    seen = _by_day(hours, span)
    days = len(known)
    if days < LEAST_DAYS:
        return ()
    with_rows = (known > 0).sum(axis=0)
    missing = 1.0 - with_rows / days
    possible = (seen >= 0).sum(axis=0)
    is_empty = (seen <= 0).all(axis=0)
    chance = (np.maximum(missing, _share_empty(seen, reference)) + 1.0 / days) ** possible
    is_lost = is_empty & (DAY_H * chance < alpha)
    if days < YEAR_DAYS:
        closed = missing > CLOSED_SHARE
        is_lost &= ~(np.roll(closed, 1) | np.roll(closed, -1))
    return tuple(
        LostHour(int(hour), int(possible[hour]), days, int(with_rows[hour]))
        for hour in np.flatnonzero(is_lost)
    )


def _share_empty(seen: NDArray[np.int8], reference: BlockCounts) -> NDArray[np.float64]:
    """Return the share of days without rows in a window's comparable hours, shape (24,)."""
    counts = next(iter(reference.counts.values())).sum(axis=1)
    rows = np.bincount(reference.hours % DAY_H, weights=counts, minlength=DAY_H)
    # Hours by hours: those that have rows in the window, and are no busier than twice as much.
    comparable = (rows <= 2.0 * rows[:, None]) & (seen > 0).any(axis=0)
    empty, whole = (seen == 0).sum(axis=0), (seen >= 0).sum(axis=0)
    return np.asarray((comparable @ empty + 1.0) / (comparable @ whole + 1.0))


def _by_day(hours: NDArray[np.int64], span: tuple[int, int]) -> NDArray[np.int8]:
    """Return for each day, shape (D, 24): 1 an hour has rows, 0 it has none, -1 not in the span.

    Days with rows in fewer than twelve hours are left out.
    """
    first, last = span[0] // DAY_H, -(-span[1] // DAY_H)
    found = np.zeros((last - first) * DAY_H, np.int8)
    inside = hours[(hours >= span[0]) & (hours < span[1])]
    found[inside - first * DAY_H] = 1
    found[: span[0] - first * DAY_H] = -1
    found[span[1] - first * DAY_H :] = -1
    by_day = found.reshape(-1, DAY_H)
    return np.asarray(by_day[(by_day > 0).sum(axis=1) >= LEAST_HOURS])


def _spans(hours: Iterable[int]) -> list[str]:
    """Write hours of the day as spans: ``07:00 to 09:00``."""
    spans: list[tuple[int, int]] = []
    for hour in hours:
        if spans and spans[-1][1] == hour:
            spans[-1] = (spans[-1][0], hour + 1)
        else:
            spans.append((hour, hour + 1))
    return [f"{first:02}:00 to {last:02}:00" for first, last in spans]
