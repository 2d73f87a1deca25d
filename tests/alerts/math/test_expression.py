"""Reading expressions: what is refused, and where; bounds that hold for any text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from driftline.alerts.errors import ExpressionError
from driftline.alerts.math.expression import LONGEST, parse
from driftline.alerts.math.forms import FORMS, LATER

KINDS = {"m1": "series", "m2": "series", "a1": "array", "s1": "scalar"}


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("m1 +", 5, "the end; expected a number"),
        ("(m1", 4, 'expected ")" for what opens at character 1'),
        ("SUM([m1, m2)", 12, 'expected "]" for what opens at character 5'),
        ("m1 m2", 4, '"m2" follows a whole expression'),
        ("m1)", 3, '")" follows a whole expression'),
        ("m1 = 3", 4, 'compare by "=="'),
        ("m1 % 2", 4, "expected an operator or a value"),
        ('METRICS("a', 9, "expected an operator or a value"),
        ("avg(m1)", 1, "expected an id"),
        ("RATES(m1)", 1, "expected an id"),
        ("M1 + 1", 1, "expected an id (it starts with a lower-case letter)"),
        ("SEARCH('{a} b', 'Sum', 60)", 1, "SEARCH is not supported here"),
        ("PERIOD(m1 + 1)", 8, "expected the id of a metric"),
        ("ANOMALY_DETECTION_BAND(METRICS())", 24, "expected the id of a metric"),
        ("AND", 1, '"AND"'),
        ("SUM(,)", 5, '","; expected a number'),
        ("1..2", 3, "follows a whole expression"),
    ],
)
def test_each_error_is_one_sentence_with_the_place(text, at, said):
    with pytest.raises(ExpressionError) as refused:
        parse(text)

    assert f'expression "{text}": at character {at}: ' in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("m9 + 1", 'at character 1: no query has the id "m9"; expected one of: m1, m2, a1, s1'),
        ("a1 + METRICS()", 'at character 4: "+" between two arrays'),
        ("SORT(m1, AVG, ASC)", "SORT(series, AVG, ASC); expected SORT(array, AVG|MIN|MAX|SUM"),
        ("SORT(a1, STDDEV(m1), ASC)", "SORT(array, scalar, ASC); expected"),
        ("SORT(a1, AVG, SUM)", "SORT(array, AVG, SUM); expected"),
        ("FILL(m1)", "FILL(series); expected FILL(series, scalar|series|REPEAT|LINEAR)"),
        ("FILL(m1, ASC)", "FILL(series, ASC); expected"),
        ("SUM(3)", "SUM(scalar); expected SUM(series) or SUM(array)"),
        ("IF(a1, m1, m2)", "IF(array, series, series); expected"),
        ("[m1, 3]", "an array with a scalar in it"),
        ("[]", "an array without members"),
        ("REPEAT + m1", '"+" beside REPEAT'),
        ("-'text'", '"-" beside text'),
        ("FIRST(m1)", "FIRST(series); expected FIRST(array)"),
        ("TIME_SERIES(m1)", "TIME_SERIES(series); expected TIME_SERIES(scalar)"),
        ("PERIOD(m2)", 'PERIOD of "m2"; expected a metric, no expression'),
        ("ANOMALY_DETECTION_BAND(a1)", '"a1" gives several time series; expected one'),
        ("ANOMALY_DETECTION_BAND(m1, m2)", "ANOMALY_DETECTION_BAND(id, series); expected"),
    ],
)
def test_operands_that_do_not_go_together_are_refused_before_anything_is_read(text, said):
    with pytest.raises(ExpressionError) as refused:
        parse(text).kind(KINDS, {"m1"})

    assert said in str(refused.value)


@pytest.mark.parametrize("opening", ["(", "-", "ABS(", "[", "2^"])
def test_depth_is_bounded(opening):
    with pytest.raises(ExpressionError, match="more than 50 levels"):
        parse(opening * 60 + "m1")


def test_length_is_bounded():
    assert parse("m1" + " " * (LONGEST - 2)).references == {"m1"}
    with pytest.raises(ExpressionError, match="2049 characters; expected 2048 or fewer"):
        parse("m1" + " " * (LONGEST - 1))
    with pytest.raises(ExpressionError, match="the expression is empty"):
        parse(" ")


PIECES = st.sampled_from(
    [*FORMS, *LATER, *"+-*/^<>=()[],&|!'\" \n\t\0é", "m1", "a1", "REPEAT", "DESC", "AND", "OR",
     '"x"', "1.5", ".5", "1e3"]
)  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=60)))
@example("(" * 49 + "m1" + ")" * 49)
@example("m1\n")
@example("SERVICE_QUOTA")
def test_any_text_is_read_or_refused_in_one_sentence(text):
    try:
        parse(text).kind(KINDS, {"m1"})
    except ExpressionError as error:
        assert "expected" in str(error) or "levels" in str(error) or "compare" in str(error)
