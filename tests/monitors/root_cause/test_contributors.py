"""The search for the rows behind violations: what it costs where very much is broken."""

import pyarrow as pa

from driftline.baseline.predicate import Predicate
from driftline.monitors.root_cause.contributors import (
    ContributorCounter,
    Target,
    find_contributing_rows,
)
from driftline.monitors.root_cause.row_sample import COLUMNS_MAX, TARGETS_MAX, SegmentColumn


def test_with_many_targets_all_rows_are_counted_and_few_are_kept_by_target() -> None:
    rows = pa.record_batch({"x": [1.0, 2.0, 3.0, 4.0] * 10})
    targets = [Target(Predicate("x", "lt", 2.0), 0.0)] * 1_000
    counter = ContributorCounter.start(targets, [SegmentColumn("x")])

    counter.update(rows)

    assert [one.row_count for one in counter.result()] == [10] * 1_000
    assert len(counter.sample.coded(None, {}).matching) == TARGETS_MAX
    assert [one.row_count for one in find_contributing_rows([rows], targets)] == [10] * 1_000


def test_of_very_many_columns_the_first_are_read() -> None:
    columns = [SegmentColumn(f"s{index}") for index in range(COLUMNS_MAX + 9)]
    targets = [Target(Predicate("x", "null"), 0.0)]

    assert ContributorCounter.columns(targets, columns)[-1] == f"s{COLUMNS_MAX - 1}"
    assert len(ContributorCounter.start(targets, columns).sample.columns) == COLUMNS_MAX
