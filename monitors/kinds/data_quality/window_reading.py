"""One reading of a window's rows, for all counters of data quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from driftline.baseline.cells import Cells
from driftline.baseline.derived_columns import DerivedCounter, DerivedCounts
from driftline.baseline.profile import Profile
from driftline.baseline.segments import SegmentCounter
from driftline.baseline.value_runs import TimeOrder
from driftline.capture.windows.window import ROW_IDS, UNFIT
from driftline.monitors.check_context import CheckContext
from driftline.monitors.day_test.day_counter import DayCounter
from driftline.monitors.day_test.day_test import DayTest
from driftline.monitors.kinds.data_quality.lost_hours_check import HourCounter
from driftline.monitors.kinds.data_quality.range_checks import Sampler
from driftline.monitors.kinds.data_quality.segments import SegmentPlan
from driftline.monitors.rows import UnfitCounter
from driftline.signature import Signature

# Columns that capture adds to rows: ids, and what did not fit its type.
OTHER_COLUMNS = frozenset({*ROW_IDS, UNFIT})


@dataclass(slots=True)
class WindowReading:
    """What one reading of a window gathers.

    A further field needs `update` for rows and `merge` for other parts, and then works in all
    engines.
    """

    profile: Profile
    sampler: Sampler  # Some rows, for checks that need values beside each other.
    unfit: UnfitCounter | None  # Counts, per batch, the values that capture found unfit.
    segments: SegmentCounter
    days: DayCounter
    derived: DerivedCounter
    time_column: str | None  # With each row's time, where it is known.
    hours: HourCounter = field(default_factory=HourCounter)

    @classmethod
    def start(
        cls,
        signature: Signature,
        cells: Mapping[str, Cells],
        unfit: UnfitCounter | None,
        segments: Callable[[], SegmentCounter],
        days: Mapping[str, Cells],
        derived: DerivedCounts | None,
        time_column: str | None,
    ) -> WindowReading:
        """Begin without rows; ``days`` are the cells of columns that the day test scores."""
        return cls(
            Profile.empty(signature, cells),
            Sampler([column.name for column in signature.columns if column.role == "feature"]),
            unfit,
            segments(),
            DayCounter.start(time_column or "", days),
            # As the reference's rows were counted: with their times, or without.
            DerivedCounter()
            if derived is None
            else DerivedCounter.start(
                derived.columns, None if derived.blocks is None else time_column
            ),
            time_column,
        )

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        counts = self.unfit(batch) if self.unfit else None
        known = self.profile.columns
        own = [name for name in batch.schema.names if name in known or name not in OTHER_COLUMNS]
        is_timed = self.time_column in batch.schema.names
        order = TimeOrder.of(batch.column(self.time_column)) if is_timed else None
        self.profile.update(batch.select(own), counts, order)
        if order is not None:
            self.days.update(batch, order)
            self.hours.update(order)
        self.sampler.update(batch)
        self.derived.update(batch)
        self.segments.update(batch)

    def merge(self, other: WindowReading) -> WindowReading:
        """Return the reading of the rows of both, the other's after these."""
        return WindowReading(
            self.profile.merge(other.profile),
            self.sampler.merge(other.sampler),
            self.unfit,
            self.segments.merge(other.segments),
            self.days.merge(other.days),
            self.derived.merge(other.derived),
            self.time_column,
            self.hours.merge(other.hours),
        )


def read_rows(context: CheckContext, plan: SegmentPlan | None, day_test: DayTest) -> WindowReading:
    """Read the rows once, for all counters."""
    baseline, rows = context.baseline, context.rows
    time_column = baseline.signature.event_time if rows.facts is None else rows.time_column
    segments = partial(SegmentCounter.start, (), {})
    start = partial(
        WindowReading.start,
        baseline.signature,
        baseline.cells,
        rows.unfit,
        segments if plan is None else plan.counter(baseline.cells),
        {} if time_column is None else day_test.cells,
        baseline.derived,
        time_column,
    )
    return rows.gather(start)
