"""Rules of composite alarms; the grammar's sources stand in alerts/alarms/rule.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.alarms.rule import Rule
from driftline.alerts.errors import AlarmError

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
ABC = {"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA"}
CASES = json.loads((Path(__file__).parents[2] / "fixtures/alerts/composite_rules.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rule"])
def test_documented_rules_hold_as_documented(case):
    rule = Rule.parse(case["rule"])

    for states, wanted in case["steps"]:
        assert rule.state(dict(zip(case["children"], states, strict=True))) == wanted


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("TRUE", True),
        ("False", False),
        ("ALARM(a)", True),
        ("alarm(a)", True),
        ("OK(a)", False),
        ("INSUFFICIENT_DATA(c)", True),
        ("NOT ALARM(a)", False),
        ("NOT NOT ALARM(a)", True),
        ("NOT(ALARM(b))", True),
        ("ALARM ( a )", True),
        ("ALARM(a) and not OK(a)", True),
        # NOT before AND before OR: with another order each of these would be the opposite.
        ("TRUE OR TRUE AND FALSE", True),
        ("FALSE AND TRUE OR TRUE", True),
        ("NOT FALSE AND FALSE", False),
        ("NOT (FALSE AND FALSE)", True),
        ("(TRUE OR TRUE) AND FALSE", False),
        ("AT_LEAST(1, ALARM, (a, b, c))", True),
        ("AT_LEAST(2, ALARM, (a, b, c))", False),
        ("AT_LEAST(2, NOT ALARM, (a, b, c))", True),
        ("AT_LEAST(33%, ALARM, (a, b, c))", True),
        ("AT_LEAST(34%, ALARM, (a, b, c))", False),
        ("AT_LEAST(33.3%, ALARM, (a, b, c))", True),
        ('AT_LEAST("67%", NOT OK, ("a", b, "c"))', False),
        ("AT_LEAST(66%, NOT OK, (a, b, c))", True),
        ("at_least(100%, OK, (b))", True),
    ],
)
def test_a_rule_holds_by_its_words(text, holds):
    assert Rule.parse(text).holds(ABC) is holds


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ALARM(two.words/and-more)", "two.words/and-more"),
        ('ALARM("two words, (brackets)")', "two words, (brackets)"),
        (r'ALARM("say \"when\"")', 'say "when"'),
        (r'ALARM("C:\temp")', r"C:\temp"),
        ("ALARM(TRUE)", "TRUE"),
        ('ALARM("AND")', "AND"),
        ("ALARM(arn:aws:cloudwatch:eu-west-1:123456789012:alarm:disk:full)", "disk:full"),
        ('ALARM("arn:aws-cn:cloudwatch:cn-north-1:1:alarm:two words")', "two words"),
    ],
)
def test_a_reference_is_a_name_or_an_arn(text, name):
    assert Rule.parse(text).names == (name,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "AlarmRule must not contain leading or trailing whitespace or be null"),
        (" TRUE", "AlarmRule must not contain leading or trailing whitespace or be null"),
        (None, "AlarmRule must not contain leading or trailing whitespace or be null"),
        ("ALARM(a) AND", 'AlarmRule ends; expected a condition such as ALARM("name")'),
        ("ALARM(a", 'AlarmRule ends; expected ")"'),
        ("ALARM a)", 'AlarmRule has a at character 7; expected "("'),
        ("ALARM(two words)", 'AlarmRule has words at character 11; expected ")"'),
        ("ALARM()", "AlarmRule has ) at character 7; expected the name or ARN of an alarm"),
        ('ALARM(" ")', 'AlarmRule has " " at character 7; expected the name or ARN of an alarm'),
        ("ALARM(a) ALARM(b)", "AlarmRule has ALARM at character 10; expected AND, OR or the end"),
        ("ALARM(a) NOT OK(b)", "AlarmRule has NOT at character 10; expected AND, OR or the end"),
        ("FIRING(a)", 'AlarmRule has FIRING at character 1; expected a condition such as ALARM("n'),
        ('"TRUE"', 'AlarmRule has "TRUE" at character 1; expected a condition such as ALARM("name'),
        ("(TRUE", 'AlarmRule: no ")" closes ( at character 1; expected one'),
        ("TRUE)", 'AlarmRule: no "(" opens ) at character 5; expected one'),
        ("()", "AlarmRule has ) at character 2; expected a condition"),
        ('ALARM("a', "AlarmRule has a quote at character 7 that nothing closes"),
        ("AT_LEAST(0, OK, (a))", "AlarmRule: 0 at character 10 in AT_LEAST; expected a whole numb"),
        ("AT_LEAST(2, OK, (a, a))", "from 1 to 1, the number of alarms that it names"),
        ("AT_LEAST(0.5, OK, (a))", "expected a whole number from 1"),
        ("AT_LEAST(0%, OK, (a))", "expected more than 0% to 100%"),
        ("AT_LEAST(101%, OK, (a))", "expected more than 0% to 100%"),
        (
            "AT_LEAST(two, OK, (a))",
            "AlarmRule has two at character 10; expected a number of alarms",
        ),
        ("AT_LEAST(1, FIRING, (a))", "AlarmRule has FIRING at character 13; expected ALARM, OK or"),
        ("AT_LEAST(1, OK, a)", 'AlarmRule has a at character 17; expected "("'),
        ("AT_LEAST(1, OK, (a b))", 'AlarmRule has b at character 20; expected "," or ")"'),
        ("AT_LEAST(1, OK, ())", "AlarmRule has ) at character 18; expected the name or ARN"),
        ("AT_LEAST(1 OK, (a))", 'AlarmRule has OK at character 12; expected ","'),
    ],
)
def test_a_wrong_rule_is_refused_with_the_place(text, sentence):
    with pytest.raises(AlarmError) as raised:
        Rule.parse(text)

    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("fits", "too_much", "sentence"),
    [
        ("TRUE" + " " * 10_229 + "OR TRUE", "TRUE" + " " * 10_230 + "OR TRUE", "10241 characters"),
        (
            " OR ".join(f"ALARM(a{number})" for number in range(100)),
            " OR ".join(f"ALARM(a{number})" for number in range(101)),
            "names 101 alarms; expected 100 or fewer",
        ),
        ("(" * 249 + "TRUE" + ")" * 249, "(" * 250 + "TRUE" + ")" * 250, "more than 500 elements"),
        (" AND ".join(["TRUE"] * 500), " AND ".join(["TRUE"] * 501), "more than 500 elements"),
    ],
    ids=["characters", "children", "parentheses", "constants"],
)
def test_limits_are_cloudwatchs(fits, too_much, sentence):
    assert Rule.parse(fits)
    with pytest.raises(AlarmError, match=sentence):
        Rule.parse(too_much)


# An independent second evaluation: Python's own `and`, `or`, `not` over the same tree.
leaves = st.tuples(st.sampled_from(STATES), st.sampled_from(sorted(ABC)))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("NOT"), inner),
        st.tuples(st.sampled_from(["AND", "OR"]), inner, inner),
    ),
    max_leaves=12,
)


def written(tree, bare: bool = True) -> str:
    """Write a tree with as few brackets as the order of AND and OR allows."""
    if tree[0] in STATES:
        return f"{tree[0]}({tree[1]})"
    if tree[0] == "NOT":
        return f"NOT {written(tree[1], False)}"
    text = f"{written(tree[1], False)} {tree[0]} {written(tree[2], False)}"
    return text if bare else f"({text})"


def truth(tree, states) -> bool:
    if tree[0] in STATES:
        return states[tree[1]] == tree[0]
    if tree[0] == "NOT":
        return not truth(tree[1], states)
    left, right = truth(tree[1], states), truth(tree[2], states)
    return (left and right) if tree[0] == "AND" else (left or right)


@given(tree=trees, states=st.fixed_dictionaries(dict.fromkeys(ABC, st.sampled_from(STATES))))
def test_a_rule_means_what_its_tree_means(tree, states):
    assert Rule.parse(written(tree)).holds(states) == truth(tree, states)


@given(text=st.text(alphabet='ALRMOKNTD()," %19_a\\', max_size=40))
def test_any_text_is_read_or_refused_in_a_sentence(text):
    try:
        rule = Rule.parse(text)
    except AlarmError:
        return
    rule.holds(dict.fromkeys(rule.names, "ALARM"))
