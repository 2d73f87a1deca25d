import math

import pyarrow as pa
import pytest

from driftline.baseline.predicate import Predicate, number_text
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


@pytest.mark.parametrize(
    ("least", "interval", "cut"),
    [
        (5e-324, "above 0 and below 3.5", "above 0"),
        (math.nextafter(2.0, 3.0), "above 2 and below 3.5", "above 2"),
        (math.nextafter(0.1, 1.0), "above 0.1 and below 3.5", "above 0.1"),
        (1 / 3, "from 0.333333 to below 3.5", "0.333333 or above"),
        (0.0, "from 0 to below 3.5", "0 or above"),
    ],
)
def test_what_begins_behind_a_frequent_value_says_that_value(least, interval, cut):
    assert Predicate("x", "between", least, below=3.5).phrase == interval
    assert Predicate("x", "ge", least).phrase == cut


@pytest.mark.parametrize(
    ("low", "high", "phrase"),
    [
        (1.0, math.nextafter(1.0, 2.0), "= 1"),
        (0.0, 5e-324, "= 0"),
        (-0.1, math.nextafter(-0.1, 1.0), "= -0.1"),
        (1 / 3, math.nextafter(1 / 3, 1.0), "= 0.333333"),
        (1700000000.25, 1700000000.5, "from 1700000000.25 to below 1700000000.5"),
    ],
)
def test_an_interval_is_never_said_as_an_empty_one(low, high, phrase):
    assert Predicate("x", "between", low, below=high).phrase == phrase


@pytest.mark.parametrize(
    ("low", "last", "interval", "cut"),
    [
        (0.0, 1.0, "from 0 to 1", "1 or below"),
        (0.25, 0.75, "from 0.25 to 0.75", "0.75 or below"),
        (5e-324, 1.0, "above 0 up to 1", "1 or below"),
        (0.0, 1 / 3, "from 0 to below 0.333333", "below 0.333333"),
    ],
)
def test_the_greatest_value_of_all_is_within_the_set_that_it_ends(low, last, interval, cut):
    end = math.nextafter(last, math.inf)

    assert Predicate("x", "between", low, below=end).phrase == interval
    assert Predicate("x", "lt", end).phrase == cut


def test_an_interval_holds_its_lower_end_alone():
    predicate = Predicate("x", "between", 2.0, below=3.5)

    assert rows(predicate, x=[1.9, 2.0, 3.4, 3.5, None]) == [False, True, True, False, False]
    assert predicate.phrase == "from 2 to below 3.5"
    assert Predicate.from_dict(predicate.to_dict()) == predicate


def test_texts_are_compared_as_texts():
    values = ["UA", "EVX", None, ""]

    assert rows(Predicate("c", "eq", "UA"), c=values) == [True, False, False, False]
    assert rows(Predicate("c", "in", values=("UA",)), c=values) == [True, False, False, False]
    assert rows(Predicate("c", "not_in", values=("UA",)), c=values) == [False, True, False, False]
    assert rows(Predicate("b", "eq", "true"), b=[True, False, None]) == [True, False, False]


def test_empty_is_null_nan_and_blank_text():
    assert rows(Predicate("x", "null"), x=[1.0, float("nan"), None]) == [False, True, True]
    assert rows(Predicate("x", "null"), x=["a", "", None]) == [False, True, True]


def test_unfit_is_what_cannot_be_read_as_the_type():
    assert rows(Predicate("x", "unfit", "double"), x=["1", "abc", None]) == [False, True, False]


def test_what_a_window_keeps_aside_is_unfit_and_not_empty():
    kept = pa.array([[], [("x", "abc")], []], pa.map_(pa.string(), pa.string()))
    batch = pa.record_batch({"x": pa.array([1.0, None, None]), "unfit": kept})

    assert Predicate("x", "unfit", "double").mask(batch).to_pylist() == [False, True, False]
    assert Predicate("x", "null").mask(batch).to_pylist() == [False, False, True]


def test_a_batch_without_the_column_is_all_empty():
    assert rows(Predicate("x", "null"), y=[1, 2]) == [True, True]
    assert rows(Predicate("x", "lt", 3.0), y=[1, 2]) == [False, False]


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


def test_numbers_are_written_for_people():
    assert [number_text(x) for x in (-0.0, 3.0, 1e20, 0.1 + 0.2, float("inf"))] == [
        "0", "3", "1e+20", "0.3", "inf",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [pa.bool_(), pa.int8(), pa.float64()])
def test_truth_values_are_met_however_they_come(kind):
    batch = pa.table({"late": pa.array([True, False, None]).cast(pa.int8()).cast(kind)})

    assert Predicate("late", "eq", "true").mask(batch).to_pylist() == [True, False, False]
    assert Predicate("late", "not_in", values=("true",)).mask(batch).to_pylist() == [
        False, True, False,
    ]  # fmt: skip
