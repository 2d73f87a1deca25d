from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from driftline.formats.arrow_types import plain_array, plain_type
from driftline.formats.coercion import coerce, is_missing, unfit_mask


def coerced(values, kind, type_=None):
    array, unfit = coerce(pa.array(values, type_), kind)
    return array.to_pylist(), unfit


@pytest.mark.parametrize(
    ("values", "kind", "expected", "unfit"),
    [
        (["1", "+2", " 3 ", "x", None, ""], "int64", [1, 2, 3, None, None, None], 1),
        (["3.0", "3.5", "1e3"], "int64", [3, None, 1000], 1),
        ([3.0, 3.5, float("nan")], "int64", [3, None, None], 1),
        ([1e30, float("inf")], "int64", [None, None], 2),
        (
            ["12.5", ".5", "1.", "1e-3", "abc", "1,5"],
            "double",
            [12.5, 0.5, 1.0, 0.001, None, None],
            2,
        ),
        (["NA", "null", "7"], "double", [None, None, 7.0], 0),
        (["inf", "-inf"], "double", [float("inf"), float("-inf")], 0),
        ([1, 2], "double", [1.0, 2.0], 0),
        ([True, False], "double", [1.0, 0.0], 0),
        ([0, 1, 2], "bool", [False, True, None], 1),
        (["true", "FALSE", "1", "maybe"], "bool", [True, False, True, None], 1),
        ([10001.0, None], "string", ["10001", None], 0),
        ([1.5, 2.0], "string", ["1.5", "2"], 0),
        ([7, 8], "string", ["7", "8"], 0),
        ([True], "string", ["true"], 0),
        ([1, 2], "timestamp", [None, None], 2),
    ],
)
def test_values_take_the_promised_type_or_are_counted(values, kind, expected, unfit):
    assert coerced(values, kind) == (expected, unfit)


def test_times_are_read_with_and_without_zone_and_impossible_days_are_unfit():
    values = ["2013-01-15", "2013-01-15T06:00:00Z", "2013-01-15 06:00:00+02:00", "2013-02-30", "?"]

    found, unfit = coerced(values, "timestamp")

    assert found == [
        datetime(2013, 1, 15, tzinfo=UTC),
        datetime(2013, 1, 15, 6, tzinfo=UTC),
        datetime(2013, 1, 15, 4, tzinfo=UTC),
        None,
        None,
    ]
    assert unfit == 2


def test_the_mask_marks_exactly_the_unfit_rows():
    array = pa.array(["1", "x", None, "", "NA", "2.5"])

    assert unfit_mask(array, "double").to_pylist() == [False, True, False, False, False, False]
    assert unfit_mask(array, "int64").to_pylist() == [False, True, False, False, False, True]
    assert unfit_mask(array, "string").to_pylist() == [False] * 6


def test_null_nan_and_blank_text_are_missing_and_na_as_text_is_not():
    assert is_missing(pa.array([1.0, float("nan"), None])).to_pylist() == [False, True, True]
    assert is_missing(pa.array(["NA", "", None])).to_pylist() == [False, True, True]


@pytest.mark.parametrize(
    ("found", "plain"),
    [
        (pa.int8(), pa.int64()),
        (pa.uint64(), pa.int64()),
        (pa.float16(), pa.float64()),
        (pa.decimal128(10, 2), pa.float64()),
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.date32(), pa.timestamp("us", "UTC")),
        (pa.timestamp("ns"), pa.timestamp("us", "UTC")),
        (pa.timestamp("s", "America/New_York"), pa.timestamp("us", "UTC")),
        (pa.time32("s"), pa.string()),
        (pa.duration("ms"), pa.float64()),
        (pa.dictionary(pa.uint32(), pa.string_view()), pa.string()),
        (pa.run_end_encoded(pa.int32(), pa.int8()), pa.int64()),
        (pa.uuid(), pa.string()),
        (pa.binary(16), pa.string()),
        (pa.month_day_nano_interval(), pa.string()),
        (pa.struct([("a", pa.int64())]), pa.string()),
        (pa.list_(pa.int32()), pa.list_(pa.int64())),
        (pa.large_list(pa.float32()), pa.list_(pa.float64())),
        (pa.list_(pa.float16(), 3), pa.list_(pa.float64())),
        (pa.fixed_shape_tensor(pa.float32(), (2, 2)), pa.list_(pa.float64())),
        (pa.list_(pa.string()), pa.string()),
        (pa.list_(pa.list_(pa.int64())), pa.string()),
        (pa.binary(), pa.string()),
        (pa.null(), pa.string()),
    ],
)
def test_each_arrow_type_has_one_plain_type(found, plain):
    assert plain_type(found) == plain
    assert plain_array(pa.nulls(2, found)).type == plain


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("s"),
        pa.timestamp("s", "UTC"),
        pa.timestamp("ms", "America/New_York"),
        pa.date64(),
        pa.date32(),
    ],
    ids=str,
)
def test_times_beyond_the_reach_of_microseconds_are_no_other_times(kind):
    whole = pa.int32() if kind == pa.date32() else pa.int64()
    ends = np.iinfo(whole.to_pandas_dtype())
    far = pa.array([ends.max, 0, None, ends.min + 1, ends.min], whole).view(kind)

    found = plain_array(far)

    assert found.to_pylist() == [None, datetime(1970, 1, 1, tzinfo=UTC), None, None, None]
