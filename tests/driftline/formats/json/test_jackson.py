import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.constraints import Constraints
from driftline.baseline.statistics import Statistics
from driftline.errors import InputError
from driftline.formats.json.jackson import java_double, read_json, to_jackson

FIXTURES = Path(__file__).parents[3] / "fixtures"


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


def test_signs_are_escaped_as_jackson_escapes_them():
    # JsonStringEncoder and CharTypes: short forms where JSON has them, else capital digits.
    assert to_jackson('a"b\\c\n\r\t\b\f\x00\x1f/é\x7f\u2028😀') == (
        '"a\\"b\\\\c\\n\\r\\t\\b\\f\\u0000\\u001F/é\x7f\u2028😀"'
    )
    assert json.loads(to_jackson("\ud800")) == "\ud800"
    to_jackson("\ud800").encode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
    ],
    ids=["nothing", "cut", "endless", "deep"],
)
def test_what_is_no_document_is_refused(text, why):
    with pytest.raises(InputError, match=f"statistics: {why}"):
        read_json(text, "statistics")


def test_a_document_of_many_levels_is_read():
    assert read_json("[" * 100 + "]" * 100, "x")


# Inside of real documents, keys that nobody knows survive wherever they stand.
DOCUMENTS = {
    "baseline/quality.statistics.json": Statistics.from_json,
    "baseline/monitor.statistics.json": Statistics.from_json,
    "baseline/quality.constraints.good.json": Constraints.from_json,
    "baseline/monitor.constraints.json": Constraints.from_json,
}


def objects(found):
    """Return every object inside of a document."""
    held = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return [
        *([found] if isinstance(found, dict) else []),
        *(one for part in held for one in objects(part)),
    ]


@pytest.mark.first(2)
@pytest.mark.parametrize("name", DOCUMENTS)
@given(place=st.integers(0, 10**6), key=st.text(min_size=1).map("own {}".format), value=values)
def test_unknown_keys_survive_wherever_they_stand(name, place, key, value):
    document = json.loads((FIXTURES / name).read_text())
    places = objects(document)
    places[place % len(places)][key] = value

    written = DOCUMENTS[name](json.dumps(document)).to_json()

    assert json.loads(written) == document
    assert list(json.loads(written)) == list(document)
    assert DOCUMENTS[name](written).to_json() == written
