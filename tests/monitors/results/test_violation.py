"""What a violation says, and what of it may be told to those who may not read rows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.baseline.predicate import Predicate
from driftline.monitors.report.ranking import cause_sentence
from driftline.monitors.results.violation import Segment, Violation, hide_values

TEXTS = st.text(alphabet='"ab, ;:', min_size=1, max_size=8)


@settings(deadline=None)
@given(value=TEXTS, level=TEXTS, other=TEXTS, column=TEXTS)
def test_no_value_is_left_in_a_plain_cause_whatever_quotes_it_holds(value, level, other, column):
    secret = {"a": "1", "b": "2"}
    value, level, other = (one.translate(str.maketrans(secret)) for one in (value, level, other))
    segment = Segment(column, level, 0.5, 0.1)
    said = Violation(
        "carrier",
        "categorical_values_check",
        "",
        values=(value,),
        segment=segment,
        predicate=Predicate("carrier", "in", values=(other,)),
        cause=f'rows in "{other}", mostly "{value}", {column} = "{level}" holds some',
    )

    assert not set(said.plain_cause) & set("12")
    assert said.plain_cause.startswith('rows in "…"')
    assert said.plain_cause.endswith(" holds some")


def test_a_plain_sentence_is_cut_after_its_values_are_taken_out():
    """Cut first, the open quote would have hidden what follows and shown the next value."""
    long = Violation("a", "c", "", cause=f'mostly "{"x" * 300}"', values=("x" * 300,))
    short = Violation("b", "c", "", cause='mostly "secret"', values=("secret",))

    assert cause_sentence([long, short], has_values=False) == 'a: mostly "…"; b: mostly "…"'
    assert "secret" in cause_sentence([long, short])


def test_values_that_are_not_known_take_all_between_them_along():
    assert hide_values('5% = "EV", now "A", b"; c') == '5% = "…"; c'
    assert hide_values('half "open') == 'half "…"'
    assert hide_values("no quotes") == "no quotes"
