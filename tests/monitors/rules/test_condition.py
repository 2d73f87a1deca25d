"""Conditions in SQL: what they come to, what is open, and that nothing else gets in."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.rules.condition import SqlCondition
from driftline.monitors.rules.judging import judge, try_out
from driftline.monitors.rules.ruleset import RuleSet

NOW = datetime(2024, 1, 8, tzinfo=UTC)
BATCH = pa.record_batch(
    {
        "a": [1, 2, None, 4],
        "b": [2.0, math.nan, 1.0, 0.0],
        "Int'l Plan": ["x", "", "yes", "no"],
        "t": [datetime(2024, 1, day, 10, tzinfo=UTC) for day in (1, 2, 3, 4)],
        "flag": [True, False, None, True],
        "digits": ["1", "2", "x", "4"],
        "empty": pa.nulls(4, pa.float64()),
    }
)
YES, NO, OPEN = True, False, None
CONDITIONS = {
    "a > 1": [NO, YES, OPEN, YES],
    "a < b AND b <= 3": [YES, OPEN, OPEN, NO],
    "a / b > 1": [NO, OPEN, OPEN, OPEN],  # Nothing can be divided by 0.
    "a // 2 = 1 OR a % 2 = 0": [NO, YES, OPEN, YES],
    "\"Int'l Plan\" IN ('yes', 'no')": [NO, OPEN, YES, YES],
    "\"Int'l Plan\" NOT IN ('yes')": [YES, OPEN, NO, YES],
    "t > '2024-01-02'": [NO, YES, YES, YES],
    "t - TIMESTAMP '2024-01-01' < INTERVAL 2 DAY": [YES, YES, NO, NO],
    "t + INTERVAL 14 HOUR >= '2024-01-03T00:00:00Z'": [NO, YES, YES, YES],
    "dayofweek(t) = 1 AND hour(t) = 10": [YES, NO, NO, NO],
    "NOT flag": [NO, YES, OPEN, NO],
    "flag AND a > 0": [YES, NO, OPEN, YES],
    "flag OR a > 0": [YES, YES, OPEN, YES],
    "a IS NULL": [NO, NO, YES, NO],
    '"Int\'l Plan" IS NOT NULL': [YES, NO, YES, YES],  # Empty text is no value.
    "empty > 3": [OPEN, OPEN, OPEN, OPEN],
    "digits::INTEGER >= 2": [NO, YES, OPEN, YES],  # What has no answer is open.
    "sqrt(b - 1) >= 0": [YES, OPEN, YES, OPEN],
    "least(a, b, 3) = 1": [YES, NO, YES, NO],
    "coalesce(a, b) >= 1": [YES, YES, YES, YES],
    "CASE WHEN flag THEN a ELSE b END > 0": [YES, OPEN, YES, YES],
    "abs(a - 3) <= 1": [NO, YES, OPEN, YES],
    'length("Int\'l Plan") <= 2': [YES, OPEN, NO, YES],
    "regexp_full_match(\"Int'l Plan\", '[a-z]{2}')": [NO, OPEN, NO, YES],
    "a > 1 -- more than one": [NO, YES, OPEN, YES],
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[int, list[int]]]:
    """How many rows each condition judges, and those that break it."""
    found = judge(RuleSet.of(list(CONDITIONS)), lambda _columns: [BATCH], NOW)
    counts = {}
    for text, one in zip(CONDITIONS, found, strict=True):
        mask = None if one.condition is None else one.condition.mask(BATCH)
        rows = [] if mask is None else np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()
        counts[text] = (one.tally.judged_count, rows)
    return counts


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_is_true_false_or_open_in_each_row(
    text: str, outcomes: dict[str, tuple[int, list[int]]]
) -> None:
    expected = CONDITIONS[text]

    assert outcomes[text] == (
        4 - expected.count(OPEN),
        [row for row, one in enumerate(expected) if one is NO],
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("(SELECT max(a) FROM data) > a", "a query inside"),
        ("a IN (SELECT 1)", "a query inside"),
        ("EXISTS (FROM read_csv('/etc/passwd')) AND a", "a query inside"),
        ("sum(a) OVER () > 1", "OVER, which looks at other rows"),
        ("COLUMNS(*) > 1", "*; name the columns"),
        ("a > $1", "a parameter"),
        ("list_filter([a], x -> x > 1) = []", "a lambda"),
        ("data.a > 1", "a name with a dot stands in double quotes"),
        ("a > 1) FROM data; DROP TABLE data; --", "not readable"),
        ("a > 1) OR (1 = 1", 'not readable (syntax error at or near ")"); expected SQL such as'),
        ("a), (b", "not readable"),
        ("a) FROM data UNION SELECT (b", "not readable"),
        ("a > 1 FROM data", "not readable"),
        ("a AS b", "not readable"),
        ("a) FROM data WHERE (b", "not readable"),
        ("a; b", "not readable"),
        ("ATTACH 'x.db'", "names no column"),
        ("COPY data TO 'x.csv'", "not readable"),
        ("a is None or", "not readable"),
        ("0 < a < 5", "not readable"),
        ("a > /* 1", "not readable"),
        ("a >", "not readable"),
        ("", "expected a text"),
        ("1 < 2", "names no column"),
        ("a > 1" + " " * 3000, "characters"),
        ("NOT " * 490 + "a", "condition"),
        ("a = A", "differ in case alone"),
    ],
)
def test_what_is_no_plain_condition_is_refused(text: str, part: str) -> None:
    with pytest.raises(InputError) as raised:
        RuleSet.of([{"check": "expression", "expression": text, "nulls": "never"}])

    told = str(raised.value)
    assert part in told or (part == "condition" and "never" in told)
    assert "\n" not in told.replace(text, "")


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_one_sentence(text: str) -> None:
    try:
        assert SqlCondition(text).columns
    except InputError as error:
        assert str(error)


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(pa.Table.from_batches([BATCH] * 50))


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("prize > 1", 'no column "prize"'),
        ("flags", 'no column "flags" (did you mean "flag"?)'),
        ("a == None", 'no column "None"'),
        ("a + 1", "gives BIGINT; expected a comparison, which is true or false"),
        ("digits > 5", "Cannot compare values of type VARCHAR and type INTEGER_LITERAL"),
        ("t > 5", "Cannot compare values of type TIMESTAMP"),
        ("t >= 'soon'", 'invalid timestamp field format: "soon"'),
        ("a = 'one'", "Could not convert string 'one' to INT64"),
        ("random() > a", "volatile function"),
        ("lengths(digits) > 5", "lengths does not exist! Did you mean"),
        ("sum(a) > 3", "aggregates are not allowed"),
        ({"check": "sql", "query": "SELECT * FROM data WHERE prize > 1"}, '"prize" not found'),
        ({"check": "row_count", "min": 1, "where": "b"}, "gives DOUBLE; expected a comparison"),
    ],
)
def test_a_mistake_is_one_sentence_before_there_are_data(
    rule: object, sentence: str, reference: Baseline
) -> None:
    with pytest.raises(InputError) as raised:
        try_out(RuleSet.of([rule]), reference.signature)

    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_fits_the_reference_is_taken(reference: Baseline) -> None:
    query = {"check": "sql", "query": "SELECT event_id FROM data WHERE false"}

    try_out(RuleSet.of([*CONDITIONS, query]), reference.signature)
