"""Lists as values: as such, as JSON texts, by every door; what is no list of such is unfit."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from driftline.formats.coercion import coerce, from_values

NESTED = [[1, 2], [3.5, None], None, [], [math.nan, 4]]
WANTED = [[1.0, 2.0], [3.5, None], None, [], [None, 4.0]]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(NESTED, pa.list_(pa.float64())),
        pa.array(NESTED, pa.large_list(pa.float32())),
        pa.chunked_array(
            [
                pa.array(NESTED[:2], pa.list_(pa.float64())),
                pa.array(NESTED[2:], pa.list_(pa.float64())),
            ]
        ),
        pa.array(["[1, 2]", "[3.5, null]", "NA", "[]", "[NaN, 4]"]),
    ],
)
def test_lists_of_numbers_are_the_same_however_they_come(column) -> None:
    values, lost = coerce(column, "list<double>")

    assert values.type == pa.list_(pa.float64())
    assert (values.to_pylist(), lost) == (WANTED, 0)


def test_lists_of_numbers_are_read_as_numpy_prints_them() -> None:
    arrays = [[0.1, -2.0], [1e-9, 5.0], [1, 2], [math.nan, math.inf], [], range(40)]
    printed = [str(np.array(one, np.float64)) for one in arrays]
    odd = [
        str(np.arange(2000.0)),
        "[0.5 x]",
        "[[1. 2.]\n [3. 4.]]",
        "0.5 2",
        "['a' 'b']",
        "[1 2, 3]",
    ]

    values, lost = coerce(pa.array(printed), "list<double>")
    unfit, others = coerce(pa.array(odd), "list<double>")

    wanted = [[0.1, -2.0], [1e-9, 5.0], [1.0, 2.0], [None, math.inf], [], [*range(40)]]
    assert "," not in "".join(printed)
    assert (values.to_pylist(), lost) == (wanted, 0)
    assert (unfit.null_count, others) == (6, 6)
    assert coerce(pa.array(["[0.1 0.2]"]), "list<string>")[1] == 1


def test_what_is_no_list_of_numbers_is_unfit_and_kept_as_text() -> None:
    odd = [[1], "[2]", None, "n/a", {"a": 1}, [1, "x"], 5, "5", [[1]], "[1", "NA", ["1.5", " NA "]]

    found = from_values(odd, "list<double>")

    assert found.values.to_pylist() == [[1.0], [2.0], *[None] * 9, [1.5, None]]
    assert found.unfit.tolist() == [4, 5, 6, 7, 8, 9]
    assert found.texts == ['{"a": 1}', '[1, "x"]', "5", "5", "[[1]]", "[1"]


def test_lists_of_texts_hold_ids_of_any_kind() -> None:
    assert coerce(pa.array([["a", "b"], None]), "list<string>")[0].to_pylist() == [["a", "b"], None]
    assert from_values([["a", 7], '["b"]'], "list<string>").values.to_pylist() == [
        ["a", "7"],
        ["b"],
    ]


def test_numbers_are_no_lists() -> None:
    values, lost = coerce(pa.array([1.0, None]), "list<double>")

    assert (values.to_pylist(), lost) == ([None, None], 1)
