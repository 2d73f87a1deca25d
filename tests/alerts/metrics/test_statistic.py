"""Extended statistics: names as botocore's pattern has them, numbers against a plain count."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.distribution import RELATIVE_ERROR, Distribution
from driftline.alerts.metrics.statistic import compute, parse

TEN = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
WHOLE = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=100)


def stat(values, statistic, counts=None):
    return compute(Distribution.of(values, counts), parse(statistic), min(values), max(values))


# By hand, from the definitions in the CloudWatch User Guide, "CloudWatch statistics definitions".
@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("p50", 5.0),
        ("p90", 9.0),
        ("p90.1", 10.0),
        ("p0", 1.0),
        ("p100", 10.0),
        ("tm90", 5.0),
        ("TM(:90%)", 5.0),
        ("TM(10%:90%)", 5.5),
        ("TM(10%:)", 6.0),
        ("TM(2:5)", 4.0),
        ("IQM", 5.5),
        ("TM(25%:75%)", 5.5),
        ("wm90", (sum(range(1, 10)) + 9) / 10),
        ("WM(20%:90%)", (2 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 9) / 10),
        ("WM(3:5)", (3 * 3 + 4 + 5 * 6) / 10),
        ("tc90", 9.0),
        ("TC(80%:)", 2.0),
        ("TC(2:5)", 3.0),
        ("ts90", 45.0),
        ("TS(80%:)", 19.0),
        ("TS(8:)", 19.0),
        ("PR(:3)", 30.0),
        ("PR(3:5)", 20.0),
        ("PR(9:)", 10.0),
        ("TC(100:)", 0.0),
        ("PR(100:)", 0.0),
        ("TM(100:)", None),
    ],
)
def test_ten_values_have_the_statistics_that_the_guide_defines(statistic, expected):
    found = stat(TEN, statistic)
    assert found == expected or math.isclose(found, expected)


def test_the_iqm_takes_a_part_of_the_values_that_a_quartile_cuts():
    # Quartiles of six values lie at 1.5 and 4.5 of them: halves of 2 and of 5 count.
    assert math.isclose(stat([1, 2, 3, 4, 5, 6], "IQM"), (2 / 2 + 3 + 4 + 5 / 2) / 3)


@given(WHOLE, st.integers(0, 100))
def test_percentiles_are_of_nearest_rank_also_for_negative_values(values, p):
    # numpy's method "inverted_cdf" is the same definition.
    expected = np.percentile(values, p, method="inverted_cdf")
    assert stat(values, f"p{p}") == expected


@given(WHOLE, st.integers(-60, 60), st.integers(1, 40))
def test_bounds_by_value_leave_out_the_lower_and_keep_the_upper(values, low, width):
    inside = [value for value in values if low < value <= low + width]
    bounds = f"({low}:{low + width})"
    assert stat(values, "TC" + bounds) == len(inside)
    assert math.isclose(stat(values, "PR" + bounds), 100 * len(inside) / len(values))
    mean = stat(values, "TM" + bounds)
    assert mean is None if not inside else math.isclose(mean, np.mean(inside), abs_tol=1e-9)


@given(WHOLE, st.integers(1, 99))
def test_what_two_bounds_part_adds_up_to_the_whole(values, share):
    below, above = stat(values, f"TS(:{share}%)"), stat(values, f"TS({share}%:)")
    assert math.isclose(below + above, sum(values), abs_tol=1e-6)
    below, above = stat(values, f"TC(:{share}%)"), stat(values, f"TC({share}%:)")
    assert math.isclose(below + above, len(values), abs_tol=1e-6)


def test_percentiles_on_the_grid_are_off_by_no_more_than_the_stated_error():
    values = np.random.default_rng(6).lognormal(size=20_001) - 1
    for p in (0.1, 1, 50, 99, 99.99):
        true = np.percentile(values, p, method="inverted_cdf")
        found = compute(Distribution.of(values), parse(f"p{p}"), values.min(), values.max())
        assert abs(found - true) <= RELATIVE_ERROR * abs(true) * (1 + 1e-9)


def test_no_percentile_lies_beyond_the_extremes():
    values = np.linspace(1, 2, 1000)
    found = Distribution.of(values)
    assert compute(found, parse("p100"), 1.0, 2.0) == 2.0
    assert compute(found, parse("p0"), 1.0, 2.0) == 1.0


@pytest.mark.parametrize(
    "text",
    ["p101", "p", "P99", "p99.12345678901", "average", "TM(:)", "PR(1%:2%)", "TM(1%:2)", "TM(5:2)",
     "TM(1 : 2)", "p99\n", "", "iqm", "p-1", "o5"],
)  # fmt: skip
def test_other_names_are_refused_with_what_is_expected(text):
    with pytest.raises(DatapointError, match="expected one of SampleCount, Average"):
        parse(text)
