"""What a violation says, and what of it may be told to those who may not read rows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.baseline.predicate import Predicate
from driftline.monitors.results.violation import Segment, Violation

TEXTS = st.text(alphabet='"ab, ;:', min_size=1, max_size=8)


@settings(deadline=None)
@given(value=TEXTS, level=TEXTS, other=TEXTS, column=TEXTS)
def test_no_value_is_left_in_a_plain_cause_whatever_quotes_it_holds(value, level, other, column):
    secret = {"a": "1", "b": "2"}
    value, level, other = (one.translate(str.maketrans(secret)) for one in (value, level, other))
    segment = Segment((Predicate(column, "eq", level),), 0.5, 0.1)
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
