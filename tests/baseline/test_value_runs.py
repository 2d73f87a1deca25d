"""The longest runs of equal numbers, by time: against plain counting, and in parts."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.profile import Profile
from driftline.baseline.value_runs import TimeOrder, ValueRuns
from driftline.signature import Column, Signature

MINUTE_US = 60_000_000
NUMBERS = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5, float("nan")]), max_size=80)


def runs_of(numbers: list[float], first_minute: int = 0) -> ValueRuns:
    """One number a minute."""
    times = (first_minute + np.arange(len(numbers))) * MINUTE_US
    return ValueRuns.of(times, np.array(numbers, np.float64))


def listed(runs: ValueRuns) -> dict[float, int]:
    return dict(zip(runs.values.tolist(), runs.lengths.tolist(), strict=True))


def plainly_counted(numbers: list[float]) -> dict[float, int]:
    """The longest runs by itertools.groupby, missing numbers left out."""
    found: dict[float, int] = {}
    for value, group in groupby(one for one in numbers if one == one):
        found[value] = max(found.get(value, 0), len(list(group)))
    return {value: length for value, length in found.items() if length > 1}


@given(NUMBERS)
def test_runs_are_those_that_plain_counting_finds(numbers: list[float]) -> None:
    assert listed(runs_of(numbers)) == plainly_counted(numbers)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_parts_in_any_order_add_up_to_the_whole(
    one: list[float], two: list[float], three: list[float]
) -> None:
    parts = [runs_of(one), runs_of(two, len(one)), runs_of(three, len(one) + len(two))]
    whole = runs_of([*one, *two, *three])

    for merged in (
        parts[0].merge(parts[1]).merge(parts[2]),
        parts[2].merge(parts[0].merge(parts[1])),
    ):
        assert listed(merged) == listed(whole)
        assert (merged.time_count, merged.hour_count) == (whole.time_count, whole.hour_count)
        assert (merged.first_length, merged.last_length) == (whole.first_length, whole.last_length)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_a_profile_keeps_runs_where_it_is_given_an_order_and_writes_them(size: int) -> None:
    profile = Profile.empty(Signature((Column("n", "feature_n", "int64"),)))
    batch = pa.record_batch({"n": pa.array([3] * 30 + [4, None, 4] + [5] * 17)})
    times = pa.array(np.arange(50) * MINUTE_US, pa.timestamp("us"))
    for at in range(0, 50, size):
        profile.update(batch.slice(at, size), order=TimeOrder.of(times.slice(at, size)))

    read = Profile.from_bytes(profile.to_bytes()).columns["n"].runs

    assert listed(read) == {3.0: 30, 4.0: 2, 5.0: 17}
    assert (read.time_count, read.end_us, read.last_length) == (49, 49 * MINUTE_US, 17)
