import csv
import io
import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from driftline.serving.bodies.predictions import Answer, class_text, write_answer

VALUES = st.floats() | st.integers(-(2**70), 2**70) | st.booleans() | st.none()
TEXTS = st.text(max_size=3)
HALF_CHARACTERS = st.just("\ud800")


@st.composite
def answers(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> Answer:
    values = VALUES | texts
    listed = draw(st.lists(values | st.lists(values, max_size=2), min_size=1, max_size=4))
    predictions = np.empty(len(listed), object)
    predictions[:] = listed
    if draw(st.booleans()) and {*map(type, listed)} <= {float}:
        predictions = predictions.astype(np.float64)
    width = draw(st.integers(0, 3))
    chances = st.lists(st.floats(), min_size=width, max_size=width)
    return Answer(predictions, np.array([draw(chances) for _ in listed]) if width else None)


def finite(value):
    if isinstance(value, list):
        return list(map(finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


@given(answers(TEXTS | HALF_CHARACTERS))
def test_json_has_the_values_and_null_for_what_is_no_number(answer):
    entries = json.loads(write_answer(answer, "json"))["predictions"]
    lines = write_answer(answer, "jsonlines").splitlines()

    assert repr([one["prediction"] for one in entries]) == repr(finite(answer.predictions.tolist()))
    if answer.probabilities is not None:
        expected = [
            one[0] if len(one) == 1 else one for one in finite(answer.probabilities.tolist())
        ]
        assert repr([one["probability"] for one in entries]) == repr(expected)
    assert repr([*map(json.loads, lines)]) == repr(entries)


@given(answers(TEXTS))
def test_csv_has_the_values_and_nothing_for_what_is_no_number(answer):
    rows = [*csv.reader(io.StringIO(write_answer(answer, "csv").decode(), newline=""))]

    chances = [[]] * len(rows) if answer.probabilities is None else answer.probabilities.tolist()
    for row, prediction, numbers in zip(rows, answer.predictions.tolist(), chances, strict=True):
        known = finite(prediction)
        told = json.loads(row[0]) if isinstance(known, list) else row[0]
        if type(known) in (int, float):
            told = type(known)(told)
        assert repr(told) == repr(class_text(known) if type(told) is str else known)
        found = [float(text) if text else None for text in row[1:]]
        assert repr(found) == repr(finite(numbers))


@given(
    st.sampled_from(["f8", ">f8", "f4", "i8", "i4", "u1", "?"]),
    st.lists(st.integers(0, 1), min_size=1, max_size=4),
    st.integers(0, 2),
)
def test_an_array_is_answered_as_one_of_the_same_values(kind, values, width):
    chances = np.full((len(values), width), 0.5, "f4") if width else None
    predictions = np.array(values, kind)

    found = write_answer(Answer(predictions, chances), "npy")

    assert found == write_answer(Answer(predictions.astype(object), chances), "npy")
