import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.jackson import java_double, to_jackson


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # Java's documentation of Double.toString: plain from 1e-3 up to 1e7, else computerized.
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (2333.0, "2333.0"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (0.00012345, "1.2345E-4"),
        (9999999.0, "9999999.0"),
        (10000000.0, "1.0E7"),
        (123456789.5, "1.234567895E8"),
        (-1.5e-10, "-1.5E-10"),
        (1e21, "1.0E21"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (5e-324, "5.0E-324"),
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
    ],
)
def test_doubles_print_as_java_prints_them(value, text):
    assert java_double(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_reads_back_unchanged(value):
    assert float(java_double(value)) == value


def test_layout_is_that_of_the_default_pretty_printer():
    document = {"a": 1, "b": [1.0, 2.0], "c": [{"d": True}, {"e": None}], "f": [], "g": {}}

    assert to_jackson(document) == (
        '{\n  "a" : 1,\n  "b" : [ 1.0, 2.0 ],\n  "c" : [ {\n    "d" : true\n  }, {\n'
        '    "e" : null\n  } ],\n  "f" : [ ],\n  "g" : { }\n}'
    )


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_what_is_written_reads_back_as_the_same_json(value):
    assert json.loads(to_jackson(value)) == value
