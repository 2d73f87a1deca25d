import math

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.column_cells import column_cells
from driftline.baseline.profile import Profile
from driftline.signature import Column, Signature

SIGNATURE = Signature(
    (
        Column("n", "feature_n", "double"),
        Column("k", "feature_k", "int64"),
        Column("c", "feature_c", "string"),
        Column("b", "feature_b", "bool"),
        Column("t", "feature_t", "timestamp"),
    )
)
row = st.tuples(
    st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.0, math.nan, math.inf]),
    st.none() | st.integers(-5, 5),
    st.none() | st.sampled_from(["", "UA", "AA", "EVX"]),
    st.none() | st.booleans(),
    st.none() | st.datetimes(),
)
rows = st.lists(row, max_size=50)


def batch_of(found):
    columns = list(zip(*found, strict=True)) if found else [[]] * 5
    types = [pa.float64(), pa.int64(), pa.string(), pa.bool_(), pa.timestamp("us")]
    return pa.record_batch(
        [pa.array(list(c), t) for c, t in zip(columns, types, strict=True)], names=list("nkcbt")
    )


def profile_of(found, cells=None):
    profile = Profile.empty(SIGNATURE, cells)
    profile.update(batch_of(found))
    return profile


def counters(profile):
    """Everything that must be exactly equal however the rows were split."""
    return {
        name: (
            column.row_count,
            column.missing_count,
            column.inf_count,
            column.unfit_count,
            column.integral_count,
            column.distinct_count,
            column.moments.count,
            column.moments.minimum,
            column.moments.maximum,
            column.levels.ranked(),
            sorted(np.concatenate(column.sketch.levels).tolist()),
            None if column.cell_counts is None else column.cell_counts.tolist(),
        )
        for name, column in profile.columns.items()
    }


@given(rows)
def test_a_profile_survives_arrow(found):
    base = profile_of(found)
    cells = {name: column_cells(column) for name, column in base.columns.items()}
    profile = profile_of(found, cells)

    again = Profile.from_bytes(profile.to_bytes())

    assert counters(again) == counters(profile)
    assert again.to_bytes() == profile.to_bytes()
    assert (again.seen, again.extra, again.missing) == (profile.seen, (), ())


def test_null_nan_inf_blank_and_unfit_are_five_different_things():
    profile = Profile.empty(SIGNATURE)
    profile.update(
        pa.record_batch(
            {
                "n": [1.0, math.nan, math.inf, None, 2.5],
                "k": ["1", "2.5", "", None, "x"],
                "c": ["UA", "", None, "UA", "NA"],
            }
        )
    )

    n, k, c = (profile.columns[name] for name in "nkc")
    assert (n.missing_count, n.inf_count, n.unfit_count) == (2, 1, 0)
    assert (n.moments.count, n.integral_count) == (2, 1)
    assert (k.present_count, k.missing_count, k.unfit_count) == (3, 2, 2)
    assert (c.present_count, c.missing_count, c.distinct_count) == (3, 2, 2)
    assert n.completeness == 0.6


def test_columns_that_never_came_and_columns_nobody_knows_are_named():
    profile = Profile.empty(SIGNATURE)
    kept = pa.array([[]], pa.map_(pa.string(), pa.string()))
    profile.update(pa.record_batch({"n": [1.0], "new": [2], "unfit": kept}))

    assert profile.missing == ("k", "c", "b", "t")
    assert profile.extra == ("new",)
    assert profile.columns["k"].missing_count == 1
