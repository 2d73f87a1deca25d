"""The search for the rows behind violations: what it costs where very much is broken."""

import pyarrow as pa

from driftline.baseline.predicate import Predicate
from driftline.monitors.root_cause.contributors import (
    NUMBER_PAIRS_MAX,
    PAIRS_MAX,
    ContributorCounter,
    Target,
    find_contributing_rows,
)


def test_with_many_targets_few_segments_are_looked_at_and_all_rows_are_counted():
    segments = [f"s{index}" for index in range(200)]
    rows = pa.record_batch(
        {"x": [1.0, 2.0, 3.0, 4.0] * 10, **dict.fromkeys(segments, ["a", "b", "b", "b"] * 10)}
    )
    few = [Target(Predicate("x", "lt", 2.0), 0.0)]
    many = few * 1_000

    assert ContributorCounter.columns(few, segments)[-200:] == tuple(segments)
    assert len(ContributorCounter.start(many, segments).all_counts.levels) == PAIRS_MAX // 1_000
    found = find_contributing_rows([rows], many, segments)
    assert [one.row_count for one in found] == [10] * 1_000
    assert {str(one.segment) for one in found} == {
        str(find_contributing_rows([rows], few, segments)[0].segment)
    }
    assert found[0].segment is not None
    assert found[0].segment.column == "s0"


def test_however_many_targets_some_segments_are_looked_at():
    segments = [f"s{index}" for index in range(9)]
    counter = ContributorCounter.start([Target(Predicate("x", "null"), 0.0)] * 30_000, segments)

    assert list(counter.all_counts.levels) == ["s0", "s1", "s2", "s3"]


def test_with_many_targets_few_numbers_are_cut_and_read():
    numbers = [f"n{index}" for index in range(2_000)]
    targets = [Target(Predicate("x", "null"), 0.0)] * 100

    read = ContributorCounter.columns(targets, [], numbers)

    assert read[-1] == f"n{NUMBER_PAIRS_MAX // 100 - 1}"
    assert (
        len(ContributorCounter.start(targets, [], numbers).sample.numbers)
        == NUMBER_PAIRS_MAX // 100
    )
