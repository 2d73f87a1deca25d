"""Profiles of parts against the profile of all rows: what is equal, and what is within an error."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.baseline import distinct
from driftline.baseline.profile import Profile
from driftline.signature import Column, Signature

SIGNATURE = Signature(
    tuple(
        Column(name, f"feature_{name}", kind)
        for name, kind in [
            ("n", "double"),
            ("k", "int64"),
            ("c", "string"),
            ("b", "bool"),
            ("t", "timestamp"),
            ("v", "string"),
        ]
    )
)
TYPES = [
    pa.float64(),
    pa.int64(),
    pa.string(),
    pa.bool_(),
    pa.timestamp("us", "UTC"),
    pa.list_(pa.float64()),
]
row = st.tuples(
    st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.0, math.nan, math.inf]),
    st.none() | st.integers(-5, 5) | st.integers(2**60, 2**60 + 9),
    st.none() | st.sampled_from(["", "UA", "AA-1", "x" * 2000]) | st.text(max_size=3),
    st.none() | st.booleans(),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.none() | st.lists(st.floats(-10, 10), max_size=3),
)
rows = st.lists(row, max_size=25)


def profile_of(found):
    columns = list(zip(*found, strict=True)) if found else [[]] * len(TYPES)
    arrays = [pa.array(list(c), t) for c, t in zip(columns, TYPES, strict=True)]
    profile = Profile.empty(SIGNATURE)
    profile.update(pa.record_batch(arrays, names=list("nkcbtv")))
    return profile


def facts(profile):
    """All that must be equal to the last digit, whatever the parts and their order."""
    return {
        name: (
            (one.row_count, one.missing_count, one.inf_count, one.unfit_count),
            (one.integral_count, one.moments.count, one.moments.minimum, one.moments.maximum),
            (one.sketch.count, one.distinct.hashes.tolist(), one.distinct_count),
            (one.numbers.is_complete, one.numbers.values.tolist(), one.numbers.counts.tolist()),
            one.levels.ranked() if one.levels.is_exact else None,
            (one.lengths.values.tolist(), one.lengths.counts.tolist()),
            (one.times.width_us, one.times.first.tolist(), one.times.counts.tolist()),
            (one.vectors.count, one.vectors.shortest, one.vectors.longest),
            one.vectors.counts.tolist(),
        )
        for name, one in profile.columns.items()
    }


@given(rows, rows, rows)
@settings(max_examples=settings.default.max_examples // 4)
def test_merging_is_associative_and_commutative(first, second, third):
    a, b, c = profile_of(first), profile_of(second), profile_of(third)

    whole = facts(profile_of(first + second + third))
    assert facts(a.merge(b).merge(c)) == whole
    assert facts(a.merge(b.merge(c))) == whole
    assert facts(c.merge(a).merge(b)) == whole
    assert facts(Profile.merged([b, c, a])) == whole


@given(rows, rows, rows)
@settings(max_examples=settings.default.max_examples // 2)
def test_it_is_so_too_when_levels_overflow(first, second, third):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "LEVEL_CAP", 4)
        a, b, c = profile_of(first), profile_of(second), profile_of(third)
        whole, merged = profile_of(first + second + third), c.merge(a.merge(b))

        assert merged.columns["c"].distinct_count == whole.columns["c"].distinct_count
        found, true = merged.columns["c"].lengths, whole.columns["c"].lengths
        assert found.counts.tolist() == true.counts.tolist()
        counted = [one[2] for one in first + second + third if one[2]]
        for level, count in merged.columns["c"].levels.ranked():
            if len(level) < 100:
                error = merged.columns["c"].levels.error
                assert counted.count(level) - error <= count <= counted.count(level)


def hours_of_rows(seed, hours):
    rng = np.random.default_rng(seed)
    start = datetime(2013, 1, 1, tzinfo=UTC)
    for hour in range(hours):
        count = int(rng.integers(20, 120))
        offsets = np.sort(rng.integers(0, 3600, count)).tolist()
        yield pa.record_batch(
            {
                "n": rng.lognormal(size=count) + hour / 100,
                "k": rng.integers(0, 30, count),
                "c": pa.array([f"UA{x}" for x in rng.zipf(1.4, count) % 5000]),
                "b": pa.array(rng.random(count) < 0.3),
                "t": pa.array([start + timedelta(hours=hour, seconds=s) for s in offsets]),
                "v": pa.array(rng.normal(size=(count, 8)).tolist()),
            }
        )


@pytest.fixture(scope="module")
def three_days():
    """The profile of all rows of three days, and one of each hour."""
    whole, hours = Profile.empty(SIGNATURE), []
    for batch in hours_of_rows(7, 24 * 3):
        whole.update(batch)
        hours.append(Profile.empty(SIGNATURE))
        hours[-1].update(batch)
    return whole, hours


def test_the_hours_of_three_days_merge_to_the_profile_of_all_of_them(three_days):
    whole, hours = three_days
    # Some as they were stored, the others as they are in memory.
    hours = [Profile.from_bytes(hour.to_bytes()) for hour in hours[:20]] + hours[20:]

    merged = Profile.merged(hours)

    assert facts(merged) == facts(whole)
    assert merged.row_count == whole.row_count
    number, true = merged.columns["n"], whole.columns["n"]
    assert number.moments.mean == pytest.approx(true.moments.mean, rel=1e-12)
    assert number.moments.deviation == pytest.approx(true.moments.deviation, rel=1e-9)
    error = number.sketch.rank_error + true.sketch.rank_error
    points = true.sketch.quantiles(np.linspace(0.01, 0.99, 99))
    far = np.abs(number.sketch.ranks(points) - true.sketch.ranks(points)).max()
    assert far / number.sketch.count <= error < 0.01
    vectors, both = merged.columns["v"].vectors, whole.columns["v"].vectors
    assert vectors.averages == pytest.approx(both.averages, abs=1e-12)


def test_whole_numbers_on_the_border_of_what_a_float_holds_are_told_apart():
    profile = Profile.empty(Signature((Column("k", "feature_k", "int64"),)))
    profile.update(pa.record_batch({"k": [2**53 - 1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1]}))

    assert profile.columns["k"].distinct_count == 5
