"""Selections as texts of an address: read back as they were, and refused in a sentence."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.predicate import Predicate
from driftline.errors import InputError
from driftline.monitors.root_cause.selection import (
    CONDITIONS_MAX,
    parse_where,
    selected,
    where_text,
)

NAMES = st.text(min_size=1, max_size=20)
TEXTS = st.lists(NAMES, min_size=1, max_size=4).map(tuple)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
CONDITIONS = st.one_of(
    st.builds(Predicate, NAMES, st.sampled_from(["lt", "le", "gt", "ge"]), NUMBERS),
    st.builds(lambda name, texts: Predicate(name, "in", values=texts), NAMES, TEXTS),
    st.builds(lambda name, texts: Predicate(name, "not_in", values=texts), NAMES, TEXTS),
    st.builds(lambda name: Predicate(name, "null"), NAMES),
)


@given(st.lists(CONDITIONS, max_size=4))
def test_conditions_survive_an_address(conditions):
    text = where_text(conditions)

    assert text is not None
    assert parse_where(text) == tuple(conditions)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("temp>=x", '"x" is no number'),
        ("temp>=nan", '"nan" is no number'),
        ("temp<inf", '"inf" is no number'),
        (
            "carrier=" + "x" * 2_000,
            "where: 2,008 characters, of which none were read; expected 2,000",
        ),
        ("temp", '"temp" is no condition'),
        (">3", '">3" is no condition'),
        ("a=b=c", "is no condition"),
        ("i=1,", '"i=1," has nothing beside a comma; expected a value there'),
        ('carrier="UA"', "would be looked for with its quotes; expected UA, or .* %22"),
        (";".join(["a=1"] * (CONDITIONS_MAX + 1)), f"{CONDITIONS_MAX + 1} conditions"),
    ],
)
def test_what_is_no_selection_is_refused_in_a_sentence(text, words):
    with pytest.raises(InputError, match=words):
        parse_where(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        parse_where(text)
    except InputError:
        return


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("d=1.0", [0]), ("d=7.20", [1]), ("d=1e0,7.2", [0, 1]), ("d!=+1", [1, 2]), ("d=1e300", [2]),
        ("i=01", [0]), ("i=1.0", [0]), ("i=9007199254740993", [1]), ("i=1.5", []), ("i=-0", [2]),
        (f"i={2**63 - 1}", [3]), (f"i={-(2**63)}", [4]), (f"i={2**63}", []),
        ("b=1", [0, 2]), ("b=True", [0, 2]), ("b!=true", [1]), ("b=0", [1]), ("t=01", [1]),
    ],
)  # fmt: skip
def test_numbers_and_truth_values_are_equal_however_they_are_written(text, rows):
    columns = {
        "d": [1.0, 7.2, 1e300, None, None], "i": [1, 2**53 + 1, 0, 2**63 - 1, -(2**63)],
        "b": [True, False, True, None, None], "t": ["1", "01", "1.0", "", ""], "row": range(5),
    }  # fmt: skip
    types = {"d": "double", "i": "int64", "b": "bool", "t": "string"}

    found = selected(pa.RecordBatch.from_pydict(columns), parse_where(text, types))

    assert found.column("row").to_pylist() == rows
