"""Finds faults that no single column shows: reversed order, repeated rows, hours without rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.blocks import HOUR_US
from driftline.baseline.column import ColumnProfile
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
from driftline.monitors.kinds.data_quality.codes_check import exchanged_codes_drafts
from driftline.monitors.kinds.data_quality.converted_numbers_check import converted_numbers_drafts
from driftline.monitors.kinds.data_quality.copied_day_check import copied_day_drafts
from driftline.monitors.kinds.data_quality.frozen_check import frozen_drafts
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.kinds.data_quality.lost_hours_check import (
    DAY_H,
    YEAR_DAYS,
    lost_rows_draft,
)
from driftline.monitors.kinds.data_quality.repeats_check import decimals_drafts, repeats_draft
from driftline.monitors.kinds.data_quality.saturation_check import saturation_drafts
from driftline.monitors.results.violation import MISSING_COLUMNS, Draft, percent
from driftline.monitors.root_cause.faults.context import FaultContext
from driftline.monitors.root_cause.faults.conversion import KIND as UNIT_KIND
from driftline.monitors.root_cause.faults.exchanged import KIND as EXCHANGED
from driftline.monitors.root_cause.faults.exchanged import exchanged_order
from driftline.monitors.rules.condition import identifier
from driftline.monitors.rules.outcome import RuleCondition

# An order is broken by more than this share of a window, and by more than so many times the
# reference's worst day, or week (docs/why/drift-test.md).
LEAST_BROKEN = 0.1
WORST_FACTOR = 3
# The column of captured rows that says which of its request a row is.
ROW_INDEX = "row_index"
# Checks that tell that a column lost values, and that its values are others altogether.
LOSES_VALUES = frozenset(
    {"completeness_check", "constant_check", "data_type_check", "missing_column_check"}
)
OTHER_VALUES = frozenset({"constant_check", "data_type_check", "unit_change_check"})


@dataclass(slots=True, eq=False)
class RowCounter:
    """Counts properties of whole rows in a window; parts add up exactly."""

    orders: OrderCounter = field(default_factory=partial(OrderCounter.start, ()))
    rows: RowDigests = field(default_factory=partial(RowDigests, (), ()))
    ids: RowDigests = field(default_factory=partial(RowDigests, (), ()))
    # int64: hours since 1970-01-01T00:00Z that have rows, ascending.
    hours: np.ndarray = field(default_factory=no_counts)
    hour_rows: np.ndarray = field(default_factory=no_counts)  # int64: rows of each of them.
    marks: HourMarker = field(default_factory=HourMarker)

    @classmethod
    def start(cls, known: RowProfile) -> RowCounter:
        """Begin without rows; the reference's row profile decides what is counted."""
        orders = OrderCounter.start([one.pair for one in known.orders])
        marks = HourMarker(tuple(one.column for one in known.copies))
        return cls(orders, _digests(known.rows), _digests(known.ids), marks=marks)

    def update(self, batch: pa.RecordBatch, order: TimeOrder | None) -> None:
        """Add rows, optionally with their order in time."""
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
            starts = run_starts(hours)
            rows = np.diff(np.append(starts, len(hours)))
            self.hours, self.hour_rows = self._with(hours[starts], rows)
            self.marks.update(batch, order)

    def merge(self, other: RowCounter) -> RowCounter:
        """Return the counter of the rows of both; neither input changes."""
        return RowCounter(
            self.orders.merge(other.orders),
            self.rows.merge(other.rows),
            self.ids.merge(other.ids),
            *self._with(other.hours, other.hour_rows),
            self.marks.merge(other.marks),
        )

    def _with(self, hours: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add rows to hours."""
        found, places = np.unique(np.concatenate([self.hours, hours]), return_inverse=True)
        return found, np.bincount(places, np.concatenate([self.hour_rows, rows])).astype(np.int64)


def _digests(known: Repeats | None) -> RowDigests:
    return RowDigests((), ()) if known is None else RowDigests(known.columns, known.choosers)


def find_row_faults(
    found: RowCounter,
    columns: Mapping[str, ColumnProfile],
    sample: pa.Table,
    context: CheckContext,
    judgement: Judgement,
    shown: Callable[[Sequence[str]], FaultContext],
    *,
    event_time: str | None,
) -> tuple[Draft, ...]:
    """Return a draft for each fault of a window's rows.

    ``shown`` returns the context that recognises a fault's kind, for some columns.
    """
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
            draft = _order_draft(found, order, at_fault, window)
            if draft is not None:
                sides = shown(order.pair)
                fault = exchanged_order(sides, order.pair, baseline.blocks, found.hours)
                drafts.append(replace(draft, fault=fault))
    drafts = _strongest(drafts)
    hours = found.hours, found.hour_rows
    drafts.append(lost_rows_draft(*hours, baseline.blocks, window, context.budget))
    span_h = span_hours(found, window)
    if known.ids is not None:
        drafts.append(repeats_draft(found.ids, known.ids, context, span_h))
    # Rows are alike, too, where a column that told them apart has lost its values.
    broken = {one.feature for one in judgement.drafts if one.check in LOSES_VALUES}
    if known.rows is not None and not broken & {MISSING_COLUMNS, *known.rows.columns}:
        drafts.append(repeats_draft(found.rows, known.rows, context, span_h))
    explained = {one.feature for one in judgement.drafts if _has_other_values(one)}
    explained |= {
        one.name
        for one in baseline.signature.columns
        if not constraints.config(one.name).evaluate_constraints
    }
    violated = [one.feature for one in judgement.drafts]
    drafts += exchanged_codes_drafts(shown(violated), explained)
    of_values = decimals_drafts(sample, context)
    other_decimals = {one.feature for one in of_values}
    of_values += converted_numbers_drafts(
        columns, context, explained | other_decimals | _converted(judgement)
    )
    if event_time is not None and span_h is not None:
        seasoned = baseline.blocks.spanning(YEAR_DAYS) if baseline.blocks else frozenset()
        frozen = frozen_drafts(sample, context, event_time, span_h, explained, seasoned=seasoned)
        explained |= {one.feature for one in frozen}
        drafts += frozen
        drafts += copied_day_drafts(found.marks, context, explained)
        if _is_week(found, window):
            told = explained | other_decimals
            of_values += saturation_drafts(sample, context, event_time, told, seasoned=seasoned)
    drafts += [one for one in of_values if one.feature not in explained]
    return tuple(one for one in drafts if one is not None)


def _has_other_values(draft: Draft) -> bool:
    """Whether a column's whole distribution has changed."""
    is_exchanged = draft.fault is not None and draft.fault.kind == EXCHANGED
    return draft.check in OTHER_VALUES or is_exchanged


def _converted(judgement: Judgement) -> set[str]:
    """Return the columns with a reported change of unit."""
    return {
        one.feature
        for one in judgement.drafts
        if one.unit is not None or (one.fault is not None and one.fault.kind == UNIT_KIND)
    }


def _is_week(found: RowCounter, window: Window | None) -> bool:
    if window is not None:  # Of whose days the last may have no rows.
        return window.length.days >= WEEK_DAYS
    hours = found.hours
    return bool(len(hours)) and bool(hours[-1] - hours[0] >= (WEEK_DAYS - 1) * DAY_H)


def span_hours(found: RowCounter, window: Window | None) -> float | None:
    """Return the hours of a window; None where unknown."""
    if window is not None:
        return window.length.total_seconds() / 3600
    return float(found.hours[-1] - found.hours[0] + 1) if len(found.hours) else None


def _strongest(drafts: Iterable[Draft | None]) -> list[Draft | None]:
    """Keep one draft for each violating column, since it is out of order with several."""
    best: dict[str, Draft] = {}
    for one in drafts:
        if one is not None and (one.feature not in best or one.share > best[one.feature].share):
            best[one.feature] = one
    return [*best.values()]


def _order_draft(
    found: RowCounter, order: ColumnOrder, at_fault: str, window: Window | None
) -> Draft | None:
    """Compare the share of reversed rows of two columns with the reference's worst block."""
    known, broken = found.orders.totals()[order.pair]
    worst = order.worst_week if _is_week(found, window) else order.worst_day
    if len(found.hours):  # All rows of the worst day that are reversed may lie in one hour.
        worst *= max(1.0, DAY_H / (found.hours[-1] - found.hours[0] + 1))
    if known < LEAST_ROWS or broken <= max(LEAST_BROKEN, WORST_FACTOR * worst) * known:
        return None
    before = order.broken_count / order.row_count
    words = f"{order.upper} below {order.lower} in {percent(broken / known)} of rows"
    phrase = f"where {order.upper} is below {order.lower}"
    rule = {
        "check": "expression",
        "expression": f"{identifier(order.upper)} >= {identifier(order.lower)}",
    }
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
