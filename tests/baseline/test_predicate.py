import pyarrow as pa
import pytest

from driftline.baseline.predicate import Predicate
from driftline.errors import InputError


def rows(predicate, **columns):
    return predicate.mask(pa.record_batch({k: pa.array(v) for k, v in columns.items()})).to_pylist()


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("lt", 2.0, [True, False, False, False]),
        ("le", 2.0, [True, True, False, False]),
        ("gt", 2.0, [False, False, True, False]),
        ("ge", 2.0, [False, True, True, False]),
        ("eq", 2.0, [False, True, False, False]),
    ],
)
def test_numbers_are_compared_and_missing_ones_are_never_meant(op, value, expected):
    predicate = Predicate("x", op, value)

    assert rows(predicate, x=[1.0, 2.0, 3.0, None]) == expected
    assert rows(predicate, x=["1", "2", "3", ""]) == expected


def test_texts_are_compared_as_texts():
    values = ["UA", "EVX", None, ""]

    assert rows(Predicate("c", "eq", "UA"), c=values) == [True, False, False, False]
    assert rows(Predicate("c", "in", values=("UA",)), c=values) == [True, False, False, False]
    assert rows(Predicate("c", "not_in", values=("UA",)), c=values) == [False, True, False, False]
    assert rows(Predicate("b", "eq", "true"), b=[True, False, None]) == [True, False, False]


def test_what_a_window_keeps_aside_is_unfit_and_not_empty():
    kept = pa.array([[], [("x", "abc")], []], pa.map_(pa.string(), pa.string()))
    batch = pa.record_batch({"x": pa.array([1.0, None, None]), "unfit": kept})

    assert Predicate("x", "unfit", "double").mask(batch).to_pylist() == [False, True, False]
    assert Predicate("x", "null").mask(batch).to_pylist() == [False, False, True]


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (Predicate("temp", "lt", 12.3), "temp below 12.3"),
        (Predicate("temp", "ge", 12000.0), "temp 12000 or above"),
        (Predicate("temp", "gt", 0.123456789), "temp above 0.123457"),
        (Predicate("carrier", "eq", "UA"), 'carrier = "UA"'),
        (Predicate("n", "eq", 0.0), "n = 0"),
        (Predicate("carrier", "in", values=("A", "B")), 'carrier in "A", "B"'),
        (Predicate("carrier", "not_in", values=tuple("ABCD")), "carrier not seen in the reference"),
        (Predicate("carrier", "null"), "carrier empty"),
        (Predicate("temp", "unfit", "double"), "temp not a number"),
    ],
)
def test_conditions_read_as_words_and_survive_json(predicate, text):
    assert str(predicate) == text
    assert Predicate.from_dict(predicate.to_dict()) == predicate


def test_an_unknown_operator_is_refused():
    with pytest.raises(InputError, match='operator "like"; expected one of lt, le'):
        Predicate.from_dict({"column": "x", "op": "like"})
    with pytest.raises(InputError, match='expected "column" and "op"'):
        Predicate.from_dict({"op": "lt"})


@pytest.mark.parametrize("kind", [pa.bool_(), pa.int8(), pa.float64()])
def test_truth_values_are_met_however_they_come(kind):
    batch = pa.table({"late": pa.array([True, False, None]).cast(pa.int8()).cast(kind)})

    assert Predicate("late", "eq", "true").mask(batch).to_pylist() == [True, False, False]
    assert Predicate("late", "not_in", values=("true",)).mask(batch).to_pylist() == [
        False, True, False,
    ]  # fmt: skip
