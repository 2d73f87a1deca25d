"""How rules are declared: wrong ones are one sentence, and a later name replaces an earlier."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import InputError
from driftline.monitors.rules.outcome import outcome_drafts
from driftline.monitors.rules.ruleset import RuleSet
from tests.monitors.rules.test_rules import outcomes, rule


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("rules", "expected a list of rules"),
        ([3], "rules[0]: 3; expected an object"),
        ([{}], 'rules[0]: no check; expected one such as "unique"'),
        (
            [rule("uniq", column="a")],
            'no such check (did you mean "unique"?); expected one of bounds',
        ),
        ([rule("unique")], "expected column, or columns"),
        ([rule("unique", column="a", columns=["b"])], "expected column, or columns"),
        ([rule("unique", columns=["b", "b"])], '"b" stands twice'),
        ([rule("unique", column=3)], "column is 3; expected a list of texts"),
        ([rule("bounds", column="a")], "no bound; expected min, max, above or below"),
        ([rule("bounds", column="a", min="x")], "min is 'x'; expected a number, or a time such as"),
        ([rule("bounds", column="a", min=True)], "min is True; expected a number"),
        ([rule("bounds", column="a", min=float("nan"))], "min is nan; expected a number"),
        (
            [rule("bounds", column="a", min=2, max=1)],
            "from 2 to 1; expected the smaller bound first",
        ),
        ([rule("bounds", column="a", min=2, above=1)], "min and above; expected one of the two"),
        ([rule("bounds", column="a", min=2, max="2024-01-01")], "expected one kind"),
        (
            [rule("bounds", column="a", mn=2)],
            'unknown key "mn" (did you mean "min"?); expected check,',
        ),
        ([rule("bounds", min=2)], "column is None; expected a text"),
        (
            [rule("bounds", column="a", min=2, mostly=99)],
            "mostly is 99; expected a share from 0 to 1",
        ),
        (
            [rule("bounds", column="a", min=2, nulls="no")],
            'nulls is \'no\'; expected "pass" or "fail"',
        ),
        ([rule("bounds", column="a", min=2, severity="bad")], 'expected "page" or "ticket"'),
        ([rule("bounds", column="a", min=2, where="a >")], 'where: condition "a >": not readable'),
        ([rule("bounds", column="a", min=2, name=3)], "name is 3; expected a text"),
        ([rule("values", column="a", values=[])], "expected a list of values"),
        ([rule("values", column="a", values=[None])], "null is judged by not_null"),
        ([rule("pattern", column="a", pattern="(")], 'pattern "(": missing )'),
        ([rule("pattern", column="a", pattern="a)(b")], 'pattern "a)(b"'),
        ([rule("pattern", column="a", pattern=r"(a)\1")], "no back references"),
        ([rule("length", column="a", min=-1)], "min is -1; expected a whole number, 0 or more"),
        ([rule("length", column="a")], "no bound"),
        ([rule("row_count", min=3, max=1)], "expected the smaller bound first"),
        (
            [rule("freshness", column="a", max_age="soon")],
            "max_age is 'soon'; expected a span above 0",
        ),
        ([rule("freshness", column="a", max_age=0)], "expected a span above 0"),
        ([rule("freshness", column="a")], "max_age is None"),
        ([rule("expression")], "expected a condition such as"),
        (["a.b > 1"], 'no column a.b; a name with a dot stands in double quotes, "a.b"'),
        ({"rules": [], "more": 1}, 'unknown key "more"'),
        ([rule("row_count", min=1)] * 1001, "1,001 rules; expected 1,000 at most"),
    ],
    ids=lambda one: str(one)[:50],
)
def test_a_wrong_rule_is_one_sentence_before_any_data_are_read(
    wrong: object, sentence: str
) -> None:
    with pytest.raises(InputError) as raised:
        RuleSet.of(wrong)

    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["check", "column", "columns", "min", "max", "above", "below", "values", "pattern", "mostly",
     "where", "max_age", "as_of", "name", "severity", "nulls", "expression", "ignore"]
)  # fmt: skip


@given(
    check=st.sampled_from(
        [
            "bounds",
            "values",
            "pattern",
            "length",
            "unique",
            "freshness",
            "row_count",
            "duplicate_rows",
            "expression",
            "not_null",
        ]
    ),
    keys=st.dictionaries(KEYS, ANY, max_size=5),
)
def test_any_rule_is_taken_or_refused_in_words(check: str, keys: dict[str, object]) -> None:
    try:
        outcome_drafts(outcomes([{"column": "age", **keys, "check": check}]))
    except InputError as error:
        assert str(error)
