import pyarrow as pa
import pytest

from driftline.baseline.predicate import Predicate
from driftline.errors import InputError


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
