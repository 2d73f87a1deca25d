"""Rules on values at the edges of their types, and on columns that are no plain ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.errors import InputError
from driftline.monitors.kinds.conditions import read_condition
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.reading import read_rules
from driftline.monitors.rules.ruleset import Outcome, RuleSet

# Whole numbers that a double cannot hold, as ids of clouds are.
BIG = pa.record_batch({"whole": [2**62 + 1, -5, 3], "part": [0.5, -6.0, 4.0]})


def outcome(rule: object, batch: pa.RecordBatch) -> Outcome:
    counters = RuleSet.of([rule]).start(datetime(2026, 1, 2, tzinfo=UTC))
    counters.update(batch)
    return counters.result()[0]


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        ({"column": "whole", "min": 0.5}, 1),
        ({"column": "whole", "above": -5.0, "max": 2**62}, 2),
        ({"column": "part", "min": 2**53 + 1}, 3),
        ({"column": "part", "max": 2**53 + 1, "above": -6}, 1),
    ],
    ids=lambda one: "-".join(map(str, one.values())) if isinstance(one, dict) else "",
)
def test_bounds_and_values_beyond_2_to_the_53_are_compared(
    limits: dict[str, object], broken: int
) -> None:
    tally = outcome({"check": "bounds", **limits}, BIG).tally

    assert (tally.judged_count, tally.broken_count) == (3, broken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("whole > part", [True, True, False]),
        ("whole >= 0.5", [True, False, True]),
        ("max(whole, 0.5) > 0.5", [True, False, True]),
        ("coalesce(whole, 0.5) == part", [False, False, False]),
        ("whole in (3.0, 0.5)", [False, False, True]),
        ("(whole if part > 0 else part) < 0", [False, True, False]),
    ],
)
def test_whole_numbers_beyond_2_to_the_53_go_with_fractions(
    text: str, expected: list[bool]
) -> None:
    assert Expression(text).evaluate(BIG).to_pylist() == expected


@pytest.mark.parametrize("value", [1e-7, 1e-5, 1e15, 1e20, 1e300, 0.1, -0.0, 1 / 3, 3.0])
def test_an_allowed_number_is_found_in_whatever_form_it_is_written(value: float) -> None:
    batch = pa.record_batch({"x": [value, value, None, 7.25]})

    tally = outcome({"check": "values", "column": "x", "values": [value]}, batch).tally

    assert (tally.judged_count, tally.broken_count) == (3, 1)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
@pytest.mark.parametrize(
    "rule",
    [{"check": "bounds", "column": "t", "min": "?"},
     {"check": "freshness", "column": "t", "max_age": "1d", "as_of": "?"}],
    ids=lambda rule: rule["check"],
)  # fmt: skip
def test_a_time_that_no_calendar_has_is_refused_by_name(rule: dict[str, str], moment: str) -> None:
    declared = {key: moment if value == "?" else value for key, value in rule.items()}

    with pytest.raises(InputError, match='a time such as "2026-01-31"'):
        RuleSet.of([declared])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0, 2.0], [3.0], [1.0, 2.0], None, []]),
        pa.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], None, [5.0, 6.0]], pa.list_(pa.float32(), 2)),
        pa.array([["a"], ["b"], ["a"], None, ["c"]], pa.large_list(pa.string())),
        pa.array([{"a": 1}, {"a": 2}, {"a": 1}, None, {"a": 3}]),
        pa.array([b"a", b"\xff", b"a", None, b"b"]),
    ],
    ids=lambda one: str(one.type),
)
@pytest.mark.parametrize("rule", [{"check": "unique", "column": "x"}, {"check": "duplicate_rows"}])
def test_lists_and_other_values_that_repeat_are_found(
    rule: dict[str, str], column: pa.Array
) -> None:
    tally = outcome(rule, pa.record_batch({"x": column})).tally

    assert tally.broken_count == 2
    assert tally.condition is not None
    assert tally.condition.mask(pa.table({"x": column})).to_pylist() == [
        True, False, True, False, False,
    ]  # fmt: skip


def test_functions_of_one_name_are_all_asked() -> None:
    rules = RuleSet.of(
        [lambda batch: np.zeros(batch.num_rows, bool), lambda batch: np.ones(batch.num_rows, bool)]
    )
    counters = RuleSet().plus(rules).start()

    counters.update(BIG)

    assert [one.tally.is_broken for one in counters.result()] == [True, False]


def test_a_damaged_condition_of_a_document_is_refused() -> None:
    found = {"op": "rule", "rule": {"check": "unique", "column": "x"}, "compared": 5}

    with pytest.raises(InputError, match="violation: compared is 5"):
        read_condition(found)


@pytest.mark.parametrize("limit", [float("inf"), float("-inf"), float("nan")])
def test_a_bound_that_no_document_can_hold_is_refused(limit: float) -> None:
    with pytest.raises(InputError, match="expected a number"):
        RuleSet.of([{"check": "bounds", "column": "x", "max": limit}])


@pytest.mark.parametrize(
    "start", ["- ", "- {check: values, column: x, values: "], ids=["rule", "value"]
)
def test_a_file_that_unfolds_without_end_is_refused_at_once(tmp_path: Path, start: str) -> None:
    folds = ["&a0 [x, x]", *(f"&a{at} [*a{at - 1}, *a{at - 1}]" for at in range(1, 60))]
    text = f"{start}[{', '.join(folds)}]{'}' if '{' in start else ''}"
    (tmp_path / "rules.yaml").write_text(text)

    with pytest.raises(InputError, match=r"expected a") as found:
        read_rules(tmp_path / "rules.yaml")

    assert len(str(found.value)) < 1000


@pytest.mark.parametrize(
    "keys",
    [
        {"check": "unique", "column": "whole", "where": "other > 0"},
        {"check": "duplicate_rows", "where": "other > 0"},
        {"check": "duplicate_rows", "ignore": ["other"]},
        {"check": "row_count", "min": 1, "where": "other > 0"},
        {"check": "not_null", "column": "whole", "where": "other > 0"},
    ],
    ids=lambda one: "-".join(one),
)
def test_a_column_that_nobody_knows_is_named_wherever_it_stands(keys: dict[str, object]) -> None:
    with pytest.raises(InputError, match='no column "other"'):
        outcome(keys, BIG)


def test_a_column_that_the_data_lack_leaves_where_undecided() -> None:
    counters = RuleSet.of([{"check": "unique", "column": "whole", "where": "late > 0"}]).start()
    counters.update(BIG)

    assert counters.result(["late"])[0].absent == ("late",)


def test_times_before_the_calendar_are_old() -> None:
    times = pa.array([-(10**17)], pa.int64()).cast(pa.timestamp("us", "UTC"))
    rule = {"check": "freshness", "column": "t", "max_age": "1d"}

    tally = outcome(rule, pa.record_batch({"t": times})).tally

    assert tally.is_broken
    assert tally.judged_count == 1


def test_no_rows_of_a_table_break_a_rule() -> None:
    found = {"op": "rule", "rule": {"check": "bounds", "column": "whole", "min": 0}}

    mask = read_condition(found).mask(pa.Table.from_batches([BIG]).slice(0, 0))

    assert mask.to_pylist() == []


def test_what_did_not_fit_its_type_is_compared_as_a_value() -> None:
    unfit = [[("x", "much")], [("x", "little")], [("x", "much")], [], []]
    batch = pa.record_batch(
        {"x": [None, None, None, 1.0, None], "y": [1, 1, 1, 1, 1],
         "unfit": pa.array(unfit, pa.map_(pa.string(), pa.string()))}
    )  # fmt: skip

    for rule in ({"check": "unique", "column": "x"}, {"check": "duplicate_rows"}):
        tally = outcome(rule, batch).tally
        assert tally.condition is not None
        assert tally.condition.mask(batch).to_pylist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"matches(s, '\d+')", [True, False, False, False]),
        (r"matches(s, '\\d+')", [True, False, False, False]),
        (r"matches(s, r'\d+')", [True, False, False, False]),
        (r"matches(s, '.*\bfoo')", [False, True, False, False]),
        (r"matches(s, '\Afoo\z') or s == 'a\tb'", [False, False, True, False]),
        (r"s == 'it\'s \u00e9'", [False, False, False, True]),
    ],
)
def test_patterns_in_expressions_keep_their_backslashes(text: str, expected: list[bool]) -> None:
    batch = pa.record_batch({"s": ["12", "a foo", "a\tb", "it's \u00e9"]})

    assert Expression(text).evaluate(batch).to_pylist() == expected


def test_half_a_character_is_no_expression() -> None:
    with pytest.raises(InputError, match="half a character"):
        Expression("x == '\ud800'")
